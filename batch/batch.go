package batch

import "time"

// Entry is one message of a Batch.
type Entry struct {
	Bytes      []byte
	Seq        uint64
	Group, Key string
	Exclude    string
	Created    bool   // the item that it sets is new, in this message or in one that it stands in for
	Whole      []byte // what the item has become by a message that has a Growth; nil: it has none
	Later      bool   // another one of the same item, or a set, follows in the batch for the same receivers
}

// Batch is a run of messages that leave together. It is valid during Sink.Flush only.
type Batch struct {
	Body        []byte    // the messages in order, separated by commas
	Count       int       // at least 1
	Last        uint64    // Seq of the last message
	Conflated   int       // messages that were replaced and are not in Body
	Excludes    bool      // some entries may have an Exclude
	Grows       bool      // some entries have a Whole
	Exclusive   bool      // it is the one message that must not share a batch
	Since       time.Time // when the first message of the window came
	buffer      *buffer
	first, upto int // the batch's marks
}

// Each calls f with every message of the batch in order.
func (b *Batch) Each(f func(Entry)) {
	at := 0
	for i := b.first; i < b.upto; i++ {
		m := &b.buffer.marks[i]
		if m.replaced {
			continue
		}
		e := Entry{Bytes: b.buffer.bytes[m.start:m.end], Seq: m.seq, Group: m.group, Key: m.key, Exclude: m.exclude, Created: m.created}
		if b.Grows {
			if g := b.buffer.growing(i, &at); g != nil {
				e.Whole, e.Later = g.Whole, g.later
			}
		}
		f(e)
	}
}

// squeeze moves the live messages of the batch together over the replaced ones.
func (b *Batch) squeeze() {
	buf := b.buffer
	begin := buf.marks[b.first].start
	at, grown := begin, 0
	for i := b.first; i < b.upto; i++ {
		m := &buf.marks[i]
		if m.replaced {
			b.Conflated++
			continue
		}
		if b.Count > 0 {
			buf.bytes[at] = ','
			at++
		}
		var g *growth
		if b.Grows {
			g = buf.growing(i, &grown)
		}
		var n int
		if g != nil && g.joined {
			n = buf.join(at, m, g)
		} else {
			n = copy(buf.bytes[at:], buf.bytes[m.start:m.end])
		}
		m.start, m.end = at, at+n
		at += n
		b.Count++
	}
	b.Body = buf.bytes[begin:at]
}

// Sink receives the batches of a window.
//
// Both methods are called on the loop of the batcher, in the order of the channel, and must not block.
type Sink interface {
	// Flush is called for one batch at a time. It must not keep the batch or its bytes.
	Flush(b *Batch)
	// Missed is called when Flush has panicked over the batch that ends at last and Config.Panic has ended the panic.
	// The readers that lack the batch must learn of it.
	Missed(last uint64)
}
