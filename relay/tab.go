package relay

import (
	"slices"
	"sync"

	"weir/broker"
)

// tab is the answers that are owed to a guest: the first one that waits for the disk, and all behind it. It belongs
// to the guest's desk.
type tab struct {
	out   []byte
	ready int    // so many bytes of out may be sent; they were tried, and the socket was full
	waits []span // the answers of out that wait, in order; the first one begins at ready
	due   bool   // something was settled that is still to be sent
}

// span is where an answer stands.
type span struct{ from, to int }

// pledge is an answer that waits for the disk.
type pledge struct {
	guest *guest
	wait  func() (broker.Position, error)
	done  <-chan struct{} // closed when wait no longer blocks; nil: nobody knows
	err   error           // set by the clerk: why it is not safe
}

var tabs = sync.Pool{New: func() any { return new(tab) }}

// owe puts answers at the end, of which some wait.
func (b *tab) owe(out []byte, waits []span) {
	base := len(b.out)
	b.out = append(b.out, out...)
	for _, w := range waits {
		b.waits = append(b.waits, span{base + w.from, base + w.to})
	}
	b.advance()
}

// settle lets the first answer that waits go, or another one in its place.
func (b *tab) settle(instead []byte) {
	w := b.waits[0]
	if instead != nil {
		b.out = slices.Replace(b.out, w.from, w.to, instead...)
		for i := range b.waits {
			b.waits[i].from += len(instead) - (w.to - w.from)
			b.waits[i].to += len(instead) - (w.to - w.from)
		}
	}
	b.waits = slices.Delete(b.waits, 0, 1)
	b.advance()
}

// sent takes out what was sent.
func (b *tab) sent(n int) {
	b.out = slices.Delete(b.out, 0, n)
	for i := range b.waits {
		b.waits[i].from -= n
		b.waits[i].to -= n
	}
	b.advance()
}

func (b *tab) advance() {
	b.ready = len(b.out)
	if len(b.waits) > 0 {
		b.ready = b.waits[0].from
	}
}

// release gives the tab back: nothing is owed any more.
func (b *tab) release() {
	*b = tab{out: b.out[:0], waits: b.waits[:0]}
	if cap(b.out) <= maxOwedBytes {
		tabs.Put(b)
	}
}
