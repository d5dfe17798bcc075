package ingress

import (
	"slices"
	"sync"

	"weir/broker"
)

// pendingReplies are the answers that are owed to a connection: the first one that waits for the disk, and all behind it. It belongs
// to the connection's event loop.
type pendingReplies struct {
	out   []byte
	ready int    // so many bytes of out may be sent; they were tried, and the socket was full
	waits []span // the answers of out that wait, in order; the first one begins at ready
	due   bool   // something was settled that is still to be sent
}

// span is where an answer stands.
type span struct{ from, to int }

// pendingAck is an answer that waits for the disk.
type pendingAck struct {
	conn    *Conn
	receipt broker.Receipt // pending
	err     error          // set by the ack waiter: why it is not safe
}

var replyPool = sync.Pool{New: func() any { return new(pendingReplies) }}

// append puts answers at the end, of which some wait.
func (b *pendingReplies) append(out []byte, waits []span) {
	base := len(b.out)
	b.out = append(b.out, out...)
	for _, w := range waits {
		b.waits = append(b.waits, span{base + w.from, base + w.to})
	}
	b.advance()
}

// resolve lets the first answer that waits go, or another one in its place.
func (b *pendingReplies) resolve(instead []byte) {
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
func (b *pendingReplies) sent(n int) {
	b.out = slices.Delete(b.out, 0, n)
	for i := range b.waits {
		b.waits[i].from -= n
		b.waits[i].to -= n
	}
	b.advance()
}

func (b *pendingReplies) advance() {
	b.ready = len(b.out)
	if len(b.waits) > 0 {
		b.ready = b.waits[0].from
	}
}

// release gives the list of pending replies back: nothing is owed any more.
func (b *pendingReplies) release() {
	*b = pendingReplies{out: b.out[:0], waits: b.waits[:0]}
	if cap(b.out) <= maxPendingBytes {
		replyPool.Put(b)
	}
}
