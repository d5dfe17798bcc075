package hub

import (
	"fmt"
	"hash/maphash"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/panjf2000/ants/v2"

	"weir/batch"
	"weir/broker"
	"weir/broker/disk"
	"weir/broker/ledger"
	"weir/internal/contain"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/cluster"
	"weir/relay/config"
	"weir/relay/presence"
	"weir/relay/stats"
	"weir/relay/tracing"
)

// Hub is the channels as the relay serves them: namespaces and who may do what in them, the fan-out of changes to
// connections, presence, events, and the one way to publish. It knows connections, and neither requests nor sessions.
type Hub struct {
	// Set once, before anything is served.
	Config     *config.Config
	Log        *slog.Logger
	Contain    contain.Hook // counts and logs panics: panicked
	Counters   *stats.Counters
	Namespaces *Namespaces
	Broker     *broker.Broker
	Disk       *disk.Journal        // nil: there is no data directory
	DevDisk    *disk.Fillable       // its disk, in development mode; nil: there is none
	Ledger     *ledger.Ledger       // durable channels of a cluster; nil: there are none
	Cluster    *cluster.Cluster     // nil: this is the only node
	handlers   cluster.Handlers     // what this node does for others; filled at start
	listeners  map[string]*listener // of channels, within this process; filled at start
	Pool       *pool.Pool
	Batchers   []*batch.Batcher // by shard
	seed       maphash.Seed
	Presence   *presence.Presence
	Tracing    *tracing.Tracer                                              // nil: no message is followed
	dialects   []*Dialect                                                   // filled at start
	Topics     Topics                                                       // filled at start
	Started    chan struct{}                                                // closed when all systems have said which namespaces are theirs
	Find       func(connection string) (conn *pool.Conn, enc pool.Encoding) // an open connection; nil if there is none

	// Awaiting has the sessions join that wait for the channel of their user. It returns how many they are, and the epoch that they were told. nil: nobody waits.
	Awaiting func(user string, c *broker.Channel, fanout func(epoch string) *Fanout) (int, string)

	Busiest    stats.TopChannels
	Traffic    stats.Traffic
	Memory     stats.Memory
	Waits      stats.Waits    // of the event loops
	WorkerPool *ants.Pool     // side work, bounded
	Workers    sync.WaitGroup // of which the relay waits for the end
}

// sideWorkers bounds the side work that runs at once.
const sideWorkers = 256

// New makes a hub of a configuration that is complete. Nothing runs before start.
func New(cfg *config.Config, log *slog.Logger, counters *stats.Counters) (*Hub, error) {
	h := &Hub{Config: cfg, Log: log, Counters: counters, seed: maphash.MakeSeed(), Started: make(chan struct{})}
	h.Contain = h.panicked
	h.Presence = presence.New(h.Contain)
	var err error
	if h.Namespaces, err = newNamespaces(cfg); err != nil {
		return nil, err
	}
	h.Namespaces.loaded = h.EnsureLoaded
	if h.Tracing, err = tracing.Open(cfg.Tracing, cfg.Cluster.Node, log, h.Contain); err != nil {
		return nil, err
	}
	if h.WorkerPool, err = ants.NewPool(sideWorkers, ants.WithNonblocking(true), ants.WithDisablePurge(true), ants.WithPanicHandler(h.Contain.Worker)); err != nil {
		return nil, fmt.Errorf("start workers: %w", err)
	}
	return h, nil
}

// Start starts the pool, its batchers and the broker. Close of each is the relay's.
func (h *Hub) Start() error {
	store, err := h.openDisk()
	if err != nil {
		return err
	}
	cfg := broker.Config{
		Policy:     h.policyOf,
		Subscriber: h.newFanout,
		Awaiting:   h.awaiting,
		Store:      store,
		Panic:      h.Contain,
	}
	if err := h.openCluster(); err != nil {
		return err
	}
	if h.Cluster != nil {
		cfg.Cluster = h.Cluster
		if h.Ledger != nil {
			cfg.Store = h.Ledger
		}
		merger, handler := h.Presence.Share(h.Cluster)
		h.Share(presence.Kind, merger)
		h.Answer(presence.Kind, handler)
	}
	if h.Broker, err = broker.New(cfg); err != nil {
		return err
	}
	h.Presence.Start(h.Broker)
	var mu sync.Mutex
	byShard := make(map[int]*batch.Batcher)
	h.Pool = pool.New(pool.Config{
		Shards:    h.Config.Shards,
		Queue:     int(h.Config.Limit.Queue),
		Heartbeat: h.Config.Heartbeat,
		Check:     min(h.Config.Pong, h.Config.Heartbeat),
		Scheduler: func(s *pool.Shard) pool.Scheduler {
			b := batch.New(batch.Config{Wake: s.Wake, Phase: time.Duration(s.Index()) * 50 * time.Millisecond / 8, Load: h.Config.Load, Waited: h.Waits.Longest, Panic: h.unbuilt})
			mu.Lock()
			byShard[s.Index()] = b
			mu.Unlock()
			return b
		},
		Observe: h.Counters.Observe,
		Panic:   h.Contain,
	})
	for i := range h.Pool.Shards() {
		h.Batchers = append(h.Batchers, byShard[i])
	}
	return nil
}

// policyOf is the policy of a channel.
func (h *Hub) policyOf(channel string) broker.Policy {
	p := h.Namespaces.Of(channel).Log
	p.Awaited = h.Cluster == nil && !p.Durable && wire.Namespace(channel) == wire.UserNamespace
	return p
}

// MayAwait reports whether a session may wait for the channel of its user to be made.
func (h *Hub) MayAwait(channel string) bool { return h.policyOf(channel).Awaited }

// awaiting is broker.Config.Awaiting: the sessions of a user whose own channel it is.
func (h *Hub) awaiting(c *broker.Channel, seq uint64) (broker.Subscriber, int, string) {
	user := wire.UserOf(c.Name())
	if user == "" || h.Awaiting == nil {
		return nil, 0, ""
	}
	var f *Fanout
	n, epoch := h.Awaiting(user, c, func(epoch string) *Fanout {
		if f == nil {
			f = FanoutOf(h.newFanout(c))
			f.Begin(broker.Position{Epoch: epoch, Seq: seq})
		}
		return f
	})
	if n == 0 {
		return nil, 0, ""
	}
	return f, n, epoch
}

// BatcherOf is the batcher of the shard on whose loop a channel's windows are flushed.
func (h *Hub) BatcherOf(channel string) *batch.Batcher {
	return h.Batchers[maphash.String(h.seed, channel)%uint64(len(h.Batchers))]
}

// panicked counts and logs a panic that has been ended; it is the relay's contain.Hook.
func (h *Hub) panicked(where string, v any) { h.LogPanic(v, slog.String("where", where)) }

// LogPanic counts and logs a panic, and with it what about says of where.
func (h *Hub) LogPanic(v any, about ...any) {
	h.Counters.Panics.Inc()
	h.Log.Error("panic", append(about, slog.String("panic", fmt.Sprint(v)), slog.String("stack", string(debug.Stack())))...)
}

// unbuilt logs and counts a panic while the frames of a sink were built; nil: while the load was looked at. Those whom
// the frames were for are closed, and so come back for what they have missed: see Fanout.Missed.
func (h *Hub) unbuilt(sink batch.Sink, v any) {
	channel := ""
	if f, ok := sink.(*Fanout); ok {
		channel = f.Name
	}
	h.LogPanic(v, slog.String("where", "frames"), slog.String("channel", channel))
}

// Background runs work that may take a while off the caller's goroutine, on a bounded pool. It returns false,
// without running it, if that is full.
func (h *Hub) Background(work func()) bool {
	h.Workers.Add(1)
	err := h.WorkerPool.Submit(func() {
		defer h.Workers.Done()
		h.Contain.Do("side work", work)
	})
	if err != nil {
		h.Workers.Done()
		h.Counters.Overflows.Inc()
		h.Log.Warn("side work refused: too much of it is running", slog.String("error", err.Error()))
	}
	return err == nil
}

// EnsureLoaded has a channel be in memory, or be known by its owner, so that using it does not wait. ErrNotLoaded: how does not allow to wait for that.
func (h *Hub) EnsureLoaded(channel string, how Wait) error {
	if (!h.Keeps() || !h.Namespaces.Of(channel).Log.Durable) && !h.Elsewhere(channel) {
		return nil
	}
	if how != NoWait {
		if err := h.Broker.Load(channel); err != nil && (h.Cluster != nil || h.Elsewhere(channel)) {
			return err // or who uses the channel would wait once more, with a lock held
		}
		return nil // who uses the channel is told what is wrong
	}
	if publisher := h.Broker.Publisher(); !publisher.Ready(channel) {
		return ErrNotLoaded
	}
	return nil
}
