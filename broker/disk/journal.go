package disk

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/broker/record"
	"weir/internal/contain"
)

// Config is what a journal needs to know. The zero value of a field but Dir means its default.
type Config struct {
	Dir string // the data directory; made if it is missing
	FS  FS     // the folder of the log; Dir/log. The database is in Dir all the same

	// Now is the wall clock, which is asked once, by Open: from there on time is measured, so that a clock that is
	// set meanwhile ends nothing early. nil: time.Now.
	Now func() time.Time

	// Policy returns how long a channel's history and idempotency keys are kept; the broker's. Open does not
	// ask it, and it may block. nil: the defaults for all channels.
	Policy func(channel string) broker.Policy

	Queue      int           // bytes that may wait for the log; 64 MiB
	Checkpoint int           // bytes in the log after which they are put into the database; 32 MiB
	Interval   time.Duration // time after which they are put there in any case; 5s
	Sweep      time.Duration // time between two looks at some channels for what is too old; 10s

	Panic   contain.Hook               // called with panics in the committer and the checkpointer, which go on; nil: they end the process
	Log     *slog.Logger               // what fails and heals; nil: nowhere
	still   bool                       // the log is in the database before Open returns
	repair  bool                       // damage of the log does not keep from opening
	renew   int                        // pages written after which the database is opened anew; renewAfter
	Observe func(commit time.Duration) // called after each commit with the time it took; nil: nothing is
}

// backlogs is how many checkpoints may be waiting before the log does.
const backlogs = 2

func (c *Config) fill() {
	c.Queue = cmp.Or(max(c.Queue, 0), 64<<20)
	c.Checkpoint = cmp.Or(max(c.Checkpoint, 0), 32<<20)
	c.Interval = cmp.Or(max(c.Interval, 0), 5*time.Second)
	c.Sweep = cmp.Or(max(c.Sweep, 0), 10*time.Second)
	c.renew = cmp.Or(max(c.renew, 0), renewAfter)
	if c.Policy == nil {
		c.Policy = func(string) broker.Policy { return broker.Policy{} }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Journal is a broker.Store on a disk. Make it with Open. Its methods may be called concurrently.
type Journal struct {
	// Set once by Open.
	config     Config
	opened     time.Time // what now counts from; monotonic
	wall       time.Time // what the wall clock said then
	db         *database
	lock       io.Closer
	generation uint64
	severed    uint64        // see state
	mended     error         // damage that Repair goes on without; nil: none
	wake       chan struct{} // wakes the committer for a batch; room for one
	hand       chan struct{} // wakes the checkpointer for its work; room for one
	relief     chan struct{} // wakes the committer when the checkpointer is done; room for one
	stop       chan struct{} // closed by Close
	committed  chan struct{} // closed by the committer when it ends
	done       sync.WaitGroup

	// Owned by the committer.
	wal wal

	// Owned by the checkpointer.
	swept map[string]bool // channels that the sweep has logged
	held  []*batch        // that a checkpoint failed with; tried again before all others
	place []byte          // where the sweep goes on

	// Guarded by mu.
	mu        sync.Mutex
	pending   *batch                  // what comes next
	flight    *batch                  // what the committer is writing; nil: nothing
	dirty     map[string]dirtyChannel // channels of which not everything is in the database yet
	recovered *recovered              // what the log had at the start; nil: the database has it
	failing   error                   // why the last attempt to write failed; nil: it did not
	ready     []*batch                // safe, for the checkpointer
	backlog   int                     // bytes of them, and of those it is working on
	broken    error                   // why the last checkpoint failed; nil: it did not

	unreadable map[string]error // channels that cannot be kept, and why

	closed bool
	left   error // why Close could not write everything
	counts Stats // its counters

	// Atomic.
	stored atomic.Uint64 // number of the last batch in the database
}

// now is the time of deadlines and of what is kept: the wall clock as it went on since Open.
func (j *Journal) now() time.Time { return j.wall.Add(time.Since(j.opened)) }

// dirtyChannel is what the log has of a channel that the database does not.
type dirtyChannel struct {
	number    uint64 // the last batch with it
	forgotten bool   // the last record drops it
}

// batch is the records that are made safe together.
type batch struct {
	number   uint64
	frame    []byte            // header and records
	records  []byte            // of frame, once it is safe
	seal     uint32            // once it is safe
	deferred []broker.Deferred // to be applied when it is safe
	promise  *broker.Promise   // what its publishers wait for; guarded by the journal's mu
}

func newBatch(number uint64, room int) *batch {
	return &batch{number: number, frame: make([]byte, record.FrameHeader, max(4<<10, min(room, 1<<20))), promise: broker.NewPromise()}
}

func (b *batch) empty() bool { return len(b.frame) == record.FrameHeader }

// Append implements broker.Journal.
func (j *Journal) Append(log broker.Log, e broker.Entry) (broker.Receipt, error) {
	if strings.IndexByte(log.Channel(), 0) >= 0 || strings.IndexByte(e.Group, 0) >= 0 || strings.IndexByte(e.Key, 0) >= 0 {
		return broker.Receipt{}, errName
	}
	receipt, err := j.add(log, &e)
	if err == nil && !log.Policy().AfterDisk {
		log.Apply(&e)
	}
	return receipt, err
}

// add adds a change to the pending batch.
func (j *Journal) add(log broker.Log, e *broker.Entry) (broker.Receipt, error) {
	now, at := j.now(), log.Next()
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.admit(log.Channel(), e.Ack); err != nil {
		return broker.Receipt{}, err
	}
	b := j.pending
	b.frame = record.AppendChange(b.frame, log.Channel(), at, e, now)
	j.pend(log.Channel(), false)
	if log.Policy().AfterDisk {
		b.deferred = append(b.deferred, log.Defer(e))
	}
	return b.promise.Receipt(at), nil
}

// admit returns why a change cannot be taken; nil: it can. Called with mu held.
func (j *Journal) admit(channel string, ack broker.Ack) error {
	switch {
	case j.closed:
		return ErrClosed
	case len(j.unreadable) > 0 && j.unreadable[channel] != nil:
		return j.unreadable[channel]
	case j.failing != nil && ack != broker.AckMemory:
		return fmt.Errorf("%w: %w", ErrFailing, j.failing)
	case len(j.pending.frame) > j.config.Queue:
		j.counts.Refused++
		return fmt.Errorf("the disk is too slow: %w", broker.ErrFull)
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

// pend notes that the newest record of the pending batch is one of a channel, and wakes the committer. forgotten: the
// record drops the channel. Called with mu held.
func (j *Journal) pend(channel string, forgotten bool) {
	j.dirty[channel] = dirtyChannel{j.pending.number, forgotten}
	wake(j.wake)
}

// Forget implements broker.Journal. It always has room: what is forgotten must not come back.
func (j *Journal) Forget(channel string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return
	}
	delete(j.unreadable, channel)
	j.pending.frame = record.AppendForget(j.pending.frame, channel)
	j.pend(channel, true)
}

// Note implements broker.Store.
func (j *Journal) Note(log broker.Log, key string) (broker.Receipt, error) {
	at := log.At()
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.admit(log.Channel(), broker.AckDefault); err != nil {
		return broker.Receipt{}, err
	}
	j.pending.frame = record.AppendNote(j.pending.frame, log.Channel(), at, key, j.now())
	j.pend(log.Channel(), false)
	return j.pending.promise.Receipt(at), nil
}

// Release implements broker.Store.
func (j *Journal) Release(channel string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, dirty := j.dirty[channel]
	return !dirty && !j.closed
}

// Confirm implements broker.Store.
func (j *Journal) Confirm(log broker.Log) broker.Receipt {
	j.mu.Lock()
	defer j.mu.Unlock()
	m, dirty := j.dirty[log.Channel()]
	for _, b := range []*batch{j.pending, j.flight} {
		if !dirty || b == nil || b.number != m.number {
			continue
		}
		if err := j.failing; err != nil {
			return broker.Receipt{Wait: func() (broker.Position, error) { return broker.Position{}, fmt.Errorf("%w: %w", ErrFailing, err) }}
		}
		return b.promise.Receipt(broker.Position{})
	}
	return broker.Receipt{}
}

// Close makes everything safe that was taken, puts it into the database and gives the directory free.
// If the disk fails, what is lost is the error, and the next start is one after a crash. Calls after the
// first do nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	j.mu.Unlock()
	close(j.stop)
	j.done.Wait()
	err := errors.Join(j.db.close(), j.lock.Close())
	if j.left != nil {
		err = j.left
	}
	if err != nil {
		return fmt.Errorf("close %s: %w", j.config.Dir, err)
	}
	return nil
}
