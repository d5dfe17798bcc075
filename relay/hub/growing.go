package hub

import (
	"weir/batch"
	"weir/broker"
	"weir/pool"
	"weir/relay/tracing"
)

// growthOf is what an append has made of its item, for the window that gathers appends. shift is how much longer the message is in front than the
// encoded change.
func growthOf(c *broker.Change, shift int) batch.Growth {
	return batch.Growth{Whole: c.Text(), Head: c.Start() + shift, Foot: len(`"}`)}
}

// flushGrowing is Flush of a batch with appends. Subscribers that do not know these get the item as it then was. That is put together once, and
// only if there are some.
func (f *Fanout) flushGrowing(b *batch.Batch, t *tracing.Flush) {
	shards := 0
	topics := []groupTopic{{topic: f.Topic}}
	if p := f.filtered.Load(); p != nil {
		for _, s := range *p {
			topics = append(topics, *s)
		}
	}
	var sets *batch.Batch
	for _, s := range topics {
		part := cut{groups: s.groups, key: s.key}
		lacking := lacksAny(s.topic)
		if lacking && sets == nil {
			sets = b.Rewrite(appendWhole)
		}
		var frame *pool.Frame
		if lacking {
			frame = f.frameOfBoth(s.topic, b, sets, part)
		} else {
			frame = f.frame(s.topic, b, pick(b, part))
		}
		if b.Excludes {
			f.exclude(frame, b, sets, part)
		}
		shards += deliver(s.topic, frame, t)
	}
	if t != nil {
		t.Sent(shards)
	}
}

// frameOfBoth is a frame of a batch for those who know appends, and of sets for the others.
func (f *Fanout) frameOfBoth(t *pool.Topic, b, sets *batch.Batch, part cut) *pool.Frame {
	grown, whole := pick(b, part), pick(sets, part)
	frame := f.emptyFrame(b, whole.count)
	frame.Alternate, frame.Feature = &pool.Frame{Count: int32(grown.count)}, pool.Appends
	if grown.count == 0 {
		return frame
	}
	for enc := range f.hub.endOfDialects() {
		if t.Lacking(enc) > 0 {
			f.put(frame, enc, sets, &whole)
		}
		if enc < firstDialect && t.Takers(enc) > 0 { // whether some know appends is not to be found out without a race
			f.put(frame.Alternate, enc, b, &grown)
		}
	}
	return frame
}

// appendWhole is what an entry of a batch is told as to those who know no appends.
func appendWhole(dst []byte, e *batch.Entry) []byte {
	switch {
	case e.Later: // what comes says it, too
		return dst
	case e.Whole != nil:
		return broker.AppendSet(dst, e.Bytes, e.Whole)
	}
	return append(dst, e.Bytes...)
}

// lacksAny reports whether some subscribers of a topic know no appends.
func lacksAny(t *pool.Topic) bool {
	for enc := range pool.Encoding(pool.Encodings) {
		if t.Lacking(enc) > 0 {
			return true
		}
	}
	return false
}
