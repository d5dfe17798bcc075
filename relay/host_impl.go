package relay

import (
	"context"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/contain"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/native"
	"weir/relay/presence"
	"weir/relay/problem"
	"weir/relay/session"
	"weir/relay/stats"
)

// host implements Host for one system. A panic in what a system starts costs the request, the connection, the batch or the
// tick that it came over, and never the process: all end in Contain.
//
// What the hub and the sessions have by the name that Host gives it is theirs.
type host struct {
	*hub.Hub
	*session.Manager
	relay  *Relay
	system string
}

// Runtime

func (h *host) Log() *slog.Logger { return h.relay.hub.Log.With(slog.String("system", h.system)) }

func (h *host) Now() time.Time { return h.relay.sessions.Now() }

func (h *host) Config() *config.Config { return h.relay.hub.Config }

func (h *host) Contain() contain.Hook { return h.relay.hub.Contain }

// Routes

func (h *host) User(method, path string, handler UserHandler) {
	h.relay.api.User(method, path, handler)
}

func (h *host) Backend(method, path string, handler func(ctx *fasthttp.RequestCtx) error) {
	h.relay.api.Backend(method, path, handler)
}

func (h *host) Raw(method, path string, handler fasthttp.RequestHandler) {
	h.relay.api.Raw(method, path, true, handler)
}

func (h *host) Fast(route ingress.FastRoute) { h.relay.gate.Fast = append(h.relay.gate.Fast, route) }

func (h *host) WebSocket(path string, route WebSocketRoute) {
	h.relay.api.Raw("GET", path, false, h.relay.routes.Serve(path, route))
}

func (h *host) EventStream(path, namespace string, e EventStream) {
	h.relay.api.Raw("GET", path, true, h.relay.routes.ServeEvents(namespace, e))
}

func (h *host) OpenStream(ctx *fasthttp.RequestCtx, route *StreamRoute, id *auth.Identity, value any) error {
	return h.relay.routes.OpenStream(ctx, route, id, value)
}

func (h *host) Dialect(d *hub.Dialect) error { return h.relay.hub.AddDialect(d) }

func (h *host) Admin(method, path string, handler func(ctx *fasthttp.RequestCtx) error) {
	h.relay.admin.Handle(method, path, func(ctx *fasthttp.RequestCtx) {
		if err := handler(ctx); err != nil {
			h.relay.gate.Fail(ctx, err)
		}
	})
}

func (h *host) AdminWebSocket(path string, route WebSocketRoute) {
	h.relay.admin.Handle("GET", path, h.relay.routes.ServeAdmin(route))
}

// Channels

func (h *host) Reserve(namespace string, policy config.Namespace) error {
	return h.relay.hub.Namespaces.Reserve(h.relay.hub.Config, namespace, policy)
}

func (h *host) Guard(namespace string, f func(id *auth.Identity, op auth.Ops, channel string) hub.Verdict, reads func(channel string) string) {
	h.relay.hub.Namespaces.Guard(namespace, f, reads)
}

func (h *host) UseAuthorizer(a hub.Authorizer) { h.relay.hub.Namespaces.Authorizer = a }

func (h *host) May(id *auth.Identity, op auth.Ops, channel string) bool {
	p := h.relay.hub.Namespaces
	d, err := p.Open(p.Of(channel), id, op, channel, hub.WaitForAll)
	return err == nil && d.Moderator == nil
}

func (h *host) Allows(id *auth.Identity, op auth.Ops, channel string) error {
	if !wire.ValidChannel(channel) {
		return problem.BadChannel
	}
	return h.relay.hub.Namespaces.May(id, op, channel, hub.WaitForAll)
}

func (h *host) UseCaller(c native.Caller) { h.relay.native.UseCaller(c) }

func (h *host) Authenticate(ctx *fasthttp.RequestCtx, subprotocolToken string) (*auth.Identity, error) {
	if !h.relay.gate.OriginAllowed(ctx) {
		return nil, h.relay.gate.RefusedOrigin(ctx)
	}
	id, bad := h.relay.sessions.Identify(ctx, subprotocolToken)
	if bad != nil {
		return nil, bad
	}
	return id, nil
}

func (h *host) RefusedOrigin(ctx *fasthttp.RequestCtx) *problem.Error {
	return h.relay.gate.RefusedOrigin(ctx)
}

func (h *host) Broker() *broker.Broker { return h.relay.hub.Broker }

func (h *host) Carry(namespace string, f hub.Carrier) { h.relay.hub.Namespaces.Carry(namespace, f) }

func (h *host) Publish(channel string, p *broker.Publication) (broker.Position, error) {
	t, err := h.Submit(channel, p)
	if err != nil {
		return broker.Position{}, err
	}
	return t.Settle()
}

func (h *host) Submit(channel string, p *broker.Publication) (broker.Receipt, error) {
	return h.relay.hub.SubmitSystem(channel, p, h.relay.hub.Broker.Submit)
}

func (h *host) SubmitOwned(channel string, p *broker.Publication) (broker.Receipt, error) {
	return h.relay.hub.SubmitSystem(channel, p, h.relay.hub.SubmitOwned)
}

func (h *host) SubmitCommand(c *wire.Command) (broker.Receipt, error) {
	if !wire.ValidChannel(c.Channel) {
		return broker.Receipt{}, problem.BadChannel
	}
	publisher := h.relay.hub.Broker.Publisher()
	return h.relay.hub.Submit(&publisher, h.relay.hub.Namespaces.Of(c.Channel), c, "")
}

func (h *host) Held(namespace string) int64 { return h.relay.hub.Namespaces.Of(namespace + ":").Held() }

// Events

func (h *host) On(pattern string, f func(e *hub.Event) error) {
	h.relay.hub.Topics.Handle(pattern, false, f)
}

func (h *host) OnClient(pattern string, f func(e *hub.Event) error) {
	h.relay.hub.Topics.Handle(pattern, true, f)
}

func (h *host) Started() <-chan struct{} { return h.relay.hub.Started }

// Sessions

func (h *host) Connections(user string) int { return h.relay.sessions.Count(user) }

func (h *host) OnMember(f func(channel, user string, joined bool)) {
	h.relay.hub.Presence.OnMember(f)
}

func (h *host) Group(name string) *Group { return h.relay.routes.NewGroup(name) }

// Presence

func (h *host) Enter(channel, connection string, id *auth.Identity, a presence.Attendance) error {
	alone := !h.relay.sessions.Present(connection, channel)
	return h.relay.hub.Presence.Attend(channel, connection, id, a, alone)
}

func (h *host) Heartbeat(channel, connection, user string) bool {
	return h.relay.hub.Presence.Heartbeat(channel, connection, user)
}

func (h *host) Leave(channel, connection, user string) {
	h.relay.hub.Presence.Detach(channel, connection, user, false)
}

func (h *host) Disconnected(channel, connection, user string) {
	h.relay.hub.Presence.Detach(channel, connection, user, true)
}

func (h *host) Rename(channel string, id *auth.Identity) { h.relay.hub.Presence.Refresh(channel, id) }

// Statistics

func (h *host) Metrics() *metrics.Set { return h.relay.hub.Counters.Set }

func (h *host) Stats() stats.Snapshot { return h.relay.admin.Figures() }

func (h *host) Readings() *Readings { return h.relay.admin.Readings() }

func (h *host) Watch(on bool) {
	h.relay.hub.Busiest.Watch(on)
}

func (h *host) Slowest() []SlowSession { return h.relay.admin.Slowest() }

func (h *host) TopChannels(second int64) []stats.TopChannel { return h.relay.hub.Busiest.Of(second) }

// Nodes

func (h *host) Alone() bool { return h.relay.hub.Cluster == nil }

func (h *host) At(key func(ctx *fasthttp.RequestCtx, id *auth.Identity) string, handler UserHandler) UserHandler {
	return h.relay.api.At(key, handler)
}

func (h *host) CallOwner(key, kind string, body []byte) ([]byte, error) {
	return h.relay.hub.Cluster.Call(context.Background(), key, kind, body)
}

func (h *host) CallAll(kind string, body []byte) (answers map[string][]byte, silent []string) {
	return h.relay.hub.Cluster.CallAll(context.Background(), kind, body)
}

func (h *host) Report(kind, key, name string, value []byte, abrupt bool) {
	h.relay.hub.Cluster.Report(kind, key, name, value, abrupt)
}

func (h *host) Listen(channel string, to hub.Listener) (stop func()) {
	return h.relay.hub.Listen(channel, to)
}
