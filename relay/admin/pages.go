package admin

import (
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/api"
	"weir/relay/jsonbody"
	"weir/relay/problem"
	"weir/relay/web"
)

// maxFollowers is how many followers of a channel are listed.
const maxFollowers = 200

// handlePage is GET /, the dashboard.
func (s *Server) handlePage(ctx *fasthttp.RequestCtx) {
	api.Page(ctx, string(web.File("dashboard/index.html")))
}

// handleAsset is GET /dashboard/{name}, what the dashboard is made of.
func (s *Server) handleAsset(ctx *fasthttp.RequestCtx) {
	name := "dashboard/" + ctx.UserValue("name").(string)
	if web.File(name) == nil {
		s.gate.Refuse(ctx, problem.NotFound)
		return
	}
	api.Asset(ctx, name)
}

// handleFollowers is GET /followers?channel=: the sessions that follow a channel.
func (s *Server) handleFollowers(ctx *fasthttp.RequestCtx) {
	channel := string(ctx.QueryArgs().Peek("channel"))
	if !wire.ValidChannel(channel) {
		s.gate.Refuse(ctx, problem.BadChannel)
		return
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	jsonbody.Answer(ctx, append(s.sessions.AppendFollowers([]byte{'{'}, channel, maxFollowers), '}'))
}
