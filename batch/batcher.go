package batch

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Config of a Batcher.
type Config struct {
	// Wake is called when the loop has something to do before the time that Run returned. The lock of
	// a window is held, and whatever the caller of Append or Expedite holds: it must not block and not call
	// the batcher. Nil: nothing is called, for a loop that runs all the time.
	Wake func()
	// Phase shifts the ticks, so that the shards of a pool do not all write at once.
	Phase time.Duration
	// Load is what share of its processors the process uses, from 0 to 1. Run asks it ten times a second; it must not
	// block. From 0.65 on windows become longer, by half at 0.85, and so they do when the shard spends as much of its
	// time writing; where the shard is behind besides, as long as they may be; and eager flushes owe rest, none below 0.65, all of the time spent writing at 0.85. Nil: windows stay
	// as they are, and all of that rest is owed.
	Load func() float64
	// Waited is for how long publishes have been waiting to be read, at most. It is asked as Load is. Nil: it is not known.
	Waited func() time.Duration
	// MaxWaiting bounds the bytes waiting in all windows together; 64 MiB.
	MaxWaiting int64
	// Panic is called with a panic in a sink, which has missed a batch then, or in Load, where sink is nil, from within
	// the deferred call. Nil: panics go on.
	Panic func(sink Sink, v any)
}

// Batcher schedules the windows of one shard.
type Batcher struct {
	// Set once by New.
	wake       func()
	panicked   func(sink Sink, v any)
	phase      time.Duration
	start      time.Time
	maxWaiting int64

	// Safe for concurrent use.
	waiting atomic.Int64  // bytes of messages appended and not yet flushed
	due     atomic.Int64  // when Run has something to do again, since start; 0: nothing
	windows atomic.Uint32 // see Window.place
	buffers sync.Pool     // of *buffer

	// Guarded by mu; taken after a window's lock.
	mu    sync.Mutex
	inbox []*Window

	// Owned by the loop that calls Run.
	spare  []*Window // the inbox's other half
	eager  []*Window // due as soon as the budget allows
	groups []group
	parts  parts
	budget budget
	load   load
	batch  Batch // the one a sink is looking at
	at     int   // how many batches of the buffer that is being flushed have been handed on
}

// New makes a Batcher.
func New(cfg Config) *Batcher {
	if cfg.Wake == nil {
		cfg.Wake = func() {}
	}
	if cfg.MaxWaiting <= 0 {
		cfg.MaxWaiting = 64 << 20
	}
	now := time.Now()
	b := &Batcher{wake: cfg.Wake, panicked: cfg.Panic, phase: cfg.Phase, start: now, maxWaiting: cfg.MaxWaiting,
		budget: budget{share: 1, credit: maxCredit, settled: now}, parts: parts{count: 1}, load: load{process: cfg.Load, waited: cfg.Waited, since: now}}
	if cfg.Load != nil {
		b.budget.share = 0
	}
	if cfg.Load != nil && cfg.Panic != nil {
		b.load.process = func() float64 { return b.busy(cfg.Load) }
	}
	if cfg.Waited != nil && cfg.Panic != nil {
		b.load.waited = func() time.Duration { return b.waited(cfg.Waited) }
	}
	b.buffers.New = func() any { return new(buffer) }
	return b
}

// Window makes a window whose batches go to sink.
func (b *Batcher) Window(opt Options, sink Sink) *Window {
	opt.Window = max(opt.Window, 0)
	return &Window{batcher: b, sink: sink, opt: opt, place: b.windows.Add(0x9E3779B9)}
}

// Full reports whether so much waits to be flushed that publishers must be refused.
func (b *Batcher) Full() bool { return b.waiting.Load() > b.maxWaiting }

// Late reports whether a busy loop is a quarter of a second late for what is due. What is appended meanwhile would be
// delivered later still: publishers are better refused. A loop that is not busy was held up by something else.
func (b *Batcher) Late() bool {
	if !b.load.busy.Load() {
		return false
	}
	due := b.due.Load()
	return due != 0 && time.Since(b.start)-time.Duration(due) > maxLate
}

// Waiting is the number of bytes appended and not yet flushed.
func (b *Batcher) Waiting() int64 { return b.waiting.Load() }

// Stretch is by what share of themselves windows are longer for now, those that stretch most: from 0 to MostStretch-1.
func (b *Batcher) Stretch() float64 { return math.Float64frombits(b.load.shown.Load()) }

// ask puts a window into the inbox. The caller holds w.mu.
func (b *Batcher) ask(w *Window) {
	b.mu.Lock()
	first := len(b.inbox) == 0
	b.inbox = append(b.inbox, w)
	b.mu.Unlock()
	if first {
		b.wake()
	}
}

// Spent notes that the shard has been writing for d, ending at now. Some of those that it has written to, readers of them, read so many channels in all that
// had something lately; at least one each. Called by the loop.
func (b *Batcher) Spent(d time.Duration, now time.Time, readers, channels int) {
	b.budget.spend(d, now)
	b.load.spent += d
	b.parts.spent(d, readers, channels)
}

// Run flushes what is due at now and returns when to be called again at the latest; the zero time
// means: not before Wake.
func (b *Batcher) Run(now time.Time) time.Time {
	b.budget.rest(now)
	if b.load.look(now) {
		b.budget.share = b.load.level
		b.parts.look(now)
		b.show()
	}
	b.mu.Lock()
	asked := b.inbox
	b.inbox, b.spare = b.spare[:0], nil
	b.mu.Unlock()
	for _, w := range asked {
		b.admit(w)
	}
	clear(asked)
	b.spare = asked[:0]
	for i := range b.groups {
		b.tick(&b.groups[i], now)
	}
	if b.budget.allows() {
		b.flushEager()
	}
	next := b.next(now)
	b.expect(next)
	return next
}

// show makes Stretch that of the windows that stretch most.
func (b *Batcher) show() {
	most := 1.0
	for i := range b.groups {
		most = max(most, b.groups[i].stretch)
	}
	b.load.show(b.load.factor(most) - 1)
}

// expect notes when the loop is to call Run again.
func (b *Batcher) expect(next time.Time) {
	var due int64
	if !next.IsZero() {
		due = max(int64(next.Sub(b.start)), 1)
	}
	b.due.Store(due)
}

// admit sorts a window from the inbox: full ones are flushed, eager ones wait for the budget, others
// for their tick.
func (b *Batcher) admit(w *Window) {
	w.mu.Lock()
	open, full, expedited := w.open, w.full, w.expedited
	w.asked = false
	w.mu.Unlock()
	if !open {
		return // what it was there for has been flushed meanwhile
	}
	if full {
		b.flush(w)
		expedited = false
	}
	if w.opt.Window > 0 && !w.joined {
		b.join(w)
	}
	if (expedited || w.opt.Window == 0) && !w.eager { // a window without ticks is put to rest by flushEager alone
		w.eager = true
		b.eager = append(b.eager, w)
	}
}

// flushEager flushes the windows that waited for the budget. Those without a tick are at rest again
// unless something has come meanwhile.
func (b *Batcher) flushEager() {
	kept := b.eager[:0]
	for _, w := range b.eager {
		b.flush(w)
		if w.eager = w.opt.Window == 0 && !w.rest(); w.eager {
			kept = append(kept, w)
		}
	}
	clear(b.eager[len(kept):])
	b.eager = kept
}

// FlushAll flushes everything there is, due or not: nothing accepted stays behind at a shutdown. Like
// Run it belongs to the loop.
func (b *Batcher) FlushAll(now time.Time) {
	b.Run(now)
	b.flushEager()
	for i := range b.groups {
		for _, part := range b.groups[i].parts {
			for _, w := range part {
				b.flush(w)
			}
		}
	}
}

// next is when Run has something to do again.
func (b *Batcher) next(now time.Time) time.Time {
	var at time.Time
	if len(b.eager) > 0 {
		at = now.Add(b.budget.wait())
	}
	for i := range b.groups {
		if t := b.groups[i].tick; !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

// flush hands what w holds to its sink, batch by batch. It returns false if there was nothing.
func (b *Batcher) flush(w *Window) bool {
	w.mu.Lock()
	buf := w.take()
	w.mu.Unlock()
	if buf == nil {
		return false
	}
	buf.seal()
	whole := true
	for b.at = 0; b.at < len(buf.seals); {
		whole = b.handOn(w.sink, buf) && whole
	}
	b.batch = Batch{}
	if whole { // else the sink may still use it
		b.recycle(buf)
	}
	return true
}

// handOn hands on the batches of buf that have not been yet, up to the end or a panic. Then it returns false.
func (b *Batcher) handOn(sink Sink, buf *buffer) (whole bool) {
	defer b.contain(sink, buf)
	for b.at < len(buf.seals) {
		first := 0
		if b.at > 0 {
			first = buf.seals[b.at-1]
		}
		b.at++
		b.hand(sink, buf, first, buf.seals[b.at-1])
	}
	return true
}

// hand gives the messages from first up to upto to the sink, without those that were replaced.
func (b *Batcher) hand(sink Sink, buf *buffer, first, upto int) {
	batch := &b.batch
	*batch = Batch{Since: buf.since, Excludes: buf.excludes, Exclusive: buf.marks[first].exclusive, Last: buf.marks[upto-1].seq, buffer: buf, first: first, upto: upto}
	if len(buf.growths) > 0 {
		batch.Grows = buf.grows(first, upto)
	}
	if buf.replaced == 0 {
		batch.Count = upto - first
		batch.Body = buf.bytes[buf.marks[first].start:buf.marks[upto-1].end]
	} else {
		batch.squeeze()
	}
	sink.Flush(batch)
}

// recycle keeps a buffer for the next window that needs one.
func (b *Batcher) recycle(buf *buffer) {
	if buf.empty() {
		b.buffers.Put(buf)
	}
}
