package relay

import (
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/contain"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/native"
	"weir/relay/presence"
	"weir/relay/problem"
	"weir/relay/session"
	"weir/relay/stats"
)

// Host is what a system sees of the relay, by concern. All methods may be called concurrently, but those that say
// "at start": these are for System.Start. A part of a system takes the concern that it needs.
type Host interface {
	Runtime
	Routes
	Channels
	Events
	Sessions
	Identities
	Presence
	Statistics
	Nodes
}

// Runtime is what every system needs of the relay.
type Runtime interface {
	// Log is the relay's log; entries name the system.
	Log() *slog.Logger

	// Now is the wall clock.
	Now() time.Time

	// Config is the relay's configuration with its defaults filled in. It is not to be changed.
	Config() *config.Config

	// Contain is the relay's hook: what a system starts is started with it.
	Contain() contain.Hook

	// Background runs work that may take a while on a bounded pool. It returns false, without running it, if that is
	// full.
	Background(work func()) bool

	// Many does something for each of several users, some of them at once, and returns the outcome of each as JSON.
	Many(member string, list []string, each func(name string) (members []byte, err error)) []byte
}

// Routes registers routes. All at start, but OpenStream.
type Routes interface {
	// User serves a route of the public listener to end users with a token, as often as limits.commands lets each of
	// them, on all their connections together. Pages of the configured origins may use it; where a cookie says
	// who asks, requests that may change something come from such a page only. Preflights are answered by the relay.
	// At start. Path as in github.com/fasthttp/router: "/chat/rooms/{id}".
	User(method, path string, handler UserHandler)

	// Backend serves a route of the public listener to backends with an API key. At start.
	Backend(method, path string, handler func(ctx *fasthttp.RequestCtx) error)

	// Raw serves a route of the public listener to anybody; the handler does all the checking, but that
	// preflights of pages are answered by the relay. At start.
	Raw(method, path string, handler fasthttp.RequestHandler)

	// Fast has an event loop answer POST requests of a route of Raw, where that is possible; see ingress.FastRoute. At start.
	Fast(route ingress.FastRoute)

	// WebSocket serves a WebSocket route of the public listener. At start.
	WebSocket(path string, route WebSocketRoute)

	// EventStream serves a route of the public listener with streams of channels of a namespace, which has been
	// reserved. At start; one for each namespace.
	EventStream(path, namespace string, e EventStream)

	// OpenStream answers a request on a route of Raw with server-sent events of another protocol, once the handler has returned.
	// HEAD gets the answer without a stream. Errors: the relay is draining, or short of memory.
	OpenStream(ctx *fasthttp.RequestCtx, route *StreamRoute, id *auth.Identity, value any) error

	// Dialect registers how channels look to clients of another protocol. At start, before the route of its clients. Errors: there
	// are too many dialects.
	Dialect(d *hub.Dialect) error

	// Admin serves a route of the admin listener. At start. Path as in User.
	Admin(method, path string, handler func(ctx *fasthttp.RequestCtx) error)

	// AdminWebSocket serves a WebSocket route of the admin listener. Who comes in there has the role "admin" and no name;
	// WebSocketRoute.Admit is not asked. At start.
	AdminWebSocket(path string, route WebSocketRoute)
}

// Channels is the relay's channels: who may use them, reading, and publishing.
type Channels interface {
	// Reserve makes a namespace the system's own: clients subscribe and publish to its channels only as tokens that
	// name it, or Guard, allow, unless the policy opens it to more. What the policy leaves open is as in the default
	// namespace; what the configuration says of the namespace goes before it. A Durable one is kept on disk if there is a data directory, whatever the
	// configuration says of it, and in memory otherwise. At start, before the system uses a channel of it.
	Reserve(namespace string, policy config.Namespace) error

	// Guard decides what clients may do with the channels of a namespace, before its policy is asked. The
	// function must be quick and take no lock that is held while publishing. If it reads a channel that may have to be
	// loaded, reads says which one: then that is in memory. reads may be nil. At start; one for each namespace.
	Guard(namespace string, f func(id *auth.Identity, op auth.Ops, channel string) hub.Verdict, reads func(channel string) string)

	// UseAuthorizer lets a decide about the channels of namespaces with the access "webhook". At start; by one system.
	UseAuthorizer(a hub.Authorizer)

	// May returns what the policy of a channel's namespace says of a client, guards aside: for a system that serves a
	// channel on a route of its own, and keeps clients from it on others. It may wait for a backend's decision.
	May(id *auth.Identity, op auth.Ops, channel string) bool

	// Allows returns nil if a client may do something with a channel, and why not otherwise: an error that can be sent
	// as it is. It may wait for a backend's decision.
	Allows(id *auth.Identity, op auth.Ops, channel string) error

	// Broker is the relay's channels, for reading: Item, Read, History. Changes go through Publish.
	Broker() *broker.Broker

	// Publish makes a change of a channel. Errors: those of broker.Publish, "overloaded", "too large", and what
	// says that a name is wrong; all of them can be sent as they are.
	Publish(channel string, p *broker.Publication) (broker.Position, error)

	// Submit is Publish that does not wait for the disk: the change is acknowledged when the receipt's Wait, if it has
	// one, has returned.
	Submit(channel string, p *broker.Publication) (broker.Receipt, error)

	// SubmitOwned is Submit to a channel of which this node keeps state in memory: one that another node owns by now is refused with
	// cluster.ErrNotOwner, and nothing is handed on, which would arrive behind what the next owner has read.
	SubmitOwned(channel string, p *broker.Publication) (broker.Receipt, error)

	// SubmitCommand is Submit of what a backend publishes, with the checks and limits of POST /v1/publish. It keeps nothing of the command.
	SubmitCommand(c *wire.Command) (broker.Receipt, error)

	// Carry has f carry out what backends and clients publish to the channels of a namespace, in the place of the broker: it may refuse
	// that, or publish something itself. What systems publish does not come there. f must be quick and wait for nothing. At start,
	// after Reserve.
	Carry(namespace string, f hub.Carrier)

	// Held is how many bytes wait in the windows of a namespace's channels, if its policy has Events; 0 otherwise.
	Held(namespace string) int64
}

// Events is the way of events to systems and from them.
type Events interface {
	// On calls f with every event whose topic matches the pattern: a topic, "chat.*" for all that begin so, or
	// "*". It runs where the event is emitted, before anybody else hears of it: an error refuses the event and
	// is what its emitter is told. It must be quick and not block. At start.
	//
	// A system event of one's own is told to everybody with Emit, not by calling others.
	On(pattern string, f func(e *hub.Event) error)

	// OnClient is On for a topic that any client with a token may emit; f decides which of those events it
	// accepts. Other topics may be emitted by clients whose token allows publishing on "event:{topic}".
	OnClient(pattern string, f func(e *hub.Event) error)

	// Emit tells an event. Errors: of handlers, and those of Publish.
	Emit(e *hub.Event) error

	// Started is closed when all systems have started, and will hear of what is emitted.
	Started() <-chan struct{}
}

// Sessions is the clients that are connected.
type Sessions interface {
	// Connections is how many connections a user has open.
	Connections(user string) int

	// Connected reports whether a connection is open.
	Connected(connection string) bool

	// Revoke ends a user's subscriptions to a channel; each of their connections that has one is told with
	// "unsubscribed". It returns how many there were.
	Revoke(user, channel, reason string) int

	// OnClose calls f when a session has ended: with its user, its connection, and whether that was the last one
	// of the user. It must not block. At start.
	OnClose(f func(user, connection string, last bool))

	// OnRefresh calls f when a session has been given a new token: with its connection and what the token says. It must not
	// block. At start.
	OnRefresh(f func(connection string, id *auth.Identity))

	// Observe has o hear of sessions. At start.
	Observe(o session.Observer)

	// Group makes a group, which clients join to get the same messages; see Group. The name is a channel's: its namespace says
	// how messages are batched and what becomes of slow readers.
	Group(name string) *Group
}

// Identities is who clients are that bring no token, and what they ask of a backend.
type Identities interface {
	// UseConnector has c identify clients without a token. At start; by one system.
	UseConnector(c session.Connector)

	// UseCaller has c carry out the calls of clients. At start; by one system.
	UseCaller(c native.Caller)

	// Authenticate returns who a client is that connects to a route with a dialect, as elsewhere: the page's origin is checked, and the
	// token comes in a header, as the token of the subprotocol that is given, in the cookie, or otherwise. Errors can be told as they are.
	Authenticate(ctx *fasthttp.RequestCtx, subprotocolToken string) (*auth.Identity, error)

	// Renew gives a connection its new identity, in the place of before; see session.Manager.Renew.
	Renew(connection string, before, id *auth.Identity)

	// VouchedFor lists the connections of a user that a connector vouches for, with their identities.
	VouchedFor(user string) map[string]*auth.Identity

	// Reconsider drops the decisions about what a user may do, and has the channels that they follow decided about anew.
	Reconsider(user string)

	// RefusedOrigin is the answer to a request that a page may not make, after that was counted and logged.
	RefusedOrigin(ctx *fasthttp.RequestCtx) *problem.Error
}

// Presence is who is in a channel, beside those who follow it.
type Presence interface {
	// Enter puts a user into a channel because their client says so; connection is "" if a backend does. It ends 60
	// seconds after the last Enter or Heartbeat, or with Leave, or 5 seconds after Disconnected. The user is there once,
	// whatever else keeps them there, and only what is new about them is published.
	Enter(channel, connection string, id *auth.Identity, a presence.Attendance) error

	// Heartbeat is a sign of life of a client that attends a channel; nobody is told. It returns false if it does not
	// attend, or no longer.
	Heartbeat(channel, connection, user string) bool

	// Leave ends an attendance because the client says so.
	Leave(channel, connection, user string)

	// Disconnected ends an attendance because the connection has ended: the user has a while to come back.
	Disconnected(channel, connection, user string)

	// OnMember calls f when a user is in a channel from now on, and when they no longer are. It is called under a lock of the
	// channel's presence: it must be quick, not block, and call nothing of the relay. At start.
	OnMember(f func(channel, user string, joined bool))

	// Rename has a channel's presence show what a new token says of a user who is there.
	Rename(channel string, id *auth.Identity)
}

// Statistics is what the relay and its systems count.
type Statistics interface {
	// Metrics is the set that the admin listener shows. What is counted there has labels from the configuration
	// only: nothing that a client sends becomes one. At start.
	Metrics() *metrics.Set

	// Stats reads the counters. It takes microseconds.
	Stats() stats.Snapshot

	// Readings begins with the figures as they are now.
	Readings() *Readings

	// Watch has the relay note which channels are busy, from the first call on until as many with false came.
	Watch(on bool)

	// TopChannels is the ten channels on which most was delivered in a second that is over. They are noted while somebody
	// watches; see Watch. Of a second before the last one that was asked for it returns the later one's.
	TopChannels(second int64) []stats.TopChannel

	// Slowest is the ten sessions for which most waits. Nothing is looked at while nobody has a queue.
	Slowest() []SlowSession
}

// Nodes is the other nodes of a cluster. What a system keeps of a key, such as a channel, is kept by the node that owns the key.
type Nodes interface {
	// Alone reports whether there are no others: nothing else here is of use then.
	Alone() bool

	// Elsewhere reports whether another node owns a key, or none does for the moment.
	Elsewhere(key string) bool

	// At returns a handler for User that has the node which owns a key carry handler out, with the identity as it was checked here; id is nil if a
	// backend asks. key may return "": any node does. A handler that finds, before it has done anything, that the key is another node's returns
	// cluster.ErrNotOwner: the request goes to that one.
	At(key func(ctx *fasthttp.RequestCtx, id *auth.Identity) string, handler UserHandler) UserHandler

	// Moved calls f when this node begins to own keys, and when it no longer does: of reports which. f must be quick and not block. kind names the
	// system. At start.
	Moved(kind string, f func(of func(key string) bool, gained bool))

	// Answer lets other nodes ask this one for a kind of thing. One that returns cluster.ErrNoOwner has done nothing: the next owner of the key is asked. At start.
	Answer(kind string, f cluster.Handler)

	// CallOwner asks the node that owns a key, which is another one. Errors: cluster.ErrNoOwner if it is not reached, and the node's.
	CallOwner(key, kind string, body []byte) ([]byte, error)

	// CallAll asks all other nodes. It returns their answers, by node, and who has not answered.
	CallAll(kind string, body []byte) (answers map[string][]byte, silent []string)

	// Act has f act on a kind of notice, here and for others. At start.
	Act(kind string, f cluster.Actor)

	// Notify has all nodes act on something, this one at once, and those that are not heard when they are. It waits a second at most for
	// what they say, or not at all.
	Notify(kind string, body []byte, wait bool) cluster.Outcome

	// Share has a kind of state be put together of what all nodes say. At start.
	Share(kind string, m cluster.Merger)

	// Report tells the owner of a key of this node's part of such a state; see cluster.Cluster.
	Report(kind, key, name string, value []byte, abrupt bool)

	// Listen has a system hear of a channel, whichever node owns it, until stop is called: by System.Close. At start; one for each channel.
	Listen(channel string, to hub.Listener) (stop func())
}
