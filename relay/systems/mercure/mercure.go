package mercure

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
)

// Path is the path of the hub; those of its subscriptions are below it.
const Path = "/.well-known/mercure"

// logChannel holds every update.
const logChannel = Namespace + ":updates"

// What is kept unless the namespace is configured.
const (
	keptUpdates = 1000
	keptFor     = 24 * time.Hour
	keptBytes   = 4 << 10 // for each update, on average, as elsewhere
)

// System is the hub. New makes it.
type System struct {
	// Set once by Start.
	host      relay.Host
	leeway    time.Duration
	listed    bool   // subscriptions are
	base      string // of relative topics and URL patterns
	published *metrics.Counter
	refusals  map[string]*metrics.Counter // by reason
	route     relay.StreamRoute
	nodes     *nodes // the other ones; nil: there are none

	current atomic.Pointer[settings] // replaced by Reload

	reloadMu sync.Mutex // lets one Reload at a time in, and none after Close
	sets     map[auth.JWKS]*auth.KeySet
	ended    bool

	compiledMu sync.Mutex
	compiled   map[selector]*matcher // of selectors that are costly to read; guarded by compiledMu, a leaf

	// Guarded by mu, which orders updates. It is taken before the locks of channels and groups; on several nodes, where the channel orders
	// them, after its channel's.
	mu          sync.Mutex
	log         log
	index       *index
	classes     map[string]*class // by key
	subscribers map[string]*subscriber
	at          broker.Position // of the last update in its channel
	named       uint64          // classes that there have been
	marks       uint64          // updates that were dispatched
	found       []*entry        // scratch of dispatch
}

// reasons are those of refusals, as a metric tells them apart.
var reasons = []string{"token", "scope", "origin", "request"}

// New returns a hub. Its settings are in the configuration of the host.
func New() *System {
	return &System{
		index: newIndex(), classes: make(map[string]*class), subscribers: make(map[string]*subscriber), compiled: make(map[selector]*matcher), sets: make(map[auth.JWKS]*auth.KeySet),
		refusals: make(map[string]*metrics.Counter),
		log:      log{byID: make(map[string]*update)},
	}
}

// Name implements relay.System.
func (s *System) Name() string { return Name }

// settings is what a reload may change, as it is in force.
type settings struct {
	Config
	publisher, subscriber *signers
}

// now is the settings that are in force.
func (s *System) now() *settings { return s.current.Load() }

// Close implements relay.System.
func (s *System) Close() {
	s.reloadMu.Lock()
	defer s.reloadMu.Unlock()
	s.ended = true
	for _, set := range s.sets {
		set.Close()
	}
	if s.nodes != nil {
		s.nodes.close()
	}
}

// Reload implements relay.Reloader. It takes keys, key sets, origins, issuers, the cookie, lifetimes, and whether clients without a token may
// connect. Open streams stay.
func (s *System) Reload(cfg *config.Config) error {
	s.reloadMu.Lock()
	defer s.reloadMu.Unlock()
	if s.ended {
		return nil
	}
	n := &settings{Config: *config.Of[Config](cfg)}
	before := maps.Clone(s.sets)
	var err error
	if n.publisher, err = newSigners(n.Publisher, s.sets, s.host.Contain()); err == nil {
		n.subscriber, err = newSigners(n.Subscriber, s.sets, s.host.Contain())
	}
	if err == nil {
		s.current.Store(n)
	} else {
		n = s.now() // nothing changes
	}
	for j, set := range s.sets {
		used := n != nil && slices.ContainsFunc(slices.Concat(n.Publisher, n.Subscriber), func(k Key) bool { return k.JWKS == j })
		if !used && (err == nil || before[j] == nil) {
			delete(s.sets, j)
			set.Close()
		}
	}
	return err
}

// Start implements relay.System.
func (s *System) Start(host relay.Host) error {
	s.host = host
	s.leeway = *host.Config().Auth.Leeway
	if err := s.Reload(host.Config()); err != nil {
		return err
	}
	own := s.now()
	s.listed = own.Subscriptions
	s.base = own.URL
	if s.base == "" {
		s.base = "https://localhost" + Path
	}
	s.index.base = parseBase(s.base)
	policy := config.Namespace{History: config.History{Size: new(keptUpdates), TTL: keptFor}, Durable: true, Presence: new(bool)}
	if !host.Alone() { // the channel has what tells of subscriptions, too
		policy.History.Size, policy.Limit.Items = new(4*keptUpdates), maxListed
	}
	if err := host.Reserve(Namespace, policy); err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return err
	}
	host.Carry(Namespace, s.carry)
	s.published = host.Metrics().NewCounter("weir_mercure_updates_total")
	s.gauge("weir_mercure_subscribers", func() int {
		n := 0
		for _, c := range s.classes {
			n += c.members
		}
		return n
	})
	s.gauge("weir_mercure_classes", func() int { return len(s.classes) })
	s.gauge("weir_mercure_selectors", func() int { return len(s.index.entries) })
	for _, reason := range reasons {
		s.refusals[reason] = host.Metrics().NewCounter("weir_mercure_refused_total{reason=" + strconv.Quote(reason) + "}")
	}
	s.route = relay.StreamRoute{Open: s.open, Closed: s.closed}
	host.Raw(fasthttp.MethodPost, Path, s.handlePublish)
	host.Raw(fasthttp.MethodGet, Path, s.handleSubscribe)
	host.Raw("QUERY", Path, s.handleSubscribe)
	host.Raw(fasthttp.MethodOptions, Path, s.handlePreflight)
	host.Raw(fasthttp.MethodGet, "/.well-known/oauth-protected-resource"+Path, s.handleMetadata)
	if s.listed {
		for _, path := range []string{"", "/{first}", "/{first}/{second}", "/{first}/{second}/{third}"} {
			path = Path + "/subscriptions" + path
			host.Raw(fasthttp.MethodGet, path, s.handleSubscriptions)
			host.Raw(fasthttp.MethodOptions, path, s.handlePreflight)
		}
	}
	return nil
}

func (s *System) gauge(name string, f func() int) {
	s.host.Metrics().NewGauge(name, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(f())
	})
}

// load reads what the channel keeps.
func (s *System) load() error {
	s.log.size, s.log.ttl = keptUpdates, keptFor
	if ns, ok := s.host.Config().Namespaces[Namespace]; ok {
		s.log.size, s.log.ttl = *ns.History.Size, ns.History.TTL
	}
	s.log.bytes = max(1<<20, s.log.size*keptBytes)
	if !s.host.Alone() {
		s.nodes = newNodes(s)
		return nil
	}
	b := s.host.Broker()
	if err := b.Load(logChannel); err != nil {
		return err
	}
	if r, ok := b.Read(logChannel, nil); ok {
		s.at = r.Position
	}
	changes, _, _, _ := b.History(logChannel, 0, math.MaxInt32)
	broker.EachChange(changes, func(c *broker.ChangeView) bool {
		u := new(update)
		if json.Unmarshal(c.Data, u) == nil && u.ID != "" && len(u.Topics) > 0 { // backends could publish anything there
			s.ready(u)
			s.log.add(u, s.log.number+1, false)
		}
		return true
	})
	return nil
}

// ready fills in what an update does not bring.
func (s *System) ready(u *update) {
	u.at = s.host.Now()
	u.event = u.appendEvent(nil)
}

// publish makes an update the next one of the hub, and returns when it is as safe as the namespace says.
func (s *System) publish(u *update) error {
	s.ready(u)
	data := u.encode()
	if s.nodes == nil {
		if err := s.host.Broker().Load(logChannel); err != nil { // so that nothing is waited for under the lock
			return err
		}
	}
	receipt, err := s.accept(u, data, "")
	if err == nil {
		_, err = receipt.Settle()
	}
	return err
}

// accept puts an update into the log and into the windows of those that it is for, in one step. What comes with an idempotency key
// that the log knows is there already.
func (s *System) accept(u *update, data []byte, key string) (broker.Receipt, error) {
	p := &broker.Publication{Op: broker.Send, Data: data, IdempotencyKey: key}
	if s.nodes != nil { // it comes back by the log: see nodes.Apply
		receipt, err := s.host.Submit(logChannel, p)
		if err == nil {
			s.published.Inc()
		}
		return receipt, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	receipt, err := s.host.Submit(logChannel, p)
	if err != nil {
		return receipt, err
	}
	if at := receipt.Position; at.Epoch != "" && at.Epoch != s.at.Epoch {
		s.at = at // the log is another
	} else if at.Epoch != "" && at.Seq <= s.at.Seq {
		return receipt, nil
	} else {
		s.at.Seq++
	}
	s.published.Inc()
	s.log.add(u, s.log.number+1, false)
	s.dispatch(u)
	return receipt, nil
}
