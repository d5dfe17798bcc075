package ingress

import (
	"slices"
	"sync"

	"weir/broker"
)

// pendingReplies are the answers that are owed to a connection: the first one that waits for the disk or another node, and all behind it. It belongs
// to the connection's event loop.
type pendingReplies struct {
	out   []byte
	ready int    // so many bytes of out may be sent; they were tried, and the socket was full
	waits []span // the answers of out that wait, in order; the first one begins at ready
	due   bool   // something was settled that is still to be sent
}

// span is where an answer stands, or will: one whose position is not known yet has no bytes.
type span struct {
	from, to int
	id       uint64 // of the pending ack
	settled  bool   // but not the one before it
}

// pendingAck is an answer that waits for the disk, or for the node that owns the channel.
type pendingAck struct {
	conn    *Conn
	id      uint64         // of its span
	receipt broker.Receipt // pending

	// Set when it is settled.
	at  broker.Position
	err error // why it is not safe
}

var replyPool = sync.Pool{New: func() any { return new(pendingReplies) }}

// append puts answers at the end, of which some wait.
func (b *pendingReplies) append(out []byte, waits []span) {
	base := len(b.out)
	b.out = append(b.out, out...)
	for _, w := range waits {
		b.waits = append(b.waits, span{base + w.from, base + w.to, w.id, w.settled})
	}
	b.advance()
}

// resolve lets an answer that waits go, as soon as those before it may, or another one in its place. Answers of the disk come in order, those of other nodes
// in any.
func (b *pendingReplies) resolve(id uint64, instead []byte) {
	n := slices.IndexFunc(b.waits, func(w span) bool { return w.id == id })
	w := &b.waits[n]
	w.settled = true
	if instead != nil {
		b.out = slices.Replace(b.out, w.from, w.to, instead...)
		grown := len(instead) - (w.to - w.from)
		w.to += grown
		for i := n + 1; i < len(b.waits); i++ {
			b.waits[i].from += grown
			b.waits[i].to += grown
		}
	}
	for n = 0; n < len(b.waits) && b.waits[n].settled; n++ { // these may go
	}
	b.waits = slices.Delete(b.waits, 0, n)
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
