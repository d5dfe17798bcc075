package session

import (
	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// RoleAdmin is the role of those who run the relay.
const RoleAdmin = "admin"

// ServeAdmin is the handler of a WebSocket route of the admin listener. Who comes in there has the role "admin" and no name;
// WebSocketRoute.Admit is not asked.
func (m *Manager) ServeAdmin(route WebSocketRoute) fasthttp.RequestHandler {
	m.complete(&route)
	return func(ctx *fasthttp.RequestCtx) {
		o, bad := websocket.ReadOffer(&ctx.Request.Header)
		if m.draining.Load() {
			bad = problem.Draining
		}
		if bad != nil {
			m.gate.Refuse(ctx, bad)
			return
		}
		a := &handshakeRequest{identity: &auth.Identity{Anonymous: true, Roles: []string{RoleAdmin}}, address: ingress.PeerAddress(ctx.RemoteAddr()).String()}
		a.head = o.AppendSwitch(make([]byte, 0, 512), false)
		m.hijackRoute(ctx, a, &Client{route: &route})
	}
}
