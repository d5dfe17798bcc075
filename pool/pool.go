package pool

import (
	"context"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Config of a Pool. The zero value of a field means the default that its comment states.
type Config struct {
	Shards int // rounded up to a power of two; GOMAXPROCS
	// Agenda makes the agenda of a shard; called by New, once per shard. Nil: no agenda.
	Agenda func(*Shard) Agenda
	Queue  int           // bytes waiting for one connection; 1 MiB
	Stall  time.Duration // a queue that makes no progress for so long closes its connection; 5 s
	// Linger is how long a connection that was shut may take to close its side; 2 s.
	Linger  time.Duration
	Beat    time.Duration // each connection's Owner.Beat is called once in so long; 25 s
	Check   time.Duration // and Owner.Check so long after that, at most Beat; 10 s
	Backlog int64         // bytes of frames waiting in one shard's mailbox before Full; 64 MiB
	// Observe is called after each pass with the frames it wrote, for latency metrics; may be nil.
	Observe func(f *Frame, written time.Time)
}

// Agenda is what a shard's loop does besides its mail: the batcher of the shard. Both methods are
// called by the loop only.
type Agenda interface {
	// Run does what is due at now and returns when to be called again at the latest; zero: on Wake.
	Run(now time.Time) time.Time
	// Spent says that the shard has been writing for d, ending at now.
	Spent(d time.Duration, now time.Time)
	// FlushAll does everything, due or not, before the loop ends or Pool.Flush returns.
	FlushAll(now time.Time)
}

// Owner is who a connection belongs to. All methods are called by the loop of the connection's shard
// and must not block; they may call the connection's methods.
type Owner interface {
	// Tail appends what this connection alone gets after a frame of a topic: the position, on
	// transports that carry it. Called for connections opened with tailed.
	Tail(dst []byte, t *Topic, f *Frame) []byte
	// Slow says that the queue is full and nothing in it may be dropped.
	Slow()
	// Resync says that the socket has drained and frames of t have been dropped.
	Resync(t *Topic)
	// Readable answers Conn.Await. Unlike the other methods it is called from anywhere, perhaps with
	// the connection locked: it starts what reads, and returns.
	Readable()
	// Beat is called once in Config.Beat, Check some time after it.
	Beat(now time.Time)
	Check(now time.Time)
}

// Stats are totals over all shards.
type Stats struct {
	Writes   uint64 // calls that wrote to a connection
	Bytes    uint64 // bytes accepted by the kernel or, off the raw path, by the queue
	Queued   int64  // bytes waiting in the queues of connections now
	Stalled  int64  // connections with a queue now
	Backlog  int64  // bytes of frames waiting in mailboxes now
	Replies  uint64 // frames written for one connection
	Timeouts uint64 // connections closed because their queue made no progress
	Failed   uint64 // connections that ended with a write error
}

// Pool is a set of shards.
type Pool struct {
	// Set once by New.
	cfg    Config
	shards []*Shard
	stop   context.CancelFunc
	poller *poller // nil if the system has none to give: no connection is awaitable

	// Atomic.
	order    atomic.Uint32
	queued   atomic.Int64
	stalled  atomic.Int64
	timeouts atomic.Uint64
	failed   atomic.Uint64

	loops    sync.WaitGroup // shard loops; Close waits
	flushers sync.WaitGroup // goroutines that drain queues; Close waits
}

// New makes a pool and starts its loops. Close stops them.
func New(cfg Config) *Pool {
	if cfg.Shards <= 0 {
		cfg.Shards = runtime.GOMAXPROCS(0)
	}
	cfg.Shards = 1 << bits.Len(uint(cfg.Shards-1))
	setDefault(&cfg.Queue, 1<<20)
	setDefault(&cfg.Stall, 5*time.Second)
	setDefault(&cfg.Linger, 2*time.Second)
	setDefault(&cfg.Beat, 25*time.Second)
	setDefault(&cfg.Check, 10*time.Second)
	setDefault(&cfg.Backlog, 64<<20)
	ctx, stop := context.WithCancel(context.Background())
	p := &Pool{cfg: cfg, stop: stop}
	for i := range cfg.Shards {
		s := &Shard{pool: p, index: i, wake: make(chan struct{}, 1)}
		p.shards = append(p.shards, s)
	}
	for _, s := range p.shards {
		s.agenda = nothing{}
		if cfg.Agenda != nil {
			s.agenda = cfg.Agenda(s)
		}
	}
	var err error
	if p.poller, err = newPoller(); err == nil {
		p.loops.Go(p.poller.run) // stopped by Close, which waits
	} else {
		p.poller = nil
	}
	for _, s := range p.shards {
		p.loops.Go(func() { s.run(ctx) }) // stopped by ctx, waited for by Close
	}
	return p
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Shards is the number of shards.
func (p *Pool) Shards() int { return len(p.shards) }

// Shard returns the i-th shard.
func (p *Pool) Shard(i int) *Shard { return p.shards[i] }

// Full says that a mailbox holds more frames than its shard can write soon: publishers must be refused.
func (p *Pool) Full() bool {
	for _, s := range p.shards {
		if s.backlog.Load() > p.cfg.Backlog {
			return true
		}
	}
	return false
}

// Flush returns after everything the agendas held when it was called has been handed to the
// connections' outputs. It must not be called from a loop.
func (p *Pool) Flush() {
	// Twice: the first round makes every agenda post its frames, the second finds them delivered.
	for range 2 {
		var done sync.WaitGroup
		for _, s := range p.shards {
			done.Add(1)
			s.post(mail{kind: flushMail, then: done.Done})
		}
		done.Wait()
	}
}

// Close stops the loops after a last flush, closes every connection that is left, and returns when all
// goroutines have ended. Idempotent.
func (p *Pool) Close() {
	p.stop()
	if p.poller != nil {
		p.poller.close()
	}
	p.loops.Wait()
	p.flushers.Wait()
}

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

// nothing is the agenda of a shard without one.
type nothing struct{}

func (nothing) Run(time.Time) time.Time        { return time.Time{} }
func (nothing) Spent(time.Duration, time.Time) {}
func (nothing) FlushAll(time.Time)             {}
