package chat

import (
	"errors"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/bytedance/sonic"
	"github.com/valyala/fasthttp"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// refusal is an error in the form that the chat responds with.
type refusal struct {
	status  int
	Message string `json:"error"`
	Code    string `json:"code,omitempty"`
	Field   string `json:"field,omitempty"` // of the request, if one is wrong
}

func (r *refusal) Error() string { return r.Message }

// wrong is an error in a field.
func wrong(field, message string) error {
	return &refusal{400, field + " " + message, "bad_request", field}
}

var (
	errNoRoom    = &refusal{status: 404, Message: "Room not found", Code: "not_found"}
	errNoMessage = &refusal{status: 404, Message: "Message not found", Code: "not_found"}
	errNotMember = &refusal{status: 403, Message: "Not a member of this room"}
	errPrivate   = &refusal{status: 403, Message: "This room is private: one of its members may add you", Code: "forbidden"}
)

// codec reads and writes what the chat stores and sends.
var codec = sonic.Config{SortMapKeys: true, CopyString: true, ValidateString: true, NoNullSliceOrMap: true}.Froze()

// marshal is v as JSON. Everything that the chat encodes can be.
func marshal(v any) []byte {
	b, err := codec.Marshal(v)
	if err != nil {
		panic("chat: " + err.Error()) // the request that it belongs to ends, nothing else
	}
	return b
}

// route serves a route of end users, by the node that owns the channel which of returns. A refusal of the chat has its own form.
func (s *System) route(method, path string, of func(ctx *fasthttp.RequestCtx, id *auth.Identity) string, h relay.UserHandler) {
	s.host.User(method, path, s.host.At(of, func(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
		err := h(ctx, id)
		var r *refusal
		if errors.Is(err, errNoRoom) { // whether there is a room is only for its members
			err = errNotMember
		}
		if errors.As(err, &r) {
			return answer(ctx, r.status, marshal(r))
		}
		return err
	}))
}

// ofRoom is the channel of the room of the path.
func ofRoom(ctx *fasthttp.RequestCtx, _ *auth.Identity) string {
	if id := param(ctx, "roomId"); validRoom(id) {
		return stateChannel(id)
	}
	return ""
}

// ofUser is the channel of a user's rooms.
func ofUser(_ *fasthttp.RequestCtx, id *auth.Identity) string { return indexChannel(id.User) }

// inRoom calls f with the room of the path, which is in memory meanwhile.
func (s *System) inRoom(ctx *fasthttp.RequestCtx, f func(r *room) error) error {
	id := param(ctx, "roomId")
	if !validRoom(id) {
		return errNoRoom
	}
	if err := s.here(id); err != nil {
		return err
	}
	r, err := s.rooms.hold(id)
	if err != nil {
		return err
	}
	defer s.rooms.release(r)
	if r.lost.Load() {
		return cluster.ErrNotOwner
	}
	return f(r)
}

// answer responds with JSON.
func answer(ctx *fasthttp.RequestCtx, status int, body []byte) error {
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
	return nil
}

// done responds without a body.
func done(ctx *fasthttp.RequestCtx) error {
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}

// param is a part of the path, decoded; "" if it cannot be.
func param(ctx *fasthttp.RequestCtx, name string) string {
	raw, _ := ctx.UserValue(name).(string)
	v, err := url.PathUnescape(raw)
	if err != nil || !utf8.ValidString(v) {
		return ""
	}
	return strings.Clone(v) // it may be part of the request's memory
}

// read decodes the body of a request. An error about a member names it.
func read(ctx *fasthttp.RequestCtx, v any) error {
	err := jsonbody.Read(ctx, v)
	if err == nil {
		return nil
	}
	p := problem.Of(err)
	if p.Status != fasthttp.StatusBadRequest {
		return err
	}
	field, _, _ := strings.Cut(p.Message, " must be ")
	if field == p.Message {
		field = ""
	}
	text := p.Message
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	return &refusal{400, text, p.Code, field}
}
