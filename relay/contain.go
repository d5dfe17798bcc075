package relay

import (
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"

	"github.com/valyala/fasthttp"

	"weir/batch"
	"weir/internal/contain"
)

// A panic costs the request, the connection, the batch or the tick that it came over, and never the process: see package
// contain. All of them end here.

// panicked counts and logs a panic that has been ended; it is the relay's contain.Hook.
func (r *Relay) panicked(where string, v any) { r.logPanic(v, slog.String("where", where)) }

func (r *Relay) logPanic(v any, about ...any) {
	r.metrics.Panics.Inc()
	r.log.Error("panic", append(about, slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))...)
}

// Contain is the relay's hook: what a system starts is started with it.
func (c *Core) Contain() contain.Hook { return c.relay.contain }

// catch ends a panic on a connection's path, which costs that connection only; then is called, unless it is nil. It is to be
// deferred.
func (r *Relay) catch(s *session, then func()) {
	if v := recover(); v != nil {
		r.logPanic(v, slog.String("where", "connection"), slog.String("connection", s.id), slog.String("user", s.user))
		if then != nil {
			defer r.contain.End("connection", nil)
			then()
		}
	}
}

// unbuilt logs and counts a panic while the frames of a sink were built; nil: while the load was looked at. Those whom
// the frames were for are closed, and so come back for what they have missed: see feed.Missed.
func (r *Relay) unbuilt(sink batch.Sink, v any) {
	channel := ""
	if f, ok := sink.(*feed); ok {
		channel = f.name
	}
	r.logPanic(v, slog.String("where", "frames"), slog.String("channel", channel))
}

// work runs f on a goroutine of the pool that turns of sessions run on, and whose stacks have grown.
func (r *Relay) work(where string, f, fail func()) {
	if r.readerPool.Submit(func() { r.contain.Run(where, f, fail) }) != nil { // it is closed
		r.contain.Go(nil, where, f, fail)
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
				r.log.Debug("http", slog.String("message", "error when serving a connection"))
			}
		}, func() { _ = nc.Close() })
	}
}
