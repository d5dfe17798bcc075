package relay

import (
	"cmp"
	"fmt"
	"maps"
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

// namespace is a Namespace with every default filled in, and the counters of its channels.
type namespace struct {
	name       string
	subscribe  config.Access
	publish    config.Access
	presence   bool
	reserved   bool // of the users or of a system
	unmeasured bool // see config.Namespace.Unmeasured
	batch      batch.Options
	slow       pool.Slow
	log        broker.Policy
	message    int
	rate       units.Rate
	events     *EventStream     // how a system tells the changes; nil: it has no streams of its own
	posts      *ratelimit.Users // rate, for users who publish over HTTP

	meter   pool.Meter // deliveries
	counted stats.NamespaceCounters
}

// policies is the set of namespaces. It is complete when the systems have started, and read without a lock.
type policies struct {
	named      atomic.Pointer[map[string]*namespace] // replaced when a system reserves one
	fallback   *namespace                            // channels without a known namespace
	guards     map[string]warden
	loaded     func(channel string, how haste) error // see Relay.loaded
	authorizer Authorizer                            // for namespaces with the access "webhook"; nil: there are none
}

// Authorizer decides who may do what in channels whose namespace has the access "webhook". Its methods may be called
// concurrently.
type Authorizer interface {
	// Authorize returns nil if a client may do op in a channel, and ErrDenied or ErrUnavailable otherwise. It may take
	// seconds, and waits for nothing but the decision.
	Authorize(id *auth.Identity, op auth.Ops, channel string) error

	// Cached is Authorize that does not wait: known is false if the decision is still to be made.
	Cached(id *auth.Identity, op auth.Ops, channel string) (err error, known bool)

	// Forget drops the decisions about a user and a channel, or about all of the user's channels if channel is "".
	// Decisions under way become denials.
	Forget(user, channel string)
}

// The errors of an Authorizer.
var (
	ErrDenied      error = problem.Forbidden   // the client may not
	ErrUnavailable error = problem.Unavailable // there is no decision: the client may try again
)

// newPolicies resolves the configuration.
func newPolicies(cfg *config.Config) (*policies, error) {
	fallback := cfg.Namespaces[config.DefaultNamespace]
	p := &policies{guards: make(map[string]warden)}
	named := make(map[string]*namespace)
	p.named.Store(&named)
	var err error
	if p.fallback, err = newNamespace(config.DefaultNamespace, fallback); err != nil {
		return nil, err
	}
	closed := fallback
	closed.Subscribe, closed.Publish = config.Capability, config.Backend
	reserved := []string{wire.UserNamespace, eventNamespace, wire.PresenceNamespace}
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
	named[wire.PresenceNamespace].presence = off
	named[wire.UserNamespace].presence = off
	named[eventNamespace].presence = off
	for name, ns := range cfg.Namespaces {
		if name == config.DefaultNamespace {
			continue
		}
		if name == wire.UserNamespace || name == wire.PresenceNamespace || name == eventNamespace {
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
	who := &named[wire.PresenceNamespace].log
	who.Items, who.StateBytes = -1, -1
	return p, nil
}

// reserve makes a namespace a system's own. See Core.Reserve.
func (p *policies) reserve(cfg *config.Config, name string, ns config.Namespace) error {
	durable, once, unmeasured := ns.Durable && cfg.Data != "", ns.Once, ns.Unmeasured
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
	n.reserved, n.unmeasured = true, unmeasured
	n.log.Durable = durable || n.log.Durable && cfg.Data != ""
	if once {
		n.log.Idempotency, n.log.IdempotencyKeys = n.log.HistoryTTL, max(n.log.History, 4096)
	}
	named := maps.Clone(*p.named.Load())
	named[name] = n
	p.named.Store(&named) // systems start one after the other
	return nil
}

// newNamespace resolves a policy that has its defaults.
func newNamespace(name string, ns config.Namespace) (*namespace, error) {
	n := &namespace{
		name: name, subscribe: ns.Subscribe, publish: ns.Publish, presence: *ns.Presence,
		batch:   batch.Options{Window: *ns.Batch.Window, Eager: *ns.Batch.Eager, Conflate: *ns.Batch.Conflate, Stretch: *ns.Batch.Stretch},
		message: int(ns.Limit.Message), rate: ns.Limit.Rate, posts: ratelimit.NewUsers(ns.Limit.Rate),
		log: broker.Policy{History: *ns.History.Size, HistoryTTL: ns.History.TTL, HistoryBytes: max(1<<20, *ns.History.Size*bytesPerChange), Items: ns.Limit.Items,
			Durable: ns.Durable, AfterDisk: ns.Deliver == config.AfterDisk},
	}
	if n.log.History == 0 {
		n.log.History = -1 // there 0 means the default
	}
	for _, access := range []config.Access{n.subscribe, n.publish} {
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
	if w := n.batch.Window; w < 0 || w > 10*time.Second {
		return nil, fmt.Errorf("namespace %s: window %v is not between 0 and 10s", name, w)
	}
	return n, nil
}

// bytesPerChange bounds the log of a channel in bytes, beside the number of its changes.
const bytesPerChange = 4 << 10

// of is the namespace of a channel.
func (p *policies) of(channel string) *namespace {
	if ns, ok := (*p.named.Load())[wire.Namespace(channel)]; ok {
		return ns
	}
	return p.fallback
}

// may says whether a client may do something with a channel: nil if it may. Who is in a channel is told to
// those who may follow it; a token may also restrict that, or the history, where it names channels. It may wait
// for a backend's decision and the disk, as far as how says, so no lock is held meanwhile.
func (p *policies) may(id *auth.Identity, op auth.Ops, channel string, how haste) error {
	ns := p.of(channel)
	if ns.name == wire.PresenceNamespace && op != auth.Publish {
		followed := channel[len(wire.PresenceNamespace)+1:]
		if !wire.ValidChannel(followed) || wire.Namespace(followed) == wire.PresenceNamespace {
			return ErrDenied
		}
		return p.may(id, auth.Presence, followed, how)
	}
	if ns.name == wire.UserNamespace && op != auth.Publish && !id.Anonymous && channel == wire.UserChannel(id.User) {
		return nil
	}
	if w, ok := p.guards[wire.Namespace(channel)]; ok {
		if w.reads != nil {
			if err := p.loaded(w.reads(channel), how); err != nil {
				return err
			}
		}
		switch w.verdict(id, op, channel) {
		case Allowed:
			return nil
		case Denied:
			return ErrDenied
		case Unknown:
		}
	}
	return p.open(ns, id, op, channel, how)
}

// warden is what a system says of the channels of its namespace. See Core.Guard.
type warden struct {
	verdict func(id *auth.Identity, op auth.Ops, channel string) Verdict
	reads   func(channel string) string // which channel it reads; nil: none
}

// open is what the policy of a channel's namespace says of a client.
func (p *policies) open(ns *namespace, id *auth.Identity, op auth.Ops, channel string, how haste) error {
	access := ns.subscribe
	if op == auth.Publish {
		access = ns.publish
	}
	may := false
	switch access {
	case config.Public:
		may = true
	case config.Authenticated:
		may = !id.Anonymous
	case config.Member, config.Capability:
		may = id.May(op, channel) && (!ns.reserved || named(id, op, channel, ns.name))
	case config.ByWebhook:
		if err, known := p.authorizer.Cached(id, op, channel); known {
			return err
		}
		if how != beside {
			return errAsk
		}
		return p.authorizer.Authorize(id, op, channel)
	}
	if !may {
		return ErrDenied
	}
	return nil
}

// asks reports whether a namespace needs an authorizer.
func (p *policies) asks() bool {
	asks := func(ns *namespace) bool { return ns.subscribe == config.ByWebhook || ns.publish == config.ByWebhook }
	for _, ns := range *p.named.Load() {
		if asks(ns) {
			return true
		}
	}
	return asks(p.fallback)
}

// forget drops the decisions about a user, as Authorizer says.
func (p *policies) forget(user, channel string) {
	if p.authorizer != nil {
		p.authorizer.Forget(user, channel)
	}
}

// named says whether a grant that names the namespace itself allows op: "*" does not reach into other
// users' channels and those of the systems.
func named(id *auth.Identity, op auth.Ops, channel, namespace string) bool {
	for _, g := range id.Grants {
		if g.Ops&op != 0 && strings.HasPrefix(g.Pattern, namespace+":") && auth.MatchPattern(g.Pattern, channel) {
			return true
		}
	}
	return false
}
