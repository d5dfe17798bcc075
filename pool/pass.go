package pool

import (
	"slices"
	"time"
)

// node is one frame due for one connection in the pass that is being prepared. Nodes of a connection
// form a list through the shard's slice, by index plus one, so that a pass allocates nothing.
type node struct {
	frame *Frame
	bytes []byte
	slot  *slot // nil for replies
	next  int32
}

// size is what a frame counts in the backlog of a mailbox.
func (f *Frame) size() int64 {
	n := 64
	for _, b := range f.Bytes {
		n += len(b)
	}
	return int64(n)
}

// gather makes f due for every subscriber of a slot that lacks it.
func (s *Shard) gather(sl *slot, f *Frame) {
	sl.tidy()
	sl.last = f.Last
	var frames, messages uint64
	for i := range sl.subs {
		sub := &sl.subs[i]
		if f.Last <= sub.from || f.Last > sub.until {
			continue
		}
		b, n := f.Bytes[sub.conn.enc], f.Count
		for j := range f.Instead {
			if f.Instead[j].Conn == sub.conn {
				b, n = f.Instead[j].Bytes, f.Instead[j].Count
			}
		}
		if len(b) == 0 {
			continue
		}
		s.link(sub.conn, node{frame: f, bytes: b, slot: sl})
		frames++
		messages += uint64(n)
	}
	if m := sl.topic.meter; m != nil {
		m.Frames.Add(frames)
		m.Messages.Add(messages)
	}
	if !f.Since.IsZero() && frames > 0 {
		s.written = append(s.written, f)
	}
	s.settle(sl)
}

// reset makes f due for every subscriber, and its position theirs.
func (s *Shard) reset(sl *slot, f *Frame) {
	sl.last = f.Last
	for i := range sl.subs {
		sub := &sl.subs[i]
		if sub.from != lagging { // those get a snapshot of their own
			sub.from = f.Last
			s.link(sub.conn, node{frame: f, bytes: f.Bytes[sub.conn.enc], slot: sl})
		}
	}
	for _, w := range sl.waits {
		s.fulfil(sl, w)
	}
	sl.waits = nil
}

// owe makes a reply due for c.
func (s *Shard) owe(c *Conn, f *Frame) {
	if f != nil && len(f.Bytes[c.enc]) > 0 && !c.gone {
		s.replies.Add(1)
		s.link(c, node{frame: f, bytes: f.Bytes[c.enc]})
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

// pass writes what is due, one write a connection, and tells the agenda how long it took.
func (s *Shard) pass(now time.Time) {
	if len(s.due) > 0 {
		for i := 0; i < len(s.due); i++ {
			s.write(s.due[i])
		}
		clear(s.due)
		clear(s.nodes)
		s.due, s.nodes = s.due[:0], s.nodes[:0]
		end := time.Now()
		s.agenda.Spent(end.Sub(now), end)
		if s.pool.cfg.Observe != nil {
			for _, f := range s.written {
				s.pool.cfg.Observe(f, end)
			}
		}
	}
	clear(s.written)
	s.written = s.written[:0]
	if len(s.thens) > 0 {
		thens := s.thens
		s.thens = nil
		for _, f := range thens {
			f()
		}
	}
}

// write sends what is due for c and forgets it.
func (s *Shard) write(c *Conn) {
	at := c.head
	if at == 0 {
		return // it has been written ahead of its turn
	}
	c.head, c.tail = 0, 0
	first := &s.nodes[at-1]
	slow := false
	c.mu.Lock()
	switch {
	case c.state != live:
	case c.fd >= 0 && c.queue == nil && first.next == 0 && !c.tailed:
		n, err := send(c.fd, first.bytes)
		s.count(n)
		if n < len(first.bytes) {
			c.keep(first.bytes[n:], err)
		}
	case c.fd >= 0 && c.queue == nil:
		b := s.scratch[:0]
		for ; at != 0; at = s.nodes[at-1].next {
			b = s.nodes[at-1].appendTo(b, c)
		}
		n, err := send(c.fd, b)
		s.count(n)
		if n < len(b) {
			c.keep(slices.Clone(b[n:]), err)
		}
		s.scratch = b
		if cap(b) > 1<<20 {
			s.scratch = nil
		}
	default:
		for ; at != 0; at = s.nodes[at-1].next {
			n := &s.nodes[at-1]
			b := n.bytes
			if c.tailed {
				b = n.appendTo(nil, c)
			}
			slow = !c.enqueue(item{b, n.slot}) || slow
		}
		if c.fd < 0 && c.state == live {
			c.startFlusher()
		}
	}
	c.mu.Unlock()
	if slow {
		c.owner.Slow()
	}
}

// appendTo appends the node's bytes and, on a tailed connection, what is its own.
func (n *node) appendTo(b []byte, c *Conn) []byte {
	b = append(b, n.bytes...)
	if c.tailed && n.slot != nil {
		b = c.owner.Tail(b, n.slot.topic, n.frame)
	}
	return b
}

func (s *Shard) count(n int) {
	s.writes.Add(1)
	s.bytes.Add(uint64(n))
}

// shut writes what is due for c, then f, and closes c's sending side after it. With drop, what waits in
// its queue is given up first.
func (s *Shard) shut(c *Conn, f *Frame, drop bool) {
	if c.gone {
		return
	}
	if drop {
		c.head, c.tail = 0, 0
	} else {
		s.write(c)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != live {
		return
	}
	if c.queue != nil && drop {
		c.queue.giveUp()
	}
	if b := f.Bytes[c.enc]; c.queue != nil || c.fd < 0 {
		c.push(item{b: b})
	} else if n, err := send(c.fd, b); n < len(b) {
		c.keep(b[n:], err)
	}
	if c.state != live {
		return
	}
	c.state = shutting
	if c.queue == nil {
		c.halfClose()
	} else {
		c.startFlusher()
	}
}
