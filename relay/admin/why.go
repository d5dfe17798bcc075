package admin

import (
	"encoding/json"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// whyRequest is the body of POST /why.
type whyRequest struct {
	Channel string `json:"channel"`
	Op      string `json:"op"`    // subscribe, publish, history or presence; "": subscribe
	Token   string `json:"token"` // of the client; "": it has none
}

// handleWhy is POST /why: what the relay would decide about a client and a channel, and how it came to that.
func (s *Server) handleWhy(ctx *fasthttp.RequestCtx) {
	q := whyRequest{Op: "subscribe"}
	if err := jsonbody.Read(ctx, &q); err != nil {
		s.gate.Refuse(ctx, problem.Of(err))
		return
	}
	op, ok := map[string]auth.Ops{"subscribe": auth.Subscribe, "publish": auth.Publish, "history": auth.History, "presence": auth.Presence}[q.Op]
	if !ok {
		s.gate.Refuse(ctx, problem.BadField.With("op must be subscribe, publish, history or presence"))
		return
	}
	b, err := json.Marshal(s.sessions.Why(q.Token, op, q.Channel))
	if err != nil {
		s.gate.Refuse(ctx, problem.Internal)
		return
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	jsonbody.Answer(ctx, b)
}
