package api

import (
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/jsonbody"
	"weir/relay/native"
	"weir/relay/problem"
	"weir/relay/session"
)

// handleConnections is GET /v1/connections: who is connected, perhaps of one user or following one channel.
func (s *Server) handleConnections(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	user, channel, after := string(args.Peek("user")), string(args.Peek("channel")), string(args.Peek("after"))
	n, err := queryInt(ctx, "limit")
	var limit int
	if err == nil {
		limit, err = native.PageSize(int(min(n, native.MaxPage+1)))
	}
	if err == nil && channel != "" && !wire.ValidChannel(channel) {
		err = problem.BadChannel
	}
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	b, err := s.sessions.AppendConnections([]byte{'{'}, session.ConnectionsQuery{User: user, Channel: channel, After: after, Limit: limit})
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	jsonbody.Answer(ctx, append(b, '}'))
}
