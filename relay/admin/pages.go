package admin

import (
	"github.com/valyala/fasthttp"

	"weir/relay/api"
	"weir/relay/problem"
	"weir/relay/web"
)

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
