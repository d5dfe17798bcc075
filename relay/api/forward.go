package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/cluster"
)

// callRequest is the call for a request to be answered by the node that owns what it is about. It is also the name of the user value that
// says that a request came so.
const callRequest = "request"

// forwarded is a request on its way. Its sender has checked who asks.
type forwarded struct {
	Method   string         `json:"method"`
	URI      string         `json:"uri"`
	Key      string         `json:"key,omitempty"` // whose owner is to answer it; versions before this do not say
	Header   [][2]string    `json:"header,omitempty"`
	Body     []byte         `json:"body,omitempty"`
	Identity *auth.Identity `json:"identity,omitempty"` // of an end user

	err error // why it was not begun: the key is another node's
}

// forwardedReply is the answer.
type forwardedReply struct {
	Status int         `json:"status"`
	Type   string      `json:"type"`
	Header [][2]string `json:"header,omitempty"`
	Body   []byte      `json:"body"`
}

// ownHeaders are of a connection, or secrets that the sender has checked: they are not forwarded.
var ownHeaders = []string{"Authorization", "Cookie", "Connection", "Content-Length", "Date", "Expect", "Host", "Server", "Transfer-Encoding"}

// headers returns what is forwarded of a header.
func headers(all iter.Seq2[[]byte, []byte]) (list [][2]string) {
	for name, value := range all {
		if !slices.ContainsFunc(ownHeaders, func(own string) bool { return strings.EqualFold(own, string(name)) }) {
			list = append(list, [2]string{string(name), string(value)})
		}
	}
	return list
}

// At returns a handler that has the node which owns a key carry h out; see relay.Nodes.
func (s *Server) At(key func(ctx *fasthttp.RequestCtx, id *auth.Identity) string, h UserHandler) UserHandler {
	return func(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
		f, of := forwardedBy(ctx), ""
		if f != nil {
			of = f.Key
		} else {
			of = key(ctx, id)
		}
		err := cluster.ErrNotOwner
		if of == "" || !s.hub.Elsewhere(of) {
			err = h(ctx, id)
		}
		if f == nil && of != "" && errors.Is(err, cluster.ErrNotOwner) {
			err = s.forward(ctx, of, id)
		}
		return err
	}
}

// forwardedBy returns what another node has sent, if a request came so.
func forwardedBy(ctx *fasthttp.RequestCtx) *forwarded {
	f, _ := ctx.UserValue(callRequest).(*forwarded)
	return f
}

// forward has the node that owns a key answer a request.
func (s *Server) forward(ctx *fasthttp.RequestCtx, key string, id *auth.Identity) error {
	f := forwarded{Method: string(ctx.Method()), URI: string(ctx.RequestURI()), Key: key, Header: headers(ctx.Request.Header.All()), Body: ctx.PostBody()}
	if id != nil {
		who := *id
		who.Vouched = nil // of a system of this node
		f.Identity = &who
	}
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	answer, err := s.hub.Cluster.Call(context.Background(), key, callRequest, body)
	if err != nil {
		return err
	}
	var reply forwardedReply
	if err := json.Unmarshal(answer, &reply); err != nil {
		return fmt.Errorf("response of another node: %w", err)
	}
	ctx.SetStatusCode(reply.Status)
	ctx.SetContentType(reply.Type)
	for _, h := range reply.Header {
		ctx.Response.Header.Set(h[0], h[1])
	}
	ctx.Response.SetBodyRaw(reply.Body)
	return nil
}

// fail answers a request with an error. One that came from another node and is not this one's to answer goes back.
func (s *Server) fail(ctx *fasthttp.RequestCtx, err error) {
	if errors.Is(err, cluster.ErrNotOwner) {
		err = cluster.ErrNoOwner
		if f := forwardedBy(ctx); f != nil {
			f.err = err
		}
	}
	s.gate.Fail(ctx, err)
}

// answer lets other nodes ask this one.
func (s *Server) answer() {
	t := NewRouter(s.gate, s.notFound)
	for _, r := range s.apiRoutes() {
		if strings.HasPrefix(r.Path, "/v1/channels/") {
			t.Add(r.Method, r.Path, r.Handle)
		}
	}
	for _, r := range slices.Concat(s.users, s.backends) {
		t.Add(r.Method, r.Path, r.Handle)
	}
	s.hub.Answer(callRequest, func(body []byte) ([]byte, error) {
		var f forwarded
		if err := json.Unmarshal(body, &f); err != nil {
			return nil, fmt.Errorf("forwarded request: %w", err)
		}
		var req fasthttp.Request
		req.Header.SetMethod(f.Method)
		req.SetRequestURI(f.URI)
		for _, h := range f.Header {
			req.Header.Set(h[0], h[1])
		}
		req.SetBody(f.Body)
		var ctx fasthttp.RequestCtx
		ctx.Init(&req, nil, nil)
		ctx.SetUserValue(callRequest, &f)
		t.Handler(&ctx)
		if f.err != nil {
			return nil, f.err
		}
		h := &ctx.Response.Header
		return json.Marshal(forwardedReply{ctx.Response.StatusCode(), string(h.ContentType()), headers(h.All()), ctx.Response.Body()})
	})
	s.answerChannels()
}
