package pool

import (
	"math"
	"slices"
	"sync/atomic"
)

// lagging is the position of a subscriber that is left out until it has been resynced.
const lagging = math.MaxUint64

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
}

// Slow says what happens to a connection that does not keep up with a topic.
type Slow uint8

// The policies of a topic.
const (
	Disconnect Slow = iota // Owner.Slow is called
	Resync                 // frames are dropped until the socket drains; then Owner.Resync is called
)

// Topic makes a topic. Its deliveries are counted in m.
func (p *Pool) Topic(slow Slow, m *Meter) *Topic {
	return &Topic{pool: p, slow: slow, meter: m, slots: make([]atomic.Pointer[slot], len(p.shards))}
}

// Takers is how many joined connections take the encoding.
func (t *Topic) Takers(enc Encoding) int { return int(t.takers[enc].Load()) }

// Deliver posts f once to every shard that has subscribers. It never blocks. Frames of a topic are
// delivered from one goroutine at a time, in the order of their Last.
func (t *Topic) Deliver(f *Frame) { t.post(frameMail, f) }

// Reset delivers f, makes f.Last the position of every subscriber, however far ahead it was, and ends
// every wait for an earlier position: for a log that was lost.
func (t *Topic) Reset(f *Frame) { t.post(resetMail, f) }

func (t *Topic) post(k kind, f *Frame) {
	for i := range t.slots {
		if sl := t.slots[i].Load(); sl != nil && sl.joined.Load() > 0 {
			t.pool.shards[i].post(mail{kind: k, slot: sl, frame: f})
		}
	}
}

// slot is a topic's part on one shard.
type slot struct {
	// Set once.
	topic *Topic

	// Atomic: raised by Join, lowered by the loop; 0 means that frames need not be posted here.
	joined atomic.Int32

	// Owned by the shard's loop.
	subs  []sub
	waits []wait
	last  uint64 // Last of the newest frame gathered
	moved int    // subscribers out of order because of removals
}

// sub is a subscriber. It gets the frames after from, up to until: a connection that leaves and joins
// again at once is there twice for a while.
type sub struct {
	conn  *Conn
	from  uint64
	until uint64 // math.MaxUint64 unless it is leaving
	at    int32  // index in conn.memberships
}

// wait is a reply due once everything up to a position has been gathered for its connection.
type wait struct {
	conn  *Conn
	until uint64
	frame *Frame
	leave bool
	then  func()
}

// membership is the way back from a connection to its place in a slot.
type membership struct {
	slot *slot
	at   int32 // index in slot.subs
}

// slotFor returns t's slot on shard i, making it if need be. Callers hold the lock that orders joins.
func (t *Topic) slotFor(i int) *slot {
	if sl := t.slots[i].Load(); sl != nil {
		return sl
	}
	sl := &slot{topic: t}
	t.slots[i].Store(sl)
	return sl
}

// add makes c a subscriber from a position on.
func (sl *slot) add(c *Conn, from uint64) {
	c.memberships = append(c.memberships, membership{sl, int32(len(sl.subs))})
	sl.subs = append(sl.subs, sub{c, from, math.MaxUint64, int32(len(c.memberships) - 1)})
}

// restart makes a subscriber that was left out start over at a position.
func (sl *slot) restart(c *Conn, from uint64) {
	if i := c.find(sl, false); i >= 0 {
		sl.subs[c.memberships[i].at].from = from
	}
	c.lags = slices.DeleteFunc(c.lags, func(l *slot) bool { return l == sl })
}

// remove takes the i-th membership of c away. Both lists stay dense: the last entry takes the place.
func (sl *slot) remove(c *Conn, i int32) {
	at := c.memberships[i].at
	if end := int32(len(sl.subs) - 1); at != end {
		sl.subs[at] = sl.subs[end]
		sl.subs[at].conn.memberships[sl.subs[at].at].at = at
		sl.moved++
	}
	sl.subs[len(sl.subs)-1] = sub{}
	sl.subs = sl.subs[:len(sl.subs)-1]
	if end := int32(len(c.memberships) - 1); i != end {
		c.memberships[i] = c.memberships[end]
		m := c.memberships[i]
		m.slot.subs[m.at].at = i
	}
	c.memberships[len(c.memberships)-1] = membership{}
	c.memberships = c.memberships[:len(c.memberships)-1]
	c.lags = slices.DeleteFunc(c.lags, func(l *slot) bool { return l == sl })
	sl.joined.Add(-1)
	sl.topic.takers[c.enc].Add(-1)
	if len(sl.subs) == 0 {
		sl.subs, sl.moved = nil, 0
	}
}

// tidy puts the subscribers back in the order in which they connected once removals have shuffled an
// eighth of them: visiting sockets in that order costs a sixth less than visiting them at random.
func (sl *slot) tidy() {
	if len(sl.subs) < 64 || sl.moved*8 < len(sl.subs) {
		return
	}
	slices.SortFunc(sl.subs, func(a, b sub) int { return int(a.conn.order) - int(b.conn.order) })
	for i := range sl.subs {
		s := &sl.subs[i]
		s.conn.memberships[s.at].at = int32(i)
	}
	sl.moved = 0
}

// position is up to where everything has been gathered for a subscriber.
func (sl *slot) position(c *Conn, leaving bool) uint64 {
	if i := c.find(sl, leaving); i >= 0 {
		return max(sl.last, sl.subs[c.memberships[i].at].from)
	}
	return lagging
}
