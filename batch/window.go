package batch

import (
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a batch. A window past either is flushed without waiting for its tick, and what comes after
// is a batch of its own. A single message larger than earlyBytes is one all the same.
const (
	earlyBytes    = 64 << 10 // with the commas between messages
	earlyMessages = 512
)

// maxHeld is how many bytes wait in one window before publishers to its channel are refused: the loop would not have
// time to write more, and readers that keep up would be taken for slow.
const maxHeld = 768 << 10

// Message is one encoded message on its way into a window.
type Message struct {
	Bytes []byte // copied by Append
	Seq   uint64 // position in the channel; grows from one message to the next
	// Group and Key name the item a set writes. A set replaces the earlier set of the same name in
	// the window when the window conflates. Kept until the flush, so they must not alias a buffer
	// that is reused.
	Group, Key string
	Set        bool
	Created    bool    // the item of a set is new
	Exclude    string  // receiver that must not get the message; "" none. Kept like Group
	Exclusive  bool    // must not share a batch with other messages, and neither replaces nor is replaced
	Grows      *Growth // of a message that puts something behind the value of its item; it may be used again afterwards. nil: it does not
}

// Options of a window.
type Options struct {
	Window   time.Duration // 0: as soon as the budget allows
	Eager    bool          // the first message after an idle window is due at once
	Conflate bool          // a later set replaces the earlier one
	Stretch  float64       // how many times as long it may become, up to MostStretch; 0, 1: no longer. See Config.Load
}

// Window gathers the messages of one channel. Make it with Batcher.Window.
//
// While it is open the loop will see to whatever is appended: it waits in the batcher's inbox, for the
// budget, or for a tick. One that is not open holds nothing.
type Window struct {
	// Set once by Batcher.Window.
	batcher *Batcher
	sink    Sink
	opt     Options
	held    *atomic.Int64 // see CountIn
	place   uint32        // among those of the batcher, which are spread evenly from 0 to the largest number; see group.add

	// Owned by the batcher's loop.
	joined bool // is in the group of its duration
	eager  bool // is in the list of those that wait for the budget

	// Guarded by mu.
	mu        sync.Mutex
	open      bool
	asked     bool    // is in the batcher's inbox
	expedited bool    // what it holds is due as soon as the budget allows
	full      bool    // what it holds is due, budget or not
	buffer    *buffer // nil: nothing waits
}

// CountIn has the bytes that wait in the window counted in what several windows share. It is called before anything is appended.
func (w *Window) CountIn(held *atomic.Int64) { w.held = held }

// Full reports whether the window holds maxHeld bytes or more.
func (w *Window) Full() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buffer != nil && len(w.buffer.bytes) >= maxHeld
}

// Append adds a message. It never blocks, and does not allocate once the window has been through a few
// flushes.
func (w *Window) Append(m Message) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buffer == nil {
		w.buffer = w.batcher.buffers.Get().(*buffer)
		w.buffer.since = time.Now()
	}
	full := w.buffer.add(&m, w.opt.Conflate)
	w.hold(int64(len(m.Bytes)))
	switch {
	case full && !w.full:
		w.open, w.full = true, true
		w.ask()
	case !w.open:
		w.open = true
		w.expedited = w.opt.Eager || w.opt.Window == 0
		w.ask()
	}
}

// Seal ends the batch at the last message appended: what comes after it is flushed with it, but as another batch, and
// replaces nothing before it. A reader that joins at a position seals there, so that no frame holds both what it has
// and what it lacks.
func (w *Window) Seal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buffer != nil {
		w.buffer.seal()
	}
}

// Expedite makes what the window holds due as soon as the budget allows, as if its first message had come
// after an idle window.
func (w *Window) Expedite() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buffer != nil && !w.expedited {
		w.expedited = true
		w.ask()
	}
}

// Clear drops what the window holds; for a channel whose log was lost, so that no batch mixes epochs.
func (w *Window) Clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	expedited := w.expedited
	if buf := w.take(); buf != nil {
		w.batcher.recycle(buf)
	}
	w.expedited = expedited // what comes instead is as urgent
}

// ask puts the window into the batcher's inbox. The caller holds w.mu.
func (w *Window) ask() {
	if !w.asked {
		w.asked = true
		w.batcher.ask(w)
	}
}

// hold counts bytes that wait, or no longer do.
func (w *Window) hold(n int64) {
	w.batcher.waiting.Add(n)
	if w.held != nil {
		w.held.Add(n)
	}
}

// take is what the window holds, which is no longer due. The caller holds w.mu.
func (w *Window) take() *buffer {
	buf := w.buffer
	w.buffer, w.expedited, w.full = nil, false, false
	if buf != nil {
		w.hold(int64(max(len(buf.marks)-1, 0) - len(buf.bytes))) // its messages, without the commas
	}
	return buf
}
