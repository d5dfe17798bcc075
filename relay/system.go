package relay

import (
	"errors"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/problem"
)

// System is a part of the relay that is built on its channels and topics: chat, notifications, documents.
// It is given to New.
type System interface {
	// Name is what the configuration calls it.
	Name() string

	// Start is called once, by New, before anything is served. Here the system says what it takes part in;
	// nothing of core's that says "at start" may be called later. Errors are about the configuration.
	Start(core *Core) error

	// Close ends the system's goroutines and waits for them. It is called once, when the last session has
	// ended and before the channels close: it may still publish.
	Close()
}

// Core is what a system sees of the relay. All methods may be called concurrently, but those that say
// "at start".
type Core struct {
	relay  *Relay
	system string
}

// Log is the relay's log; entries name the system.
func (c *Core) Log() *slog.Logger { return c.relay.hub.Log.With(slog.String("system", c.system)) }

// Now is the wall clock.
func (c *Core) Now() time.Time { return c.relay.sessions.Now() }

// Metrics is the set that the admin listener shows. What is counted there has labels from the configuration
// only: nothing that a client sends becomes one. At start.
func (c *Core) Metrics() *metrics.Set { return c.relay.hub.Counters.Set }

// Config is the relay's configuration with its defaults filled in. It is not to be changed.
func (c *Core) Config() *config.Config { return c.relay.hub.Config }

// Broker is the relay's channels, for reading: Item, Read, History. Changes go through Publish.
func (c *Core) Broker() *broker.Broker { return c.relay.hub.Broker }

// User serves a route of the public listener to whoever has a token, as often as limits.commands lets each of
// them, on all their connections together. Pages of the configured origins may use it; where a cookie says
// who asks, requests that may change something come from such a page only. Preflights are answered by the relay.
// At start. Path as in github.com/fasthttp/router: "/chat/rooms/{id}".
func (c *Core) User(method, path string, h UserHandler) {
	c.relay.api.User(method, path, h)
}

// Backend serves a route of the public listener to backends with an API key. At start.
func (c *Core) Backend(method, path string, h func(ctx *fasthttp.RequestCtx) error) {
	c.relay.api.Backend(method, path, h)
}

// Raw serves a route of the public listener to anybody; the handler does all the checking, but that
// preflights of pages are answered by the relay. At start.
func (c *Core) Raw(method, path string, h fasthttp.RequestHandler) {
	c.relay.api.Raw(method, path, true, h)
}

// Reserve makes a namespace the system's own: clients follow and fill its channels only as tokens that name
// it, or Guard, say, unless the policy opens it to more. What it leaves open else is as in the default namespace; what the configuration says
// of the namespace goes before it. A Durable one is kept on disk if there is a data directory, whatever the
// configuration says of it, and in memory otherwise. At start, before the system uses a channel of it.
func (c *Core) Reserve(namespace string, policy config.Namespace) error {
	return c.relay.hub.Namespaces.Reserve(c.relay.hub.Config, namespace, policy)
}

// Held is how many bytes wait in the windows of a namespace's channels, if its policy has Events; 0 otherwise.
func (c *Core) Held(namespace string) int64 { return c.relay.hub.Namespaces.Of(namespace + ":").Held() }

// Reloader is a System with settings that take effect without a restart.
type Reloader interface {
	// Reload takes new settings. On an error nothing has changed.
	Reload(cfg *config.Config) error
}

// Guard decides what clients may do with the channels of a namespace, before its policy is asked. The
// function must be quick and take no lock that is held while publishing. If it reads a channel that may have to be
// loaded, reads says which one: then that is in memory. reads may be nil. At start; one for each namespace.
func (c *Core) Guard(namespace string, f func(id *auth.Identity, op auth.Ops, channel string) hub.Verdict, reads func(channel string) string) {
	c.relay.hub.Namespaces.Guard(namespace, f, reads)
}

// May says what the policy of a channel's namespace says of a client, guards aside: for a system that serves a
// channel on a route of its own, and keeps clients from it on others. It may wait for a backend's decision.
func (c *Core) May(id *auth.Identity, op auth.Ops, channel string) bool {
	p := c.relay.hub.Namespaces
	return p.Open(p.Of(channel), id, op, channel, hub.WaitForAll) == nil
}

// UseAuthorizer has a decide about the channels of namespaces with the access "webhook". At start; by one system.
func (c *Core) UseAuthorizer(a hub.Authorizer) { c.relay.hub.Namespaces.Authorizer = a }

// Allows says whether a client may do something with a channel: nil if it may. Errors can be told as they are. It
// may wait for a backend's decision.
func (c *Core) Allows(id *auth.Identity, op auth.Ops, channel string) error {
	if !wire.ValidChannel(channel) {
		return problem.BadChannel
	}
	return c.relay.hub.Namespaces.May(id, op, channel, hub.WaitForAll)
}

// Revoke ends a user's subscriptions to a channel; each of their connections that has one is told with
// "unsubscribed". It answers how many there were.
func (c *Core) Revoke(user, channel, reason string) int {
	return c.relay.sessions.Revoke(user, channel, reason)
}

// Connections is how many connections a user has open.
func (c *Core) Connections(user string) int { return c.relay.sessions.Count(user) }

// Connected says whether a connection is open.
func (c *Core) Connected(connection string) bool { return c.relay.sessions.Connected(connection) }

// Publish makes a change of a channel. Errors: those of broker.Publish, "overloaded", "too large", and what
// says that a name is wrong; all of them can be told as they are.
func (c *Core) Publish(channel string, p *broker.Publication) (broker.Position, error) {
	t, err := c.Submit(channel, p)
	if err == nil && t.Wait != nil {
		return t.Wait()
	}
	return t.Position, err
}

// Submit is Publish that does not wait for the disk: the change is acknowledged when the ticket's Wait, if it has
// one, has answered.
func (c *Core) Submit(channel string, p *broker.Publication) (broker.Receipt, error) {
	r := c.relay
	if !wire.ValidChannel(channel) {
		return broker.Receipt{}, problem.BadChannel
	}
	if p.Group != "" && !wire.ValidName(p.Group) || p.Key != "" && !wire.ValidName(p.Key) {
		return broker.Receipt{}, problem.BadName
	}
	if err := r.hub.Admit(p.Op, len(p.Data)); err != nil {
		return broker.Receipt{}, err
	}
	t, err := r.hub.Broker.Submit(channel, p)
	if err == nil {
		r.hub.Namespaces.Of(channel).Counters.Published.Inc()
	}
	return t, err
}

// Settled is closed when all systems have started, and will hear of what is emitted.
func (c *Core) Settled() <-chan struct{} { return c.relay.hub.Settled }

// Side runs work that may take a while on a bounded pool. It answers false, without running it, if that is
// full.
func (c *Core) Side(work func()) bool { return c.relay.hub.Background(work) }

// OnClose calls f when a session has ended: with its user, its connection, and whether that was the last one
// of the user. It must not block. At start.
func (c *Core) OnClose(f func(user, connection string, last bool)) {
	c.relay.sessions.OnClose(f)
}

// OnRefresh calls f when a session has been given a new token: with its connection and what the token says. It must not
// block. At start.
func (c *Core) OnRefresh(f func(connection string, id *auth.Identity)) {
	c.relay.sessions.OnRefresh(f)
}

// Renamed has a channel's presence show what a new token says of a user who is there.
func (c *Core) Renamed(channel string, id *auth.Identity) { c.relay.hub.Presence.Refresh(channel, id) }

// Room makes a group, which clients join to get the same messages; see Group. The name is a channel's: its namespace says
// how messages are batched and what becomes of slow readers.
func (c *Core) Room(name string) *Group { return c.relay.sessions.NewGroup(name) }

// startSystems lets the systems say what they take part in.
func (r *Relay) startSystems(systems []System) error {
	defer close(r.hub.Settled)
	for i, s := range systems {
		if err := s.Start(&Core{r, s.Name()}); err != nil {
			for _, started := range systems[:i] {
				started.Close()
			}
			return err
		}
	}
	r.systems = systems
	r.sessions.SystemsStarted()
	if r.hub.Namespaces.Authorizer == nil && r.hub.Namespaces.Asks() {
		r.systems = nil
		for _, s := range systems {
			s.Close()
		}
		return errors.New("a namespace has the access webhook, but no backend is configured to ask: set auth.webhook.url")
	}
	return nil
}
