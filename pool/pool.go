package pool

import (
	"cmp"
	"context"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/contain"
)

// Config of a Pool. Zero, or less, means the default that a field's comment states.
type Config struct {
	Shards int // rounded up to a power of two, at most 1024; GOMAXPROCS
	// Scheduler makes the scheduler of a shard; called by New, once per shard. Nil: no scheduler.
	Scheduler func(*Shard) Scheduler
	// Queue bounds the bytes waiting for one connection; 1 MiB. The last reply may exceed it, and the
	// only item may be larger.
	Queue int
	// Stall closes a connection whose queue makes no progress for so long, unless frames were dropped
	// from it and a snapshot is due; 5 s.
	Stall time.Duration
	// Linger is how long a connection that was shut may take to close its side; 2 s.
	Linger    time.Duration
	Heartbeat time.Duration // each connection's Owner.Heartbeat is called once in so long; 25 s
	Check     time.Duration // and Owner.Check so long after that, less than Heartbeat; 10 s
	Backlog   int64         // bytes of frames waiting in one shard's mailbox before Full; 64 MiB
	// Observe is called after each pass with the frames it wrote, for latency metrics; may be nil.
	Observe func(f *Frame, written time.Time)
	// Panic is called with a panic over a connection, which is closed then, or in a scheduler or Observe, from within
	// the deferred call; nil: panics go on and end the process.
	Panic contain.Hook
}

// Scheduler is what a shard's loop does besides its mail: the batcher of the shard. Both methods are
// called by the loop only.
type Scheduler interface {
	// Run does what is due at now and returns when to be called again at the latest; zero: on Wake.
	Run(now time.Time) time.Time
	// Spent is called when the shard has been writing for d, ending at now. Some of the connections that it has written to
	// were looked at: they have joined so many topics in all that had something lately, each at least one.
	Spent(d time.Duration, now time.Time, connections, topics int)
	// FlushAll does everything, due or not, before the loop ends or Pool.Flush returns.
	FlushAll(now time.Time)
}

// Owner is what a connection belongs to. All methods but Readable are called by the loop of the connection's shard.
// They must not block, and may call the connection's methods: no lock is held.
type Owner interface {
	// Tail appends what this connection alone gets after a frame of a topic: the position, on transports that carry it.
	// Called for connections opened with tailed, once for each frame, in the order in which frames are sent. No frame
	// that it was called for is dropped unless the connection is given up, so the position may cover all frames before.
	Tail(dst []byte, t *Topic, f *Frame) []byte
	// Slow is called once, when something did not fit into the queue and was dropped. Nothing is sent any more but the
	// last bytes of Shut, which is due now.
	Slow()
	// Missed is called when a frame that is due for the connection could not be built; see Frame.Missing. What follows
	// is as with Slow.
	Missed()
	// Resync is called when the socket has drained and frames of t have been dropped; Rejoin is due. It may be called
	// again before that.
	Resync(t *Topic)
	// Readable is called after Conn.Await, by a goroutine of the pool or by Await itself: it starts what reads, and
	// returns.
	Readable()
	// Heartbeat is called once in Config.Heartbeat, Check some time after it.
	Heartbeat(now time.Time)
	Check(now time.Time)
}

// Stats are totals over all shards.
type Stats struct {
	Writes   uint64 // calls that wrote to a connection, or tried to
	Bytes    uint64 // bytes that they wrote
	Queued   int64  // bytes waiting in the queues of connections now
	Stalled  int64  // connections with a queue now
	Backlog  int64  // bytes of frames waiting in mailboxes now
	Replies  uint64 // frames written for one connection
	Timeouts uint64 // connections closed because their queue made no progress
	Failed   uint64 // connections that ended with any other write error
}

// Pool is a set of shards.
type Pool struct {
	// Set once by New.
	cfg    Config
	shards []*Shard
	stop   context.CancelFunc

	// Atomic.
	closing  atomic.Bool // Close was called
	order    atomic.Uint32
	queued   atomic.Int64
	stalled  atomic.Int64
	timeouts atomic.Uint64
	failed   atomic.Uint64

	// Guarded by mu, a leaf.
	mu     sync.Mutex
	ended  bool    // nothing is spawned any more
	poller *poller // made for the first socket; nil before, and as long as the system has none to give

	// Safe for concurrent use.
	loops  sync.WaitGroup // shard loops; Close waits
	others sync.WaitGroup // goroutines of connections: see spawn; Close waits
	chunks sync.Pool      // of *chunk
}

// New makes a pool and starts its loops. Close stops them.
func New(cfg Config) *Pool {
	cfg.Shards = ShardCount(cfg.Shards)
	cfg.Queue = cmp.Or(max(cfg.Queue, 0), 1<<20)
	cfg.Stall = cmp.Or(max(cfg.Stall, 0), 5*time.Second)
	cfg.Linger = cmp.Or(max(cfg.Linger, 0), 2*time.Second)
	cfg.Heartbeat = cmp.Or(max(cfg.Heartbeat, 0), 25*time.Second)
	cfg.Check = cmp.Or(max(cfg.Check, 0), 10*time.Second)
	cfg.Backlog = cmp.Or(max(cfg.Backlog, 0), 64<<20)
	ctx, stop := context.WithCancel(context.Background())
	p := &Pool{cfg: cfg, stop: stop}
	p.chunks.New = func() any { return new(chunk) }
	for i := range cfg.Shards {
		s := &Shard{pool: p, index: i, wake: make(chan struct{}, 1)}
		p.shards = append(p.shards, s)
	}
	for _, s := range p.shards {
		s.scheduler = noScheduler{}
		if cfg.Scheduler != nil {
			s.scheduler = cfg.Scheduler(s)
		}
	}
	for _, s := range p.shards {
		cfg.Panic.Loop(&p.loops, "pool shard", p.closing.Load, func() { s.run(ctx) }, s.abandon) // stopped by ctx, waited for by Close
	}
	return p
}

// maxShards bounds Config.Shards.
const maxShards = 1 << 10

// ShardCount is how many shards there are when n are asked for; 0: one for each processor.
func ShardCount(n int) int {
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return 1 << bits.Len(uint(min(n, maxShards)-1))
}

// Shards is the number of shards.
func (p *Pool) Shards() int { return len(p.shards) }

// Full reports whether a mailbox holds more frames than its shard will write soon: publishers must be refused.
func (p *Pool) Full() bool {
	for _, s := range p.shards {
		if s.backlog.Load() > p.cfg.Backlog {
			return true
		}
	}
	return false
}

// Flush returns after everything the schedulers held when it was called has been handed to the
// connections' outputs. It must not be called from a loop.
func (p *Pool) Flush() {
	// Twice: the first round makes every scheduler post its frames, the second finds them delivered.
	for range 2 {
		var done sync.WaitGroup
		for _, s := range p.shards {
			done.Add(1)
			s.post(mail{kind: flushMail, then: done.Done})
		}
		done.Wait()
	}
}

// Close flushes, stops the loops, closes every connection that is left, and returns when all goroutines
// have ended. It must not be called from a loop. Idempotent.
func (p *Pool) Close() {
	p.closing.Store(true)
	p.Flush() // while all loops run: what one posts, another delivers
	p.stop()
	p.loops.Wait()
	p.mu.Lock()
	if p.poller != nil && !p.ended {
		p.poller.close() // all connections are closed: none is watched or will be
	}
	p.ended = true
	p.mu.Unlock()
	p.others.Wait()
}

// spawn starts a goroutine of a connection that Close waits for. It returns false, without starting it, once the loops
// have ended. What it runs ends when its connection does; after a panic fail is called.
func (p *Pool) spawn(f, fail func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.cfg.Panic.Go(&p.others, "connection's goroutine", f, fail)
	}
	return !p.ended
}

// readiness is the poller of the pool's sockets, or nil. Its goroutine ends in Close, which waits.
func (p *Pool) readiness() *poller {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.poller == nil && !p.ended {
		if made, err := newPoller(); err == nil {
			p.poller = made
			p.cfg.Panic.Loop(&p.others, "poller", p.closing.Load, made.run, nil)
		} // else owners read with a goroutine each
	}
	return p.poller
}

// step is the time between two sweeps.
func (p *Pool) step() time.Duration { return max(p.cfg.Heartbeat/heartbeatParts, 1) }

// Stats adds up the shards' counters.
func (p *Pool) Stats() Stats {
	st := Stats{Queued: p.queued.Load(), Stalled: p.stalled.Load(), Timeouts: p.timeouts.Load(), Failed: p.failed.Load()}
	for _, s := range p.shards {
		st.Writes += s.writes.Load()
		st.Bytes += s.bytes.Load()
		st.Replies += s.replies.Load()
		st.Backlog += s.backlog.Load()
	}
	return st
}

// noScheduler is the scheduler of a shard without one.
type noScheduler struct{}

func (noScheduler) Run(time.Time) time.Time                  { return time.Time{} }
func (noScheduler) Spent(time.Duration, time.Time, int, int) {}
func (noScheduler) FlushAll(time.Time)                       {}
