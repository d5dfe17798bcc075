package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/broker/record"
	"weir/internal/contain"
	"weir/internal/mesh"
)

// The errors of this package. They come wrapped with the operation.
var (
	ErrFailing  = errors.New("the NATS servers cannot store or load durable channels")
	ErrFenced   = errors.New("another node has taken over the durable channels of this one: the change may have been stored")
	ErrNotTaken = fmt.Errorf("this node does not serve the durable channels of the partition at the moment: %w", broker.ErrNotLoaded)
	ErrFormat   = errors.New("written by another version of weir")
	ErrClosed   = errors.New("the ledger is closed")
	ErrExists   = errors.New("the channel exists already")
	ErrName     = errors.New("a name must not hold a NUL")
	ErrTooLarge = errors.New("the change is larger than the NATS servers accept")
)

// Config is what New needs. A field from Queue on that is zero has its default.
type Config struct {
	Partitions int
	Partition  func(channel string) int           // of a channel
	Policy     func(channel string) broker.Policy // how long history and keys are kept; it may block
	Logs       func(slot int) mesh.Log
	Shelf      mesh.Shelf

	// Fenced is called by the committer when this process has lost its log. nil: nobody wants to know.
	Fenced func()

	Queue      int                        // bytes that may wait for the log; 64 MiB
	Checkpoint int                        // bytes in the log after which the oldest are put on the shelf; 32 MiB
	Panic      contain.Hook               // called with panics in the committer and the checkpointer, which go on; nil: they end the process
	Log        *slog.Logger               // what fails and heals; nil: nowhere
	Observe    func(commit time.Duration) // called after each frame with the time it took; nil: nothing is
}

func (c *Config) fill() {
	c.Queue = cmp.Or(max(c.Queue, 0), 64<<20)
	c.Checkpoint = cmp.Or(max(c.Checkpoint, 0), 32<<20)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Fenced == nil {
		c.Fenced = func() {}
	}
}

// frameSize is how many bytes of records a frame holds at most, unless one record has more.
const frameSize = 512 << 10

// Ref is a range of a log with records of a partition.
type Ref struct {
	Order      uint64 `json:"order"` // of the refs of a partition, later ones have more
	Slot       int    `json:"slot"`  // of the log
	Session    string `json:"session"`
	Generation uint64 `json:"generation"`
	From       uint64 `json:"from"`         // number of the first message that may matter
	To         uint64 `json:"to,omitempty"` // of the last one; 0: it is open
}

// place is where a record is, among all of a partition.
type place struct{ order, number uint64 }

func (p place) after(o place) bool {
	return p.order > o.order || p.order == o.order && p.number > o.number
}

// Ledger is a broker.Store on the logs and the shelf of a mesh. New makes it. Its methods may be called concurrently.
type Ledger struct {
	// Set once.
	config Config
	opened time.Time     // what now counts from; monotonic
	wake   chan struct{} // wakes the committer; room for one
	hand   chan struct{} // wakes the checkpointer; room for one
	stop   chan struct{} // closed by Close
	done   sync.WaitGroup

	parts []part // by partition; see there

	// Guarded by mu.
	mu       sync.Mutex
	writer   *writer   // nil: Begin has not been called, or it was fenced
	wall     time.Time // what the servers' clock said when opened, about
	pending  []*batch  // what comes next, oldest first; the last one is open
	flight   *batch    // what the committer appends; nil: nothing
	number   uint64    // of the last batch
	dirty    map[string]dirtyChannel
	tails    map[string]*tail // by channel: what the shelf lacks
	backlog  int              // bytes of these
	waiting  int              // bytes of pending
	failing  error            // why nothing is appended; nil: it is
	broken   error            // why the last checkpoint failed; nil: it did not
	closed   bool
	counts   Stats
	reserved uint64 // no message from this number on is purged; 0: none is; see Purge
}

var _ broker.Tenured = (*Ledger)(nil)

// writer is this process at its log.
type writer struct {
	log     mesh.Log
	slot    int
	session string

	// Owned by the committer once it is set.
	last   uint64 // number of the last message
	frames uint64 // of this session
	seal   uint32 // of the last frame

	safe atomic.Uint64 // number of the last message that is there: last, for others
}

// part is a partition. Guarded by Ledger.mu, but for serves.
type part struct {
	serves atomic.Bool // it is taken, and takes changes
	own    Ref         // where its changes go, as long as it is taken
	drops  uint64      // how often it was dropped
	seed   string      // see Claim
}

// tail is the records of a channel that the shelf may lack, oldest first.
type tail struct {
	partition int
	entries   []entry
}

type entry struct {
	place
	generation uint64
	record     []byte
}

// New returns a ledger without partitions. The broker that gets it closes it.
func New(config Config) *Ledger {
	config.fill()
	l := &Ledger{
		config: config, opened: time.Now(), wall: time.Now().Round(0), parts: make([]part, config.Partitions),
		wake: make(chan struct{}, 1), hand: make(chan struct{}, 1), stop: make(chan struct{}),
		dirty: make(map[string]dirtyChannel), tails: make(map[string]*tail),
	}
	config.Panic.Loop(&l.done, "committer", contain.Closed(l.stop), l.commit, nil)        // stopped by Close, which waits
	config.Panic.Loop(&l.done, "checkpointer", contain.Closed(l.stop), l.checkpoint, nil) // as well
	return l
}

// now is the time of what is kept: the servers' clock as it was when the session began, as it went on since. Called with mu held.
func (l *Ledger) now() time.Time { return l.wall.Add(time.Since(l.opened)) }

// Serves reports whether the durable channels of a partition are served here.
func (l *Ledger) Serves(partition int) bool { return l.parts[partition].serves.Load() }

// Append implements broker.Journal.
func (l *Ledger) Append(log broker.Log, e broker.Entry) (broker.Receipt, error) {
	if strings.IndexByte(log.Channel(), 0) >= 0 || strings.IndexByte(e.Group, 0) >= 0 || strings.IndexByte(e.Key, 0) >= 0 {
		return broker.Receipt{}, ErrName
	}
	receipt, err := l.add(log, &e)
	if err == nil && !log.Policy().AfterDisk {
		log.Apply(&e)
	}
	return receipt, err
}

func (l *Ledger) add(log broker.Log, e *broker.Entry) (broker.Receipt, error) {
	at := log.Next()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.admit(log.Channel(), e.Ack); err != nil {
		return broker.Receipt{}, err
	}
	if size := len(log.Channel()) + len(at.Epoch) + len(e.Group) + len(e.Key) + len(e.Data) + len(e.IdempotencyKey) + recordRoom; size > l.writer.log.Limit() {
		return broker.Receipt{}, fmt.Errorf("%w: %d bytes: expected at most %d", ErrTooLarge, size, l.writer.log.Limit())
	}
	b := l.open(log.Channel(), false, func(b []byte) []byte { return record.AppendChange(b, log.Channel(), at, e, l.now()) })
	if log.Policy().AfterDisk {
		b.deferred = append(b.deferred, log.Defer(e))
	}
	return b.promise.Receipt(at), nil
}

// recordRoom is what a record, and the frame that it is alone in, have beside names and data.
const recordRoom = 512

// admit returns why a change cannot be taken; nil: it can. Called with mu held.
func (l *Ledger) admit(channel string, ack broker.Ack) error {
	switch {
	case l.closed:
		return ErrClosed
	case l.writer == nil || !l.parts[l.config.Partition(channel)].serves.Load():
		return ErrNotTaken
	case l.failing != nil && ack != broker.AckMemory:
		return fmt.Errorf("%w: %w", ErrFailing, l.failing)
	case l.waiting > l.config.Queue:
		l.counts.Refused++
		return fmt.Errorf("the NATS servers are too slow: %w", broker.ErrFull)
	}
	return nil
}

// wake has the goroutine that waits on c look again.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Forget implements broker.Journal. It is accepted also when the queue is full: what is forgotten must not come back.
func (l *Ledger) Forget(channel string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.writer == nil || !l.parts[l.config.Partition(channel)].serves.Load() {
		return
	}
	l.open(channel, true, func(b []byte) []byte { return record.AppendForget(b, channel) })
}

// Note implements broker.Store.
func (l *Ledger) Note(log broker.Log, key string) (broker.Receipt, error) {
	at := log.At()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.admit(log.Channel(), broker.AckDefault); err != nil {
		return broker.Receipt{}, err
	}
	b := l.open(log.Channel(), false, func(b []byte) []byte { return record.AppendNote(b, log.Channel(), at, key, l.now()) })
	return b.promise.Receipt(at), nil
}

// Release implements broker.Store.
func (l *Ledger) Release(channel string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, dirty := l.dirty[channel]
	return !dirty && !l.closed
}

// Confirm implements broker.Store.
func (l *Ledger) Confirm(log broker.Log) broker.Receipt {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, dirty := l.dirty[log.Channel()]
	if !dirty {
		return broker.Receipt{}
	}
	if err := l.failing; err != nil {
		return broker.Receipt{Wait: func() (broker.Position, error) { return broker.Position{}, fmt.Errorf("%w: %w", ErrFailing, err) }}
	}
	if b := l.flight; b != nil && b.number == d.number {
		return b.promise.Receipt(broker.Position{})
	}
	for _, b := range l.pending {
		if b.number == d.number {
			return b.promise.Receipt(broker.Position{})
		}
	}
	return broker.Receipt{}
}

// closeLimit is for how long Close tries to append what is pending.
const closeLimit = 5 * time.Second

// Close appends what was accepted, and ends the ledger. It returns an error if something could not be appended in time; the publishers of that
// got one, too. Calls after the first do nothing.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	for p := range l.parts {
		l.parts[p].serves.Store(false)
	}
	l.mu.Unlock()
	close(l.stop)
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.pending); n > 0 || l.flight != nil {
		l.abandon(ErrClosed)
		return fmt.Errorf("close the ledger: %w: what was not acknowledged may be lost", ErrFailing)
	}
	return nil
}
