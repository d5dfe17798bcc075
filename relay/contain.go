package relay

import (
	"log/slog"
	"net"

	"github.com/valyala/fasthttp"

	"weir/internal/contain"
	"weir/relay/ingress"
)

// A panic costs the request, the connection, the batch or the tick that it came over, and never the process: see package
// contain. All of them end here.

// Contain is the relay's hook: what a system starts is started with it.
func (c *Core) Contain() contain.Hook { return c.relay.hub.Contain }

// serveHTTP serves what a listener brings with the HTTP server, until it is closed. Each connection has a goroutine that
// is contained: the server's own are not.
func (r *Relay) serveHTTP(server *fasthttp.Server, in net.Listener) error {
	for {
		nc, err := in.Accept()
		if err != nil {
			return err
		}
		r.sessions.Work("HTTP connection", func() {
			if server.ServeConn(ingress.Serve(nc)) != nil { // the error quotes the request, and that may hold a token
				r.hub.Log.Debug("http", slog.String("message", "error when serving a connection"))
			}
		}, func() { _ = nc.Close() })
	}
}
