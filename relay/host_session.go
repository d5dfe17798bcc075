package relay

import (
	"net/http"

	"weir/relay/hub"
)

// EventStream serves a route of the public listener with streams of channels of a namespace, which has been
// reserved. At start; one for each namespace.
func (c *Core) EventStream(path, namespace string, e EventStream) {
	r := c.relay
	r.extra = append(r.extra, systemRoute{route{"GET", path, r.sessions.ServeEvents(namespace, e)}, true})
}

// Live serves a WebSocket route of the public listener. At start.
func (c *Core) Live(path string, live WebSocketRoute) {
	r := c.relay
	r.extra = append(r.extra, systemRoute{route{"GET", path, r.sessions.Serve(live)}, false})
}

// Dialect registers how channels look to clients of another protocol. At start, before the route of its clients. Errors: there
// are too many dialects.
func (c *Core) Dialect(d *hub.Dialect) error { return c.relay.hub.AddDialect(d) }

// AdminLive serves a WebSocket route of the admin listener. Who comes in there has the role "admin" and no name;
// WebSocketRoute.Admit is not asked. At start.
func (c *Core) AdminLive(path string, live WebSocketRoute) {
	c.Admin("GET "+path, c.relay.sessions.ServeAdmin(live))
}

// Admin serves a route of the admin listener; the pattern is one of net/http's, with a method. At start.
func (c *Core) Admin(pattern string, h http.Handler) {
	c.relay.adminRoutes = append(c.relay.adminRoutes, adminRoute{pattern, h})
}

// Slowest is the ten sessions for which most waits. Nothing is looked at while nobody has a queue.
func (c *Core) Slowest() []SlowSession { return c.relay.sessions.Slowest() }
