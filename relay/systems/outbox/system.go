package outbox

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/contain"
	"weir/internal/pause"
	"weir/internal/retry"
	"weir/relay"
	"weir/relay/config"
)

// lastWords is how long a shutdown waits for the database to take note of what was published last.
const lastWords = 2 * time.Second

// The pauses between attempts to reach a database that is gone.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
)

// System publishes the rows of an outbox. New makes it.
type System struct {
	// Set once by Start.
	host     relay.Host
	config   *Config
	name     Table
	session  string // application_name
	counters counters
	cancel   context.CancelFunc
	working  sync.WaitGroup

	// Owned by the goroutine.
	told    map[string]time.Time // when the log last had it
	unfinal outcome              // what was published, and may not be in the table: at most a batch
	trouble bool                 // the log has it that the database is gone
}

// counters are the system's metrics.
type counters struct {
	published, failed, retries, errors *metrics.Counter
	reading, connected                 atomic.Bool
	held                               atomic.Int64 // channels
	oldest                             atomic.Int64 // when the oldest row that waits was inserted, by our clock, in ns; 0: none waits
	blocked                            atomic.Int64 // since when rows have waited for a transaction, in ns; 0: none do
}

// New returns a system. Its table is that of the configuration of the host.
func New() *System { return &System{told: make(map[string]time.Time)} }

// Name implements relay.System.
func (*System) Name() string { return Name }

// Start implements relay.System. It does not connect: a database that is not reached is no error here.
func (s *System) Start(host relay.Host) (err error) {
	s.host, s.config = host, config.Of[Config](host.Config())
	if s.name, err = ParseTable(s.config.Table); err != nil {
		return err
	}
	s.session = "weir outbox"
	if !host.Alone() {
		s.session = "weir outbox of " + host.Config().Cluster.Name
	}
	s.count(host.Metrics())
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	host.Contain().Loop(&s.working, "outbox", contain.Done(ctx), func() { s.run(ctx) }, nil)
	return nil
}

func (s *System) count(set *metrics.Set) {
	c := &s.counters
	c.published, c.failed = set.NewCounter("weir_outbox_published_total"), set.NewCounter("weir_outbox_failed_total")
	c.retries, c.errors = set.NewCounter("weir_outbox_retries_total"), set.NewCounter("weir_outbox_errors_total")
	flag := func(name string, b *atomic.Bool) {
		set.NewGauge(name, func() float64 {
			if b.Load() {
				return 1
			}
			return 0
		})
	}
	flag("weir_outbox_reading", &c.reading)
	flag("weir_outbox_connected", &c.connected)
	set.NewGauge("weir_outbox_held_channels", func() float64 { return float64(c.held.Load()) })
	since := func(name string, at *atomic.Int64) {
		set.NewGauge(name, func() float64 {
			if ns := at.Load(); ns != 0 {
				return max(0, s.host.Now().Sub(time.Unix(0, ns)).Seconds())
			}
			return 0
		})
	}
	since("weir_outbox_lag_seconds", &c.oldest)
	since("weir_outbox_blocked_seconds", &c.blocked)
}

// Close implements relay.System.
func (s *System) Close() {
	s.cancel()
	s.working.Wait()
}

// run reads the outbox, on one connection after the other, until ctx is done.
func (s *System) run(ctx context.Context) {
	select {
	case <-s.host.Started():
	case <-ctx.Done():
		return
	}
	for failures := 0; ctx.Err() == nil; {
		if !s.mine() {
			_ = pause.For(ctx, s.config.Poll) // another node's: whether that has changed is asked as often as the table is
			continue
		}
		begun := time.Now()
		err := s.read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil: // another node owns it now
			failures = 0
			continue
		}
		if time.Since(begun) > 2*lastPause {
			failures = 0
		}
		failures++
		s.counters.errors.Inc()
		s.trouble = true
		s.tell(slog.LevelError, "the outbox cannot be read; trying again until the database and the table can be used", "trouble", time.Minute,
			slog.Int("attempts", failures), slog.String("error", err.Error()))
		_ = pause.For(ctx, retry.Backoff(failures, firstPause, lastPause))
	}
}

// mine reports whether this node is to read the outbox.
func (s *System) mine() bool { return s.host.Alone() || !s.host.Elsewhere(ownerKey(s.name)) }

// ownerKey is the key whose owner in a cluster reads a table.
func ownerKey(t Table) string { return "outbox:" + t.schema + "." + t.name }

// tell logs something, at most once every so often.
func (s *System) tell(level slog.Level, text, kind string, every time.Duration, attrs ...slog.Attr) {
	now := time.Now()
	if last, ok := s.told[kind]; ok && now.Sub(last) < every {
		return
	}
	s.told[kind] = now
	s.host.Log().LogAttrs(context.Background(), level, text, attrs...)
}
