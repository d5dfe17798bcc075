package pusher

import (
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/hub"
)

// System is the protocol of all apps.
type System struct {
	// Set once by Start.
	host    relay.Host
	dialect hub.Dialect
	ctx     context.Context // of attempts at webhooks
	stop    context.CancelFunc

	// Atomic: replaced by Reload, read without a lock.
	byID, byKey, byNamespace atomic.Pointer[map[string]*app]

	mu      sync.Mutex // lets one Reload at a time in, and none after Close
	closed  bool
	retired []*hook // which get no more events, and still deliver what they have
}

// New returns the system.
func New() *System { return new(System) }

// Name implements relay.System.
func (*System) Name() string { return Name }

// Start implements relay.System.
func (s *System) Start(host relay.Host) error {
	s.host = host
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, p := range []*atomic.Pointer[map[string]*app]{&s.byID, &s.byKey, &s.byNamespace} {
		p.Store(&map[string]*app{})
	}
	s.dialect = hub.Dialect{Name: Name, Change: s.change, Lost: s.lost}
	s.share()
	if err := host.Dialect(&s.dialect); err != nil {
		return err
	}
	host.Metrics().RegisterMetricsWriter(func(w io.Writer) { metrics.WriteCounterUint64(w, "weir_pusher_encodes_total", s.dialect.Encodes()) })
	if err := s.Reload(host.Config()); err != nil {
		s.stop()
		return err
	}
	path := config.Of[Config](host.Config()).Path
	s.serveSockets(path)
	s.serveAPI(path)
	return nil
}

// Close implements relay.System: the sessions have ended. Webhooks are told at once of what was still to be told later, and get what is
// ready; after lastPatience it is given up, and with it what waits for another attempt.
func (s *System) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, a := range *s.byID.Load() {
		a.close()
		s.retired = append(s.retired, a.settings.Load().hooks...)
	}
	ctx, cancel := context.WithTimeout(s.ctx, lastPatience)
	defer cancel()
	var wait sync.WaitGroup
	for _, h := range s.retired {
		finish := func() { h.queue.Finish(ctx, nil) }
		s.host.Contain().Go(&wait, "end of a webhook", finish, finish) // ends with ctx
	}
	wait.Wait()
	s.stop()
	for _, h := range s.retired {
		h.stop()
	}
}

// lastPatience is how long the end of the relay waits for webhooks.
const lastPatience = 5 * time.Second

// Reload implements relay.Reloader: apps are added, changed and removed.
func (s *System) Reload(cfg *config.Config) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.retired = slices.DeleteFunc(s.retired, (*hook).stopIdle)
	old := *s.byID.Load()
	byID, byKey, byNamespace := make(map[string]*app), make(map[string]*app), make(map[string]*app)
	for _, c := range config.Of[Config](cfg).Apps {
		a := old[c.ID]
		if a == nil || a.namespace != c.Namespace || a.name != c.Name {
			if err := s.host.Reserve(c.Namespace, config.Namespace{Presence: new(bool), Events: true, Batch: s.host.Config().Namespaces["default"].Batch}); err != nil {
				return err
			}
			a = newApp(s, &c)
		}
		a.configure(&c, cfg.Dev || s.host.Config().Dev)
		byID[c.ID], byNamespace[c.Namespace] = a, a
		for _, k := range c.Keys {
			byKey[k.Key] = a
		}
	}
	gone := maps.Clone(old)
	for id, a := range byID {
		if old[id] == a {
			delete(gone, id)
		}
	}
	s.byID.Store(&byID)
	s.byKey.Store(&byKey)
	s.byNamespace.Store(&byNamespace)
	for _, a := range byID {
		a.review()
	}
	for _, a := range gone {
		a.remove()
	}
	return nil
}

func itoa(n int) string { return strconv.Itoa(n) }
