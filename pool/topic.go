package pool

import "sync/atomic"

// Topic is what connections join to get the same frames. Make it with Pool.Topic.
//
// Join must be called, and the position of the reader decided, under a lock that also orders the taking
// of frames for Deliver: then a frame with Last beyond a joiner's position reaches each shard after the
// joiner did.
type Topic struct {
	// Set once by Pool.Topic.
	pool  *Pool
	slow  Slow
	meter *Meter

	// Atomic.
	slots  []atomic.Pointer[slot]  // by shard; nil until a connection of the shard joins
	takers [Encodings]atomic.Int32 // joined connections by encoding
	lacks  [Encodings]atomic.Int32 // of these, those that do not know Appends
}

// Slow is what happens to a connection that does not keep up with a topic.
type Slow uint8

// The policies of a topic.
const (
	Disconnect Slow = iota // Owner.Slow is called
	Resync                 // frames are dropped until the socket drains; then Owner.Resync is called. Disconnect for tailed connections
)

// Topic makes a topic. Its deliveries are counted in m.
func (p *Pool) Topic(slow Slow, m *Meter) *Topic {
	return &Topic{pool: p, slow: slow, meter: m, slots: make([]atomic.Pointer[slot], len(p.shards))}
}

// Takers is how many joined connections take the encoding.
func (t *Topic) Takers(enc Encoding) int { return int(t.takers[enc].Load()) }

// Lacking is how many joined connections take the encoding and do not know Appends.
func (t *Topic) Lacking(enc Encoding) int { return int(t.lacks[enc].Load()) }

// Subscribers is how many connections have joined.
func (t *Topic) Subscribers() int {
	n := 0
	for i := range t.takers {
		n += int(t.takers[i].Load())
	}
	return n
}

// Deliver posts f once to every shard that has subscribers. It never blocks. Frames of a topic are delivered from one
// goroutine at a time, in the order of their Last.
//
// Last may be beyond what f holds: a frame without bytes marks up to where there is nothing to send; one that announces
// the loss of the log behind the topic stands for all that was not sent. Waits for a position up to f.Last are
// fulfilled after it. It returns to how many shards f was posted.
func (t *Topic) Deliver(f *Frame) (shards int) {
	for i := range t.slots {
		if sl := t.slots[i].Load(); sl != nil && sl.joined.Load() > 0 {
			t.pool.shards[i].post(mail{kind: frameMail, slot: sl, frame: f})
			shards++
		}
	}
	return shards
}

// slotFor returns t's slot on shard i, making it if need be.
func (t *Topic) slotFor(i int) *slot {
	for {
		if sl := t.slots[i].Load(); sl != nil {
			return sl
		}
		t.slots[i].CompareAndSwap(nil, &slot{topic: t})
	}
}
