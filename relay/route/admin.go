package route

import (
	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/session"
	"weir/relay/websocket"
)

// ServeAdmin is the handler of a WebSocket route of the admin listener. Who comes in there has the role "admin" and no name;
// WebSocket.Admit is not asked.
func (r *Routes) ServeAdmin(route WebSocket) fasthttp.RequestHandler {
	r.complete(&route)
	return func(ctx *fasthttp.RequestCtx) {
		o, bad := websocket.ReadOffer(&ctx.Request.Header)
		if r.sessions.Draining() {
			bad = problem.Draining
		}
		if bad != nil {
			r.gate.Refuse(ctx, bad)
			return
		}
		a := &session.Handshake{
			Identity: &auth.Identity{Anonymous: true, Roles: []string{auth.RoleAdmin}},
			Address:  ingress.Peer(ctx),
			Head:     o.AppendSwitch(make([]byte, 0, 512), false),
		}
		r.open(ctx, a, &Client{route: &route})
	}
}
