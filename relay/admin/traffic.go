package admin

import (
	"github.com/valyala/fasthttp"

	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// handleTraffic is POST /traffic?recording=ID on the admin listener: the shape of what happened since the request before,
// without names and data, for weir record. Without an ID a recording begins, with ?end one ends; one that nobody asks
// for ends by itself.
func (s *Server) handleTraffic(ctx *fasthttp.RequestCtx) {
	id := string(ctx.QueryArgs().Peek("recording"))
	connections, subscribers := s.following()
	sample, ok := s.hub.Traffic.Sample(id, subscribers)
	if !ok {
		s.gate.Refuse(ctx, problem.BadField.With("another recording is running, or this one has ended: begin a new one"))
		return
	}
	sample.Connections, sample.Slow = connections, int(s.hub.Pool.Stats().Stalled)
	if ctx.QueryArgs().Has("end") {
		s.hub.Traffic.End(id)
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	jsonbody.Answer(ctx, sample.Append(nil))
}
