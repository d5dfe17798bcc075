package batch

import (
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the eager budget. Credit lets a lone message go at once though its shard has just written
// something small; debt keeps one large pass from silencing eager flushes for longer than a window.
const (
	maxCredit = time.Millisecond
	maxDebt   = 50 * time.Millisecond
)

// Config of a Batcher.
type Config struct {
	// Wake is called, without a lock held that its callee could want, when the loop has something
	// to do before the time that Run returned. It never blocks. Required.
	Wake func()
	// Phase shifts the ticks, so that the shards of a pool do not all write at once. 0 or more.
	Phase time.Duration
	// MaxWaiting bounds the bytes waiting in all windows together; 64 MiB.
	MaxWaiting int64
}

// Batcher schedules the windows of one shard.
type Batcher struct {
	// Set once by New.
	wake       func()
	phase      time.Duration
	start      time.Time
	maxWaiting int64

	// Atomic.
	waiting atomic.Int64 // bytes of messages appended and not yet flushed

	// Guarded by mu; taken after a window's lock.
	mu    sync.Mutex
	inbox []*Window

	// Owned by the loop that calls Run.
	spare   []*Window // the inbox's other half
	eager   []*Window // due as soon as the budget allows
	groups  []group
	credit  time.Duration // negative: rest that is owed
	settled time.Time     // up to when credit is accounted
	batch   Batch         // the one a sink is looking at
}

// group is the windows of one duration that wait for a tick.
type group struct {
	window time.Duration
	tick   time.Time // zero: not armed
	open   []*Window
}

// New makes a Batcher.
func New(cfg Config) *Batcher {
	if cfg.MaxWaiting == 0 {
		cfg.MaxWaiting = 64 << 20
	}
	now := time.Now()
	return &Batcher{wake: cfg.Wake, phase: cfg.Phase, start: now, maxWaiting: cfg.MaxWaiting,
		credit: maxCredit, settled: now}
}

// Window makes a window whose batches go to sink.
func (b *Batcher) Window(opt Options, sink Sink) *Window {
	return &Window{batcher: b, sink: sink, opt: opt}
}

// Full says that so much waits to be flushed that publishers must be refused.
func (b *Batcher) Full() bool { return b.waiting.Load() > b.maxWaiting }

// Waiting is the number of bytes appended and not yet flushed.
func (b *Batcher) Waiting() int64 { return b.waiting.Load() }

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

// Spent tells the batcher that the shard has been writing for d, ending at now.
func (b *Batcher) Spent(d time.Duration, now time.Time) {
	b.settle(now.Add(-d))
	b.settled = now
	b.credit = max(b.credit-d, -maxDebt)
}

// settle adds the rest since the last account to the credit.
func (b *Batcher) settle(now time.Time) {
	if rest := now.Sub(b.settled); rest > 0 {
		b.credit = min(b.credit+rest, maxCredit)
		b.settled = now
	}
}

// Run flushes what is due at now and returns when to be called again at the latest; the zero time
// means: not before Wake.
func (b *Batcher) Run(now time.Time) time.Time {
	b.settle(now)
	b.mu.Lock()
	asked := b.inbox
	b.inbox, b.spare = b.spare[:0], nil
	b.mu.Unlock()
	for i, w := range asked {
		b.admit(w)
		asked[i] = nil
	}
	b.spare = asked[:0]
	if b.credit > 0 {
		b.flushEager()
	}
	for i := range b.groups {
		b.tick(&b.groups[i], now)
	}
	return b.next(now)
}

// flushEager flushes the windows that waited for the budget. Those without a tick are at rest again
// unless something has come meanwhile.
func (b *Batcher) flushEager() {
	kept := b.eager[:0]
	for _, w := range b.eager {
		b.flush(w)
		if w.opt.Window == 0 && !b.rest(w) {
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
		for _, w := range b.groups[i].open {
			b.flush(w)
		}
	}
}

// admit sorts a window from the inbox: full ones are flushed, eager ones wait for the budget, others
// for their tick.
func (b *Batcher) admit(w *Window) {
	w.mu.Lock()
	full, opt := w.phase == urgent, w.opt
	w.phase = open
	w.mu.Unlock()
	switch {
	case full:
		b.flush(w)
	case opt.Eager || opt.Window == 0:
		b.eager = append(b.eager, w)
	}
	if opt.Window > 0 && !w.joined {
		b.join(w)
	}
}

// join makes w wait for the tick of its duration.
func (b *Batcher) join(w *Window) {
	var g *group
	for i := range b.groups {
		if b.groups[i].window == w.opt.Window {
			g = &b.groups[i]
		}
	}
	if g == nil {
		b.groups = append(b.groups, group{window: w.opt.Window})
		g = &b.groups[len(b.groups)-1]
	}
	g.open = append(g.open, w)
	w.joined = true
}

// tick flushes the windows of a group if its time has come. One that held nothing closes.
func (b *Batcher) tick(g *group, now time.Time) {
	if len(g.open) == 0 {
		g.tick = time.Time{}
		return
	}
	if g.tick.IsZero() {
		g.tick = b.align(now, g.window)
	}
	if now.Before(g.tick) {
		return
	}
	kept := g.open[:0]
	for _, w := range g.open {
		if b.flush(w) || !b.rest(w) {
			kept = append(kept, w)
		} else {
			w.joined = false
		}
	}
	clear(g.open[len(kept):])
	g.open = kept
	// A pass that overran is not made up for by a burst of ticks: the next one is a window from now.
	if g.tick = g.tick.Add(g.window); !g.tick.After(now) {
		g.tick = now.Add(g.window)
	}
	if len(g.open) == 0 {
		g.tick = time.Time{}
	}
}

// align is the next tick of this batcher's phase after now, at most one window away.
func (b *Batcher) align(now time.Time, window time.Duration) time.Time {
	since := now.Sub(b.start) - b.phase%window
	return now.Add(window - (since%window+window)%window)
}

// rest closes a window that holds nothing. It answers false if a message has come meanwhile that no
// one else will see to; what is in the inbox will be admitted again.
func (b *Batcher) rest(w *Window) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase != open {
		return true
	}
	if w.work != nil {
		return false
	}
	w.phase = idle
	return true
}

// next is when Run has something to do again.
func (b *Batcher) next(now time.Time) time.Time {
	var at time.Time
	if len(b.eager) > 0 {
		at = now.Add(max(-b.credit, 0) + time.Microsecond)
	}
	for i := range b.groups {
		if t := b.groups[i].tick; !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

// flush hands what w holds to its sink, batch by batch. It answers false if there was nothing.
func (b *Batcher) flush(w *Window) bool {
	w.mu.Lock()
	k := w.work
	w.work = nil
	w.mu.Unlock()
	if k == nil {
		return false
	}
	b.waiting.Add(-k.held())
	first := 0
	for _, upto := range append(k.seals, len(k.marks)) {
		if upto > first {
			b.hand(w.sink, k, first, upto)
		}
		first = upto
	}
	k.free()
	return true
}

// hand gives the messages from first up to upto to the sink, without those that were replaced.
func (b *Batcher) hand(sink Sink, k *work, first, upto int) {
	batch := &b.batch
	*batch = Batch{Since: k.since, Excludes: k.excludes, Alone: k.marks[first].alone, Last: k.marks[upto-1].seq, work: k, first: first, upto: upto}
	if k.dead == 0 {
		batch.Count = upto - first
		batch.Body = k.buf[k.marks[first].start:k.marks[upto-1].end]
	} else {
		batch.squeeze()
	}
	if batch.Count > 0 {
		sink.Flush(batch)
	}
}

// squeeze moves the live messages of the batch together over the replaced ones.
func (b *Batch) squeeze() {
	k := b.work
	at := k.marks[b.first].start
	begin := at
	for i := b.first; i < b.upto; i++ {
		m := &k.marks[i]
		if m.end == 0 {
			b.Conflated++
			continue
		}
		if b.Count > 0 {
			k.buf[at] = ','
			at++
		}
		n := copy(k.buf[at:], k.buf[m.start:m.end])
		m.start, m.end = at, at+n
		at += n
		b.Count++
	}
	b.Body = k.buf[begin:at]
}
