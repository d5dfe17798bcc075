package hub

import (
	"weir/batch"
	"weir/internal/wire"
	"weir/pool"
)

// emptyFrame is a frame for count messages of a batch.
func (f *Fanout) emptyFrame(b *batch.Batch, count int) *pool.Frame {
	return &pool.Frame{Last: b.Last, Count: int32(count), Since: b.Since, Position: pool.Position{Epoch: f.epoch, Seq: b.Last - f.base}}
}

// frame encodes messages of a batch for the subscribers of a topic.
func (f *Fanout) frame(t *pool.Topic, b *batch.Batch, c cut) *pool.Frame {
	frame := f.emptyFrame(b, c.count)
	if c.count == 0 {
		return frame
	}
	for enc := range f.hub.endOfDialects() {
		if t.Takers(enc) > 0 {
			f.put(frame, enc, b, &c)
		}
	}
	return frame
}

// put encodes messages of a batch into a frame.
func (f *Fanout) put(frame *pool.Frame, enc pool.Encoding, b *batch.Batch, c *cut) {
	switch {
	case enc >= firstDialect:
		frame.Put(enc, f.tell(enc, b).of(b, c))
	case isWhole(enc) && f.wholeAnyway(c.count) && frame.Of(shortOf(enc)) != nil:
		frame.Put(enc, frame.Of(shortOf(enc)))
	default:
		frame.Put(enc, f.encode(enc, b, c))
	}
}

// wholeAnyway says that the short form of so many messages is the whole one.
func (f *Fanout) wholeAnyway(count int) bool { return f.own || count == 1 }

// encode puts messages of a batch into the envelope of their channel and that into a frame.
func (f *Fanout) encode(enc pool.Encoding, b *batch.Batch, c *cut) []byte {
	body, count := c.body, c.count
	switch {
	case enc == CustomSSE:
		return f.Namespace.Events.Append(nil, f.Name, f.epoch, body)
	case enc == ChunkedSSE:
		return Chunk(f.Namespace.Events.Append(nil, f.Name, f.epoch, body))
	case isWhole(enc) && f.wholeAnyway(count):
		enc = shortOf(enc)
	case isWhole(enc):
		return f.encodeWhole(enc, b, c)
	}
	size := f.payloadSize(body, count)
	if enc == WS { // the hot path: one allocation, one copy
		b := make([]byte, 0, wire.MaxHeader+size)
		return f.appendPayload(wire.AppendHeader(b, wire.OpText, false, size), body, count)
	}
	return EncodePayload(enc, f.event(count), f.appendPayload(make([]byte, 0, size), body, count))
}

// encodeWhole is encode for several messages of a batch, each of which says all about itself.
func (f *Fanout) encodeWhole(enc pool.Encoding, b *batch.Batch, c *cut) []byte {
	size := f.payloadSize(c.body, c.count) + c.count*(len(`"type":"channel_update","channel":"",`)+len(f.Name))
	p := append(append(make([]byte, 0, size), `{"type":"batch","channel":"`...), f.Name...)
	p = append(p, `","messages":[`...)
	begin := len(p)
	c.each(b, func(e batch.Entry) {
		if len(p) > begin {
			p = append(p, ',')
		}
		p = wire.AppendUpdate(p, f.Name, e.Bytes)
	})
	return EncodePayload(enc, "batch", append(p, wire.CloseBatch...))
}

// payloadSize is the length of what appendPayload appends.
func (f *Fanout) payloadSize(body []byte, count int) int {
	switch {
	case f.own && count == 1:
		return len(body)
	case f.own:
		return len(wire.OpenBatch) + len(body) + len(wire.CloseBatch)
	case count == 1:
		return len(`{"type":"channel_update","channel":"",`) + len(f.Name) + len(body) - 1
	default:
		return len(`{"type":"batch","channel":"","messages":[]}`) + len(f.Name) + len(body)
	}
}

func (f *Fanout) appendPayload(dst, body []byte, count int) []byte {
	switch {
	case f.own && count == 1:
		return append(dst, body...)
	case f.own:
		return append(append(append(dst, wire.OpenBatch...), body...), wire.CloseBatch...)
	case count == 1:
		return wire.AppendUpdate(dst, f.Name, body)
	default:
		return wire.AppendBatch(dst, f.Name, body)
	}
}

// event is the SSE type of a frame.
func (f *Fanout) event(count int) string {
	switch {
	case count > 1:
		return "batch"
	case f.own:
		return "update"
	default:
		return "channel_update"
	}
}
