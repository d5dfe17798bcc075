package session

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// RoleAdmin is the role of those who run the relay.
const RoleAdmin = "admin"

// ServeAdmin is the handler of a WebSocket route of the admin listener. Who comes in there has the role "admin" and no name;
// WebSocketRoute.Admit is not asked.
func (m *Manager) ServeAdmin(route WebSocketRoute) http.HandlerFunc {
	m.complete(&route)
	return func(w http.ResponseWriter, req *http.Request) { m.handleAdminRoute(w, req, &route) }
}

// handleAdminRoute is a WebSocket route of the admin listener.
func (m *Manager) handleAdminRoute(w http.ResponseWriter, req *http.Request, route *WebSocketRoute) {
	refuse := func(f *problem.Error) {
		w.Header().Set("Content-Type", "application/problem+json")
		if f == problem.UpgradeRequired {
			w.Header().Set("Sec-WebSocket-Version", "13")
		}
		w.WriteHeader(f.Status)
		_, _ = w.Write(f.AppendProblem(nil))
	}
	if m.draining.Load() {
		refuse(problem.Draining)
		return
	}
	o, bad := websocket.ReadOffer(upgradeHeader(req))
	if bad != nil {
		refuse(bad)
		return
	}
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		refuse(problem.UpgradeRequired) // HTTP/2 has other upgrades
		return
	}
	nc, buffered, err := hijacker.Hijack()
	if err != nil {
		m.hub.Log.Error("admin connection not taken over", slog.String("error", err.Error()))
		return
	}
	_ = nc.SetDeadline(time.Time{})
	rest := make([]byte, buffered.Reader.Buffered())
	_, _ = buffered.Read(rest) // they are there
	host, _, _ := net.SplitHostPort(req.RemoteAddr)
	a := &handshakeRequest{identity: &auth.Identity{Anonymous: true, Roles: []string{RoleAdmin}}, address: host}
	a.head = o.AppendSwitch(make([]byte, 0, 512), false)
	m.openRoute(nc, rest, a, &Client{route: route})
}

// upgradeHeader is what websocket.ReadOffer looks at.
func upgradeHeader(req *http.Request) *fasthttp.RequestHeader {
	h := new(fasthttp.RequestHeader)
	h.SetMethod(req.Method)
	h.Set("Connection", strings.Join(req.Header.Values("Connection"), ", ")) // which Add would replace
	for _, name := range []string{"Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"} {
		for _, value := range req.Header.Values(name) {
			h.Add(name, value)
		}
	}
	return h
}
