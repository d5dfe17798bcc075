package batch

import (
	"sync"
	"time"
)

// A window past either bound is flushed without waiting for its tick.
const (
	EarlyBytes    = 64 << 10
	EarlyMessages = 512
)

// Message is one encoded message on its way into a window.
type Message struct {
	Bytes []byte // copied by Append
	Seq   uint64 // position in the channel; grows from one message to the next
	// Group and Key name the item a set writes. A set replaces the earlier set of the same name in
	// the window when the window conflates. Kept until the flush, so they must not alias a buffer
	// that is reused.
	Group, Key string
	Set        bool
	Exclude    string // receiver that must not get the message; "" none
	Alone      bool   // must not share a batch with other messages
}

// Entry is one message of a Batch.
type Entry struct {
	Bytes          []byte
	Seq            uint64
	Group, Exclude string
}

// Batch is a run of messages that leave together. It is valid during Sink.Flush only.
type Batch struct {
	Body        []byte    // the messages in order, separated by commas
	Count       int       // at least 1
	Last        uint64    // Seq of the last message
	Conflated   int       // messages that were replaced and are not in Body
	Excludes    bool      // some entries have an Exclude
	Alone       bool      // it is the one message that must not share a batch
	Since       time.Time // when the first message of the window came
	work        *work
	first, upto int
}

// Each calls f with every message of the batch in order.
func (b *Batch) Each(f func(Entry)) {
	for _, m := range b.work.marks[b.first:b.upto] {
		if m.end > 0 {
			f(Entry{b.work.buf[m.start:m.end], m.seq, m.group, m.exclude})
		}
	}
}

// Sink receives the batches of a window.
//
// Flush is called on the loop of the batcher, for one batch at a time, in the order of the channel.
// It must not block and must not keep the batch or its bytes.
type Sink interface {
	Flush(b *Batch)
}

// Options of a window.
type Options struct {
	Window   time.Duration // 0 or more
	Eager    bool          // the first message after an idle window is due at once
	Conflate bool          // a later set replaces the earlier one
}

// mark is where a message lies in the bytes of a window.
type mark struct {
	start, end int // end 0: replaced
	alone      bool
	seq        uint64
	group      string
	exclude    string
}

type itemName struct{ group, key string }

// work is what a window holds between two flushes. Idle windows hold none.
type work struct {
	buf       []byte
	marks     []mark
	seals     []int // indexes into marks at which a new batch begins
	sets      map[itemName]int
	dead      int // bytes of replaced messages in buf
	conflated int
	excludes  bool
	since     time.Time // when the first message came
}

// maxKept is the capacity beyond which a work is left to the garbage collector.
const maxKept = 256 << 10

var works = sync.Pool{New: func() any { return new(work) }}

// free empties k for its next window.
func (k *work) free() {
	if cap(k.buf) > maxKept || cap(k.marks) > maxKept/64 {
		return
	}
	clear(k.marks) // they hold strings
	clear(k.sets)
	*k = work{buf: k.buf[:0], marks: k.marks[:0], seals: k.seals[:0], sets: k.sets}
	works.Put(k)
}

// phase is where a window stands between two flushes.
type phase uint8

const (
	idle   phase = iota // nothing waits and no tick is due
	asked               // in the batcher's inbox
	open                // waits for a tick or for the budget
	urgent              // in the inbox because it is full
)

// Window gathers the messages of one channel. Make it with Batcher.Window.
type Window struct {
	// Set once by Batcher.Window.
	batcher *Batcher
	sink    Sink
	opt     Options

	// Owned by the batcher's loop.
	joined bool // waits for the ticks of its duration

	// Guarded by mu.
	mu    sync.Mutex
	phase phase
	work  *work // nil: nothing waits
}

// Append adds a message. It never blocks, and does not allocate once the window has been through a few
// flushes.
func (w *Window) Append(m Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.work
	if k == nil {
		k = works.Get().(*work)
		k.since = time.Now()
		w.work = k
	}
	if m.Set && w.opt.Conflate {
		k.conflate(m)
	}
	if m.Alone {
		k.seal()
	}
	if len(k.buf) > 0 {
		k.buf = append(k.buf, ',')
	}
	start := len(k.buf)
	k.buf = append(k.buf, m.Bytes...)
	k.marks = append(k.marks, mark{start, len(k.buf), m.Alone, m.Seq, m.Group, m.Exclude})
	if m.Alone {
		k.seal()
	}
	k.excludes = k.excludes || m.Exclude != ""
	w.batcher.waiting.Add(int64(len(m.Bytes)))
	switch {
	case w.phase == idle:
		w.phase = asked
	case w.phase != urgent && (len(k.buf) >= EarlyBytes || len(k.marks) >= EarlyMessages):
		w.phase = urgent
	default:
		return
	}
	w.batcher.ask(w)
}

// conflate marks the earlier set of the same item as replaced. One that leaves out another receiver
// stays: that receiver would lose both.
func (k *work) conflate(m Message) {
	if k.sets == nil {
		k.sets = make(map[itemName]int)
	}
	name := itemName{m.Group, m.Key}
	if i, ok := k.sets[name]; ok && k.marks[i].exclude == m.Exclude {
		k.dead += k.marks[i].end - k.marks[i].start
		k.marks[i].end = 0
		k.conflated++
	}
	k.sets[name] = len(k.marks)
}

// Seal ends the batch at the last message appended: what comes after it is flushed with it, but as a
// batch of its own, and replaces nothing before it. A reader who joins at a position seals there, so
// that no frame holds both what it has and what it lacks.
func (w *Window) Seal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.work != nil {
		w.work.seal()
	}
}

func (k *work) seal() {
	if n := len(k.marks); n > 0 && (len(k.seals) == 0 || k.seals[len(k.seals)-1] != n) {
		k.seals = append(k.seals, n)
		clear(k.sets)
	}
}

// Hurry makes what the window holds due as soon as the budget allows, as if its first message had come
// after an idle window.
func (w *Window) Hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.work != nil && w.phase == open {
		w.phase = asked
		w.batcher.ask(w)
	}
}

// Clear drops what the window holds; for a channel whose log was lost, so that no batch mixes epochs.
func (w *Window) Clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.work; k != nil {
		w.work = nil
		w.batcher.waiting.Add(-k.held())
		k.free()
	}
}

// held is what a work counts in Batcher.waiting: the bytes of its messages without the commas between
// them.
func (k *work) held() int64 { return int64(len(k.buf) - max(len(k.marks)-1, 0)) }
