package pool

import (
	"cmp"
	"slices"
	"time"
)

// node is one frame or reply due for one connection in the pass that is being prepared. Nodes of a
// connection form a list through the shard's slice, by index plus one, so that a pass allocates nothing.
type node struct {
	bytes []byte
	frame *Frame // nil for replies
	slot  *slot  // nil for replies
	next  int32
}

// maxScratch is the capacity beyond which the space that writes are put together in is given back.
const maxScratch = 1 << 20

// gather makes f due for every subscriber of a slot that lacks it.
func (s *Shard) gather(sl *slot, f *Frame) {
	if f.Missing {
		s.markMissed(sl, f)
		return
	}
	sl.tidy()
	sl.last = f.Last
	s.mark(sl, f, true)
	var frames, messages uint64
	for i := range sl.subs {
		sub := &sl.subs[i]
		if f.Last <= sub.from || f.Last > sub.until {
			continue
		}
		b, n := f.Of(sub.conn.enc), int(f.Count)
		if j := sub.conn.override; j != 0 {
			if j > 0 {
				b, n = f.Overrides[j-1].Bytes, f.Overrides[j-1].Count
			} else if f.Alternate != nil { // it may be left of one that there was a panic over
				b, n = f.Alternate.Of(sub.conn.enc), int(f.Alternate.Count)
			}
		}
		if len(b) == 0 {
			continue
		}
		s.link(sub.conn, node{frame: f, bytes: b, slot: sl})
		frames++
		messages += uint64(n)
	}
	s.mark(sl, f, false)
	if m := sl.topic.meter; m != nil {
		m.Frames.Add(frames)
		m.Messages.Add(messages)
	}
	if !f.Since.IsZero() && frames > 0 {
		s.written = append(s.written, f)
	}
	s.settle(sl)
}

// markMissed gives up every subscriber of a slot that lacks f, a frame that could not be built. Nothing is missing where
// the frame itself has been gathered before.
func (s *Shard) markMissed(sl *slot, f *Frame) {
	if f.Last <= sl.last {
		return
	}
	sl.last = f.Last
	for i := range sl.subs {
		if sub := &sl.subs[i]; f.Last > sub.from && f.Last <= sub.until {
			s.missed(sub.conn)
		}
	}
	s.settle(sl)
}

// alternate stands for Frame.Alternate in the place of an index.
const alternate = -1

// mark notes on connections that get other bytes where they are, or takes the notes away.
func (s *Shard) mark(sl *slot, f *Frame, on bool) {
	if f.Alternate != nil {
		for i := range sl.subs {
			if c := sl.subs[i].conn; c.Knows(f.Feature) {
				c.override = 0
				if on {
					c.override = alternate
				}
			}
		}
	}
	for j := range f.Overrides {
		if c := f.Overrides[j].Conn; c.shard == s {
			c.override = 0
			if on {
				c.override = int32(j + 1)
			}
		}
	}
}

// owe makes a reply due for c.
func (s *Shard) owe(c *Conn, b []byte) {
	if len(b) > 0 && !c.gone {
		s.replies.Add(1)
		s.link(c, node{bytes: b})
	}
}

func (s *Shard) link(c *Conn, n node) {
	s.nodes = append(s.nodes, n)
	at := int32(len(s.nodes))
	if c.tail == 0 {
		c.head = at
		s.due = append(s.due, c)
	} else {
		s.nodes[c.tail-1].next = at
	}
	c.tail = at
}

// pass writes what is due, one write a connection, and reports to the scheduler how long it took since now, when the
// loop began to prepare it.
func (s *Shard) pass(now time.Time) {
	if len(s.due) > 0 {
		// In the order in which the connections came, in a circle: what the kernel keeps of them lies in memory so, and
		// frames of many channels would have the loop jump about.
		slices.SortFunc(s.due, func(a, b *Conn) int { return cmp.Compare(a.order, b.order) })
		s.first = s.turn(len(s.due))
		for s.at = 0; s.at < len(s.due); {
			s.writeDue()
		}
		connections, topics := s.look(now)
		clear(s.due)
		clear(s.nodes)
		s.due, s.nodes = s.due[:0], s.nodes[:0]
		s.report(now, connections, topics)
	}
	clear(s.written)
	s.written = s.written[:0]
	for s.at = 0; s.at < len(s.callbacks); {
		s.finish()
	}
	s.callbacks = s.callbacks[:0]
}

// turn returns which of n connections a pass writes to first, another one each time, so that nobody is always last. The
// steps are those of the golden ratio: however many connections there are, soon each has been among the first.
func (s *Shard) turn(n int) int {
	s.passes += 0x9E3779B9
	return int(uint64(s.passes) * uint64(n) >> 32)
}

// dueAt is the connection that is i-th in a pass.
func (s *Shard) dueAt(i int) *Conn {
	if i += s.first; i >= len(s.due) {
		i -= len(s.due)
	}
	return s.due[i]
}

// sampled is which share of the connections of a pass is looked at for topics, and lately what counts as such there: about as long as two windows.
const (
	sampled = 16
	lately  = 100 * time.Millisecond
)

// look counts the topics that had something lately of some connections that are due; at least one each.
func (s *Shard) look(now time.Time) (connections, topics int) {
	since := now.Add(-lately).UnixNano()
	for i := s.first % sampled; i < len(s.due); i += sampled {
		busy := 0
		for _, m := range s.due[i].memberships {
			if m.slot.busy > since {
				busy++
			}
		}
		connections++
		topics += max(busy, 1)
	}
	return connections, topics
}

// report reports to the scheduler and to Config.Observe what was written since now.
func (s *Shard) report(now time.Time, connections, topics int) {
	defer s.pool.contain(nil)
	end := time.Now()
	s.scheduler.Spent(end.Sub(now), end, connections, topics)
	for _, f := range s.written {
		if s.pool.cfg.Observe != nil {
			s.pool.cfg.Observe(f, end)
		}
		if f.Written != nil {
			f.Written(now, end)
		}
	}
}

// write sends what is due for c and forgets it.
func (s *Shard) write(c *Conn) {
	if c.head == 0 {
		return // it has been written ahead of its turn
	}
	parts := s.collect(c)
	slow := c.give(parts)
	clear(parts)
	clear(s.lost)
	s.parts, s.lost = parts[:0], s.lost[:0]
	if cap(s.scratch) > maxScratch {
		s.scratch = nil
	}
	if slow {
		c.owner.Slow()
	}
}

// collect takes the list of what is due for c. On tailed connections the owner adds what is its own, and
// the parts lie one behind the other in the scratch space.
func (s *Shard) collect(c *Conn) []item {
	parts := s.parts[:0]
	s.scratch = s.scratch[:0]
	for at := c.head; at != 0; at = s.nodes[at-1].next {
		n := &s.nodes[at-1]
		it := item{b: n.bytes, slot: n.slot, soft: n.slot != nil && n.slot.topic.slow == Resync && !c.tailed}
		if c.tailed {
			begin := len(s.scratch)
			s.scratch = append(s.scratch, n.bytes...)
			if n.slot != nil {
				s.scratch = c.owner.Tail(s.scratch, n.slot.topic, n.frame)
			}
			it.b = s.scratch[begin:] // only its length is good for as long as the scratch space grows
		}
		parts = append(parts, it)
	}
	c.head, c.tail = 0, 0
	if c.tailed {
		begin := 0
		for i := range parts {
			end := begin + len(parts[i].b)
			parts[i].b = s.scratch[begin:end]
			begin = end
		}
	}
	return parts
}

// concat is the bytes of parts, size of them, as one.
func (s *Shard) concat(c *Conn, parts []item, size int) []byte {
	if len(parts) == 1 {
		return parts[0].b
	}
	if c.tailed { // they lie one behind the other
		return parts[0].b[:size]
	}
	s.scratch = s.scratch[:0]
	for i := range parts {
		s.scratch = append(s.scratch, parts[i].b...)
	}
	return s.scratch
}
