package notify

import (
	"encoding/json"
	"net/http"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/jsonbody"
	"weir/relay/systems/internal/encode"
)

// The limits of a page of notifications, and of the ids that one request marks.
const (
	defaultPage = 50
	maxPage     = 200
	maxMarks    = 200
)

// handleInbox is GET /notifications.
func (s *System) handleInbox(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	limit := defaultPage
	if args := ctx.QueryArgs(); args.Has("limit") {
		n, err := args.GetUint("limit")
		if err != nil || n < 1 || n > maxPage {
			return bad("limit must be a number from 1 to 200")
		}
		limit = n
	}
	p, err := s.inbox(id.User).page(string(ctx.QueryArgs().Peek("before")), limit)
	if err == nil {
		err = s.here(id.User)
	}
	if err != nil {
		return err
	}
	return jsonbody.Write(ctx, http.StatusOK, json.RawMessage(encode.Line(p)))
}

// handleRead is POST /notifications/{id}/read.
func (s *System) handleRead(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	key, _ := ctx.UserValue("id").(string)
	_, unknown, err := s.inbox(id.User).mark([]string{key})
	if err != nil {
		return err
	}
	if unknown > 0 {
		return notFound("no such notification")
	}
	return jsonbody.Write(ctx, http.StatusOK, map[string]any{"id": key, "read": true})
}

// marks names the notifications that are to be marked as read: one, some, or all.
type marks struct {
	UserID string   `json:"userId"` // for backends; a client's own
	ID     string   `json:"id"`
	IDs    []string `json:"ids"`
	All    bool     `json:"all"`
}

// list returns the ids; nil for all.
func (m *marks) list() ([]string, error) {
	switch {
	case len(m.IDs) > maxMarks:
		return nil, bad("ids must be at most 200")
	case m.All && m.ID == "" && m.IDs == nil:
		return nil, nil
	case !m.All && m.ID != "" && m.IDs == nil:
		return []string{m.ID}, nil
	case !m.All && m.ID == "" && m.IDs != nil:
		return m.IDs, nil
	}
	return nil, bad("expected one of id, ids and all")
}

// handleReadMany is POST /notifications/read; without a body, all are marked.
func (s *System) handleReadMany(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	m := marks{All: true}
	if len(ctx.PostBody()) > 0 {
		m.All = false
		if err := jsonbody.Read(ctx, &m); err != nil {
			return err
		}
	}
	ids, err := m.list()
	if err != nil {
		return err
	}
	marked, _, err := s.inbox(id.User).mark(ids)
	if err != nil {
		return err
	}
	return jsonbody.Write(ctx, http.StatusOK, map[string]int{"marked": marked})
}

// handleDismiss is DELETE /notifications/{id}.
func (s *System) handleDismiss(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	key, _ := ctx.UserValue("id").(string)
	x := s.inbox(id.User)
	if err := s.host.Broker().Load(x.channel); err != nil {
		return err
	}
	if !x.has(key) {
		return notFound("no such notification")
	}
	if err := x.remove(key); err != nil {
		return err
	}
	ctx.SetStatusCode(http.StatusNoContent)
	return nil
}

// read is the topic notification.read. A client marks its own user's notifications, whatever user it names; a backend names
// the user.
func (s *System) read(e *hub.Event) error {
	var m marks
	if err := jsonbody.Decode(e.Data, &m); err != nil {
		return err
	}
	if e.Connection != "" {
		m.UserID = e.User
	}
	if m.UserID == "" {
		return bad("userId is missing")
	}
	if _, err := m.list(); err != nil {
		return err
	}
	return s.at(wire.UserChannel(m.UserID), callRead, &m, func() error { return s.marked(&m) })
}

// marked marks notifications of a user of this node.
func (s *System) marked(m *marks) error {
	ids, err := m.list()
	if err != nil {
		return err
	}
	_, unknown, err := s.inbox(m.UserID).mark(ids)
	if err == nil && unknown > 0 && len(ids) == 1 {
		err = notFound("no such notification")
	}
	return err
}
