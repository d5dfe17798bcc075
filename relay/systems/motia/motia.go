package motia

import (
	"io"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/problem"
)

// System serves the stream clients of Motia apps. New makes it.
type System struct {
	// Set once by Start.
	host    relay.Host
	config  *Config
	dialect hub.Dialect
	refused map[string]*metrics.Counter // by reason

	clock clock

	// Atomic.
	connections, subscriptions atomic.Int64

	// Guarded by mu, a leaf.
	mu    sync.Mutex
	alone map[string]map[*client]struct{} // who has joined items, by channel
}

// reasons are those of refusals, as a metric tells them apart.
var reasons = []string{"token", "access", "limit", "name", "form", "unavailable"}

// New returns a system. Its settings are in the configuration of the host.
func New() *System {
	return &System{refused: make(map[string]*metrics.Counter), alone: make(map[string]map[*client]struct{})}
}

// Name implements relay.System.
func (*System) Name() string { return Name }

// Start implements relay.System.
func (s *System) Start(host relay.Host) error {
	s.host, s.config = host, config.Of[Config](host.Config())
	streams := config.Namespace{Presence: new(bool), Batch: host.Config().Namespaces["default"].Batch}
	if host.Config().DevLocal() {
		streams.Subscribe = config.Public
	}
	if err := host.Reserve(Namespace, streams); err != nil {
		return err
	}
	if err := host.Reserve(clockNamespace, config.Namespace{Durable: true, Presence: new(bool)}); err != nil {
		return err
	}
	s.dialect = hub.Dialect{Name: Name, Change: s.change, Lost: s.lost}
	if err := host.Dialect(&s.dialect); err != nil {
		return err
	}
	set := host.Metrics()
	set.RegisterMetricsWriter(func(w io.Writer) { metrics.WriteCounterUint64(w, "weir_motia_encodes_total", s.dialect.Encodes()) })
	set.NewGauge("weir_motia_connections", func() float64 { return float64(s.connections.Load()) })
	set.NewGauge("weir_motia_subscriptions", func() float64 { return float64(s.subscriptions.Load()) })
	for _, reason := range reasons {
		s.refused[reason] = set.NewCounter("weir_motia_refused_total{reason=" + strconv.Quote(reason) + "}")
	}
	host.WebSocket(s.config.Path, relay.WebSocketRoute{
		Dialect: &relay.DialectRoute{Dialect: &s.dialect, Identify: s.identify, Refused: s.refuse},
		Open:    func(c *relay.Client) { c.Value.(*client).open(c) },
		Message: func(c *relay.Client, data []byte, _ bool) { c.Value.(*client).message(data) },
		Closed:  func(c *relay.Client) { c.Value.(*client).closed() },
		Denied: func(c *relay.Client, channel, _ string) bool {
			return c.Value.(*client).expel(channel, "access", accessDenied, "Access denied")
		},
	})
	return s.clock.start(host)
}

// Close implements relay.System.
func (s *System) Close() { s.clock.close() }

// refuse returns how a client is turned away: after the upgrade, since one that is refused before ends its process in Node.js. It comes
// back after two seconds, whatever the code.
func (s *System) refuse(err error) (message []byte, code int, reason string) {
	p := problem.Of(err)
	s.refused["token"].Inc()
	switch {
	case p == problem.Internal:
		return nil, 1011, "internal error"
	case p.Status == 401:
		return nil, 4001, p.Code
	case p.Status == 403:
		return nil, 4003, p.Code
	}
	return nil, 1013, p.Code // the relay's limits, its memory, and while it drains
}
