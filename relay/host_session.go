package relay

import (
	"github.com/valyala/fasthttp"

	"weir/relay/hub"
	"weir/relay/stats"
)

// EventStream serves a route of the public listener with streams of channels of a namespace, which has been
// reserved. At start; one for each namespace.
func (c *Core) EventStream(path, namespace string, e EventStream) {
	c.relay.api.Raw("GET", path, true, c.relay.sessions.ServeEvents(namespace, e))
}

// Live serves a WebSocket route of the public listener. At start.
func (c *Core) Live(path string, live WebSocketRoute) {
	c.relay.api.Raw("GET", path, false, c.relay.sessions.Serve(live))
}

// Dialect registers how channels look to clients of another protocol. At start, before the route of its clients. Errors: there
// are too many dialects.
func (c *Core) Dialect(d *hub.Dialect) error { return c.relay.hub.AddDialect(d) }

// AdminLive serves a WebSocket route of the admin listener. Who comes in there has the role "admin" and no name;
// WebSocketRoute.Admit is not asked. At start.
func (c *Core) AdminLive(path string, live WebSocketRoute) {
	c.relay.admin.Handle("GET", path, c.relay.sessions.ServeAdmin(live))
}

// Admin serves a route of the admin listener. At start. Path as in User.
func (c *Core) Admin(method, path string, h func(ctx *fasthttp.RequestCtx) error) {
	c.relay.admin.Handle(method, path, func(ctx *fasthttp.RequestCtx) {
		if err := h(ctx); err != nil {
			c.relay.gate.Fail(ctx, err)
		}
	})
}

// Watch has the relay note which channels are busy, from the first call on until as many with false came.
func (c *Core) Watch(on bool) {
	c.relay.hub.Busiest.Watch(on)
}

// Busiest is the ten channels on which most was delivered in a second that is over. They are noted while somebody
// watches; see Watch. Of a second before the last one that was asked for it returns the later one's.
func (c *Core) Busiest(second int64) []stats.TopChannel { return c.relay.hub.Busiest.Of(second) }

// Figures reads the counters. It takes microseconds.
func (c *Core) Figures() stats.Snapshot { return c.relay.admin.Figures() }

// Readings begins with the figures as they are now.
func (c *Core) Readings() *Readings { return c.relay.admin.Readings() }

// Slowest is the ten sessions for which most waits. Nothing is looked at while nobody has a queue.
func (c *Core) Slowest() []SlowSession { return c.relay.sessions.Slowest() }
