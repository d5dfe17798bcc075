package mercure

import (
	"encoding/json"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/relay"
	"weir/relay/config"
)

// Path is the hub's, and of what is below it.
const Path = "/.well-known/mercure"

// logChannel holds every update.
const logChannel = Namespace + ":updates"

// What is kept unless the namespace is configured.
const (
	keptUpdates = 1000
	keptFor     = 24 * time.Hour
	keptBytes   = 4 << 10 // for each update, on average, as elsewhere
)

// System is the hub. Make it with New.
type System struct {
	// Set once by Start.
	host                  relay.Host
	config                *Config
	publisher, subscriber *signers
	leeway                time.Duration
	base                  string // of relative topics and URL patterns
	published             *metrics.Counter
	refusals              map[string]*metrics.Counter // by reason
	route                 relay.StreamRoute

	compiledMu sync.Mutex
	compiled   map[selector]*matcher // of selectors that are costly to read; guarded by compiledMu, a leaf

	// Guarded by mu, which orders updates. It is taken before the locks of channels and groups.
	mu          sync.Mutex
	log         log
	index       *index
	classes     map[string]*class // by key
	subscribers map[string]*subscriber
	named       uint64   // classes that there have been
	marks       uint64   // updates that were dispatched
	found       []*entry // scratch of dispatch
}

// reasons are those of refusals, as a metric tells them apart.
var reasons = []string{"token", "scope", "origin", "request"}

// New makes the system.
func New() *System {
	return &System{
		index: newIndex(), classes: make(map[string]*class), subscribers: make(map[string]*subscriber), compiled: make(map[selector]*matcher),
		refusals: make(map[string]*metrics.Counter),
		log:      log{byID: make(map[string]*update)},
	}
}

func (s *System) Name() string { return Name }
func (s *System) Close()       {}

func (s *System) Start(host relay.Host) error {
	s.host, s.config = host, config.Of[Config](host.Config())
	s.leeway = *host.Config().Auth.Leeway
	s.base = s.config.URL
	if s.base == "" {
		s.base = "https://localhost" + Path
	}
	var err error
	if s.publisher, err = newSigners(s.config.Publisher); err != nil {
		return err
	}
	if s.subscriber, err = newSigners(s.config.Subscriber); err != nil {
		return err
	}
	err = host.Reserve(Namespace, config.Namespace{
		History: config.History{Size: new(keptUpdates), TTL: keptFor}, Durable: true, Presence: new(bool),
	})
	if err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return err
	}
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
	if s.config.Subscriptions {
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
	b := s.host.Broker()
	if err := b.Load(logChannel); err != nil {
		return err
	}
	changes, _, _, _ := b.History(logChannel, 0, math.MaxInt32)
	broker.EachChange(changes, func(c *broker.ChangeView) bool {
		u := new(update)
		if json.Unmarshal(c.Data, u) == nil && u.ID != "" && len(u.Topics) > 0 { // backends could publish anything there
			s.ready(u)
			s.log.add(u, false)
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
	if err := s.host.Broker().Load(logChannel); err != nil { // so that nothing is waited for under the lock
		return err
	}
	receipt, err := s.accept(u, data)
	if err == nil && receipt.Wait != nil {
		_, err = receipt.Wait()
	}
	return err
}

// accept puts an update into the log and into the windows of those that it is for, in one step.
func (s *System) accept(u *update, data []byte) (broker.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	receipt, err := s.host.Submit(logChannel, &broker.Publication{Op: broker.Send, Data: data})
	if err != nil {
		return receipt, err
	}
	s.published.Inc()
	s.log.add(u, false)
	s.dispatch(u)
	return receipt, nil
}
