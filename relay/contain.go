package relay

import (
	"log/slog"
	"net"

	"github.com/valyala/fasthttp"

	"weir/internal/contain"
)

// A panic costs the request, the connection, the batch or the tick that it came over, and never the process: see package
// contain. All of them end here.

// Contain is the relay's hook: what a system starts is started with it.
func (c *Core) Contain() contain.Hook { return c.relay.hub.Contain }

// catch ends a panic on a connection's path, which costs that connection only; then is called, unless it is nil. It is to be
// deferred.
func (r *Relay) catch(s *session, then func()) {
	if v := recover(); v != nil {
		r.hub.LogPanic(v, slog.String("where", "connection"), slog.String("connection", s.id), slog.String("user", s.user))
		if then != nil {
			defer r.hub.Contain.End("connection", nil)
			then()
		}
	}
}

// work runs f on a goroutine of the pool that turns of sessions run on, and whose stacks have grown.
func (r *Relay) work(where string, f, fail func()) {
	if r.readerPool.Submit(func() { r.hub.Contain.Run(where, f, fail) }) != nil { // it is closed
		r.hub.Contain.Go(nil, where, f, fail)
	}
}

// serveHTTP serves what a listener brings with the HTTP server, until it is closed. Each connection has a goroutine that
// is contained: the server's own are not.
func (r *Relay) serveHTTP(server *fasthttp.Server, in net.Listener) error {
	for {
		nc, err := in.Accept()
		if err != nil {
			return err
		}
		r.work("HTTP connection", func() {
			if server.ServeConn(nc) != nil { // the error quotes the request, and that may hold a token
				r.hub.Log.Debug("http", slog.String("message", "error when serving a connection"))
			}
		}, func() { _ = nc.Close() })
	}
}
