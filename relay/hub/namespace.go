package hub

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"weir/batch"
	"weir/broker"
	"weir/internal/ratelimit"
	"weir/internal/units"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/problem"
	"weir/relay/stats"
)

// Namespace is a config.Namespace with every default filled in, and the counters of its channels.
type Namespace struct {
	Name       string
	subscribe  config.Access
	Publish    config.Access
	Presence   bool
	reserved   bool // of the users or of a system
	Unmeasured bool // see config.Namespace.Unmeasured
	Batch      batch.Options
	slow       pool.Slow
	Log        broker.Policy
	message    int
	Rate       units.Rate
	Events     EventEncoder     // how a system tells the changes; nil: it has no streams of its own
	Posts      *ratelimit.Users // rate, for users who publish over HTTP
	carry      Carrier          // nil: the broker does; set at start
	held       *atomic.Int64    // bytes in windows; nil: they are not counted. Set once

	Meter    pool.Meter // deliveries
	Counters stats.NamespaceCounters
}

// Namespaces is the set of namespaces. It is complete when the systems have started, and read without a lock.
type Namespaces struct {
	named      atomic.Pointer[map[string]*Namespace] // replaced when a system reserves one
	Fallback   *Namespace                            // channels without a known namespace
	guards     map[string]guard
	loaded     func(channel string, how Wait) error // see Hub.loaded
	Authorizer Authorizer                           // for namespaces with the access "webhook"; nil: there are none

	// ask asks the node that owns what a guard reads, if it is another one; nil: there is none. Set at start.
	ask func(reads string, q guardQuestion, v Verdict, how Wait) (Verdict, error)
}

// Authorizer decides who may do what in channels whose namespace has the access "webhook". Its methods may be called
// concurrently.
type Authorizer interface {
	// Authorize returns nil if a client may do op in a channel, and ErrDenied or ErrUnavailable otherwise. It may take
	// seconds, and waits for nothing but the decision.
	Authorize(id *auth.Identity, op auth.Ops, channel string) (Decision, error)

	// Cached is Authorize that does not wait: known is false if the decision is still to be made.
	Cached(id *auth.Identity, op auth.Ops, channel string) (d Decision, err error, known bool)

	// Forget drops the decisions about a user and a channel, or about all of the user's channels if channel is "".
	// Decisions under way become denials.
	Forget(user, channel string)
}

// Decision is what is decided beside that a client may.
type Decision struct {
	Data      []byte    // for the client, with the answer to its subscribe: JSON on one line; nil: none
	Expires   time.Time // when a subscription is to be decided about anew. Wall clock. Zero: with the client's next token
	Moderator Moderator // decides about each of the client's publications to the channel; nil: all of them may pass
}

// Moderator decides about publications one by one, by what they say.
type Moderator interface {
	// Moderate decides about a publication of a connection, "" for one that came in a request, and may change it: what it puts in
	// its place is checked like what came. drop swallows it, as if it had been made. Errors are those of an Authorizer, and others
	// that can be told as they are. It may take seconds.
	Moderate(id *auth.Identity, connection string, c *wire.Command) (drop bool, err error)
}

// The errors of an Authorizer.
var (
	ErrDenied      error = problem.Forbidden   // the client may not
	ErrUnavailable error = problem.Unavailable // there is no decision: the client may try again
)

// newNamespaces resolves the configuration.
func newNamespaces(cfg *config.Config) (*Namespaces, error) {
	fallback := cfg.Namespaces[config.DefaultNamespace]
	p := &Namespaces{guards: make(map[string]guard)}
	named := make(map[string]*Namespace)
	p.named.Store(&named)
	var err error
	if p.Fallback, err = newNamespace(config.DefaultNamespace, fallback); err != nil {
		return nil, err
	}
	closed := fallback
	closed.Subscribe, closed.Publish = config.Capability, config.Backend
	reserved := []string{wire.UserNamespace, EventNamespace, wire.PresenceNamespace}
	for _, system := range cfg.Known {
		reserved = append(reserved, system.Namespaces...)
	}
	for _, name := range reserved {
		if named[name], err = newNamespace(name, closed); err != nil {
			return nil, err
		}
	}
	for _, ns := range named {
		ns.reserved = true
	}
	off := false
	named[wire.PresenceNamespace].Presence = off
	named[wire.UserNamespace].Presence = off
	named[EventNamespace].Presence = off
	for name, ns := range cfg.Namespaces {
		if name == config.DefaultNamespace {
			continue
		}
		if name == wire.UserNamespace || name == wire.PresenceNamespace || name == EventNamespace {
			// Who follows these is not the configuration's to say.
			ns.Subscribe, ns.Publish, ns.Presence = config.Capability, config.Backend, &off
		}
		_, own := named[name]
		if named[name], err = newNamespace(name, ns); err != nil {
			return nil, err
		}
		named[name].reserved = own
	}
	// There are no more of these than connections may make, and all of them are to be told.
	who := &named[wire.PresenceNamespace].Log
	who.Items, who.StateBytes = -1, -1
	return p, nil
}

// Reserve makes a namespace a system's own. See Host.Reserve.
func (p *Namespaces) Reserve(cfg *config.Config, name string, ns config.Namespace) error {
	durable, once, unmeasured, events := ns.Durable && (cfg.Data != "" || cfg.Mesh != nil && cfg.KeptByCluster(name)), ns.Once, ns.Unmeasured, ns.Events
	if configured, ok := cfg.Namespaces[name]; ok {
		ns = configured
	} else {
		ns.Subscribe, ns.Publish = cmp.Or(ns.Subscribe, config.Capability), cmp.Or(ns.Publish, config.Backend)
		ns = ns.WithDefaults(cfg.Limit)
	}
	if name == wire.UserNamespace { // as in newPolicies
		ns.Subscribe, ns.Publish, ns.Presence = config.Capability, config.Backend, new(bool)
	}
	n, err := newNamespace(name, ns)
	if err != nil {
		return err
	}
	n.reserved, n.Unmeasured = true, unmeasured
	n.Log.Durable = durable || n.Log.Durable && (cfg.Data != "" || cfg.Mesh != nil)
	if events {
		n.Batch.Conflate, n.held = false, new(atomic.Int64)
	}
	if once {
		n.Log.Idempotency, n.Log.IdempotencyKeys = n.Log.HistoryTTL, max(n.Log.History, 4096)
	}
	named := maps.Clone(*p.named.Load())
	named[name] = n
	p.named.Store(&named) // systems start one after the other
	return nil
}

// Held is how many bytes wait in the windows of a namespace's channels; 0 if that is not counted.
func (n *Namespace) Held() int64 {
	if n.held == nil {
		return 0
	}
	return n.held.Load()
}

// newNamespace resolves a config.Namespace that has its defaults.
func newNamespace(name string, ns config.Namespace) (*Namespace, error) {
	n := &Namespace{
		Name: name, subscribe: ns.Subscribe, Publish: ns.Publish, Presence: *ns.Presence,
		Batch:   batch.Options{Window: *ns.Batch.Window, Eager: *ns.Batch.Eager, Conflate: *ns.Batch.Conflate, Stretch: ns.Batch.Stretch.Most()},
		message: int(ns.Limit.Message), Rate: ns.Limit.Rate, Posts: ratelimit.NewUsers(ns.Limit.Rate),
		Log: broker.Policy{History: *ns.History.Size, HistoryTTL: ns.History.TTL, HistoryBytes: max(1<<20, *ns.History.Size*bytesPerChange), Items: ns.Limit.Items, ItemBytes: int(ns.Limit.Message),
			Durable: ns.Durable, AfterDisk: ns.Deliver == config.AfterDisk},
	}
	if n.Log.History == 0 {
		n.Log.History = -1 // there 0 means the default
	}
	for _, access := range []config.Access{n.subscribe, n.Publish} {
		switch access {
		case config.Public, config.Authenticated, config.Member, config.Capability, config.ByWebhook, config.Backend:
		default:
			return nil, fmt.Errorf("namespace %s: unknown access %q", name, access)
		}
	}
	if ns.Deliver != config.AtOnce && ns.Deliver != config.AfterDisk {
		return nil, fmt.Errorf("namespace %s: unknown delivery %q", name, ns.Deliver)
	}
	switch ns.Slow {
	case config.Disconnect:
		n.slow = pool.Disconnect
	case config.Resync:
		n.slow = pool.Resync
	default:
		return nil, fmt.Errorf("namespace %s: unknown policy for slow readers %q", name, ns.Slow)
	}
	if w := n.Batch.Window; w < 0 || w > 10*time.Second {
		return nil, fmt.Errorf("namespace %s: window %v is not between 0 and 10s", name, w)
	}
	return n, nil
}

// bytesPerChange bounds the log of a channel in bytes, beside the number of its changes.
const bytesPerChange = 4 << 10

// Of is the namespace of a channel.
func (p *Namespaces) Of(channel string) *Namespace {
	if ns, ok := (*p.named.Load())[wire.Namespace(channel)]; ok {
		return ns
	}
	return p.Fallback
}

// May is Decide for what is no subscription and no single publication: nil if the client may. What would have to be
// moderated it may not.
func (p *Namespaces) May(id *auth.Identity, op auth.Ops, channel string, how Wait) error {
	d, err := p.Decide(id, op, channel, how)
	if err == nil && d.Moderator != nil {
		return ErrDenied
	}
	return err
}

// Decide decides whether a client may do something with a channel: the error is nil if it may. Who is in a channel is told to
// those who may follow it; a token may also restrict that, or the history, where it names channels. It may wait
// for a backend's decision and the disk, as far as how says, so no lock is held meanwhile.
func (p *Namespaces) Decide(id *auth.Identity, op auth.Ops, channel string, how Wait) (Decision, error) {
	ns := p.Of(channel)
	if ns.Name == wire.PresenceNamespace && op != auth.Publish {
		followed := channel[len(wire.PresenceNamespace)+1:]
		if !wire.ValidChannel(followed) || wire.Namespace(followed) == wire.PresenceNamespace {
			return Decision{}, ErrDenied
		}
		return p.Decide(id, auth.Presence, followed, how)
	}
	if ns.Name == wire.UserNamespace && op != auth.Publish && !id.Anonymous && channel == wire.UserChannel(id.User) {
		return Decision{}, nil
	}
	if w, ok := p.guards[wire.Namespace(channel)]; ok {
		v, err := p.guarded(&w, id, op, channel, how)
		if err != nil {
			return Decision{}, err
		}
		switch v {
		case Allowed:
			return Decision{}, nil
		case Denied:
			return Decision{}, ErrDenied
		case Unknown:
		}
	}
	return p.Open(ns, id, op, channel, how)
}

// Guard has a system decide about the channels of a namespace before its policy does; see the type guard. At start.
func (p *Namespaces) Guard(namespace string, verdict func(id *auth.Identity, op auth.Ops, channel string) Verdict, reads func(channel string) string) {
	p.guards[namespace] = guard{verdict, reads}
}

// Carrier carries out a publication of a backend or a client in the place of the broker. The publication is valid during the call.
type Carrier func(channel string, p *broker.Publication) (broker.Receipt, error)

// Carry has f carry out what is published to the channels of a namespace. At start, after the namespace was reserved.
func (p *Namespaces) Carry(namespace string, f Carrier) { p.Of(namespace + ":").carry = f }

// Guarded reports whether a system decides about the channels of a namespace.
func (p *Namespaces) Guarded(namespace string) bool {
	_, ok := p.guards[namespace]
	return ok
}

// Open decides about a client by the policy of the channel's namespace alone.
func (p *Namespaces) Open(ns *Namespace, id *auth.Identity, op auth.Ops, channel string, how Wait) (Decision, error) {
	access := ns.subscribe
	if op == auth.Publish {
		access = ns.Publish
	}
	may := false
	switch access {
	case config.Public:
		may = true
	case config.Authenticated:
		may = !id.Anonymous
	case config.Member, config.Capability:
		may = id.May(op, channel) && (!ns.reserved || Named(id, op, channel, ns.Name))
	case config.ByWebhook:
		if d, err, known := p.Authorizer.Cached(id, op, channel); known {
			return d, err
		}
		if how != WaitForAll {
			return Decision{}, ErrUndecided
		}
		return p.Authorizer.Authorize(id, op, channel)
	}
	if !may {
		return Decision{}, ErrDenied
	}
	return Decision{}, nil
}

// Asks reports whether a namespace needs an authorizer.
func (p *Namespaces) Asks() bool {
	asks := func(ns *Namespace) bool { return ns.subscribe == config.ByWebhook || ns.Publish == config.ByWebhook }
	for _, ns := range *p.named.Load() {
		if asks(ns) {
			return true
		}
	}
	return asks(p.Fallback)
}

// Forget drops the decisions about a user, as Authorizer says.
func (p *Namespaces) Forget(user, channel string) {
	if p.Authorizer != nil {
		p.Authorizer.Forget(user, channel)
	}
}

// Named reports whether a grant that names the namespace itself allows op: "*" does not reach into other
// users' channels and those of the systems.
func Named(id *auth.Identity, op auth.Ops, channel, namespace string) bool {
	for _, g := range id.Grants {
		if g.Ops&op != 0 && strings.HasPrefix(g.Pattern, namespace+":") && auth.MatchPattern(g.Pattern, channel) {
			return true
		}
	}
	return false
}

// Verdict is what a guard decides about a client and a channel.
type Verdict int

// The verdicts.
const (
	Unknown Verdict = iota // the channel is not the system's: its namespace's policy decides
	Allowed
	Denied
)

// Wait is how long a command may wait for something outside.
type Wait int

const (
	NoWait      Wait = iota // not at all: ErrUndecided and ErrNotLoaded say that it has to
	WaitForDisk             // for the disk, but for no decision: ErrUndecided says that it has to
	WaitForAll              // for as long as that takes
)

// What a command that must not wait is told by those that it would have to wait for.
var (
	ErrUndecided = errors.New("the backend has to be asked first")
	ErrNotLoaded = errors.New("the channel has to be read from disk first")
)

// MustWait reports whether err is ErrUndecided or ErrNotLoaded as they are returned, not wrapped: nothing was done, and it is to be tried
// again where it may wait.
func MustWait(err error) bool { return err == ErrUndecided || err == ErrNotLoaded } //nolint:errorlint // see above

// List is the namespaces in the order of their names.
func (p *Namespaces) List() []*Namespace {
	out := []*Namespace{p.Fallback}
	for _, ns := range *p.named.Load() {
		out = append(out, ns)
	}
	slices.SortFunc(out, func(a, b *Namespace) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
