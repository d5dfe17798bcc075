package pool

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"
)

// lagging is the position of a subscriber that is left out until it has been resynced.
const lagging = math.MaxUint64

// staying is the last position of a subscriber that is not leaving.
const staying = math.MaxUint64

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
	moved int    // subscribers out of order
	busy  int64  // when the last frame was gathered, in ns
}

// sub is a subscriber. It gets the frames after from, up to until: a connection that leaves and joins
// again at once is there more than once for a while.
type sub struct {
	conn  *Conn
	from  uint64
	until uint64 // staying unless it is leaving
	at    int32  // index in conn.memberships
	order uint32 // conn.order
}

// wait is a reply due once everything up to a position has been gathered for its connection.
type wait struct {
	conn  *Conn
	until uint64
	bytes []byte
	leave bool
	then  func()
}

// membership is the way back from a connection to its place in a slot.
type membership struct {
	slot *slot
	at   int32 // index in slot.subs
}

// fewSubs is the capacity of subs up to which an empty slot keeps it.
const fewSubs = 16

// count adds n to the subscribers with c's encoding.
func (sl *slot) count(c *Conn, n int32) {
	sl.joined.Add(n)
	sl.topic.takers[c.enc].Add(n)
	if !c.Knows(Appends) {
		sl.topic.lacks[c.enc].Add(n)
	}
}

// dropped counts a frame that a slow connection does not get.
func (sl *slot) dropped() {
	if m := sl.topic.meter; m != nil {
		m.Dropped.Add(1)
	}
}

// add makes c a subscriber from a position on.
func (sl *slot) add(c *Conn, from uint64) {
	if n := len(sl.subs); n > 0 && sl.subs[n-1].order > c.order {
		sl.moved++
	}
	c.memberships = append(c.memberships, membership{sl, int32(len(sl.subs))})
	sl.subs = append(sl.subs, sub{c, from, staying, int32(len(c.memberships) - 1), c.order})
}

// restart makes a subscriber start over at a position. It returns false if c is none.
func (sl *slot) restart(c *Conn, from uint64) bool {
	i := c.find(sl, staying)
	if i >= 0 {
		sl.subs[c.memberships[i].at].from = from
		c.forget(sl)
	}
	return i >= 0
}

// forget removes a slot from those that c is to be resynced in.
func (c *Conn) forget(sl *slot) {
	if i := slices.Index(c.lagging(), sl); i >= 0 {
		c.setLagging(slices.Delete(c.lagging(), i, i+1))
	}
}

// remove takes the i-th membership of c away. Both lists stay dense: the last entry takes the place.
func (sl *slot) remove(c *Conn, i int32) {
	at := c.memberships[i].at
	end := int32(len(sl.subs) - 1)
	if at != end {
		sl.subs[at] = sl.subs[end]
		sl.subs[at].conn.memberships[sl.subs[at].at].at = at
		sl.moved++
	}
	sl.subs[end] = sub{}
	sl.subs = sl.subs[:end]
	last := int32(len(c.memberships) - 1)
	if i != last {
		c.memberships[i] = c.memberships[last]
		m := c.memberships[i]
		m.slot.subs[m.at].at = i
	}
	c.memberships[last] = membership{}
	c.memberships = c.memberships[:last]
	sl.count(c, -1)
	if len(sl.subs) == 0 {
		sl.moved = 0
		if cap(sl.subs) > fewSubs {
			sl.subs = nil
		}
	}
}

// tidy puts the subscribers back in the order in which they connected once an eighth of them is out of
// it: visiting sockets in that order costs a sixth less than visiting them at random.
func (sl *slot) tidy() {
	if len(sl.subs) < 64 || sl.moved*8 < len(sl.subs) {
		return
	}
	slices.SortFunc(sl.subs, func(a, b sub) int { return cmp.Compare(a.order, b.order) })
	for i := range sl.subs {
		s := &sl.subs[i]
		s.conn.memberships[s.at].at = int32(i)
	}
	sl.moved = 0
}

// reached reports whether everything up to a position has been gathered for c, in all its memberships.
func (sl *slot) reached(c *Conn, at uint64) bool {
	for _, m := range c.memberships {
		if m.slot != sl {
			continue
		}
		if sub := &sl.subs[m.at]; max(sl.last, sub.from) < min(at, sub.until) {
			return false
		}
	}
	return true
}
