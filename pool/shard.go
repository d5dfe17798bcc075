package pool

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// heartbeatParts is how many parts a shard's connections are divided into, visited in turn.
const heartbeatParts = 25

// Shard is one loop and the connections it owns.
type Shard struct {
	// Set once by New.
	pool      *Pool
	index     int
	scheduler Scheduler
	wake      chan struct{} // capacity 1; a token means that the sleeping loop has work

	// Atomic.
	backlog atomic.Int64
	writes  atomic.Uint64
	bytes   atomic.Uint64
	replies atomic.Uint64

	// Guarded by mu.
	mu     sync.Mutex
	box    []mail
	woken  bool // Wake was called since the loop last looked
	asleep bool // the loop waits on wake
	closed bool

	// Owned by the loop.
	spare         []mail // the mailbox's other half
	due           []*Conn
	nodes         []node
	parts         []item
	lost          []*slot // of which this write has dropped frames
	scratch       []byte
	written       []*Frame
	callbacks     []func()
	at            int // how far mail, due or callbacks have been gone through
	first         int // of due, which the pass begins with
	passes        uint32
	conns         [heartbeatParts][]*Conn
	heartbeatPart int
	heartbeatAt   time.Time
}

// Index is the shard's number, from 0.
func (s *Shard) Index() int { return s.index }

// run is the loop. It ends after ctx does, when everything has been flushed.
func (s *Shard) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	s.begin()
	s.heartbeatAt = time.Now().Add(s.pool.step())
	for {
		now := time.Now()
		s.readMail(now)
		next := s.runScheduler(now)
		s.readMail(now) // what Run has posted
		if !now.Before(s.heartbeatAt) {
			s.sweep(now)
		}
		s.pass(now)
		if ctx.Err() != nil {
			s.end()
			return
		}
		if next.IsZero() || s.heartbeatAt.Before(next) {
			next = s.heartbeatAt
		}
		s.sleep(ctx, timer, next)
	}
}

// end flushes what is left, refuses further mail and closes the connections.
func (s *Shard) end() {
	now := time.Now()
	s.pool.do(nil, func() { s.scheduler.FlushAll(now) })
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.readMail(now)
	s.pass(now)
	for i := range s.conns {
		for len(s.conns[i]) > 0 {
			s.let(i, s.conns[i][0])
		}
	}
	s.pass(now) // for the replies that removing has made due
}

func (s *Shard) enter(c *Conn) {
	c.part = uint8(c.order % heartbeatParts)
	c.place = int32(len(s.conns[c.part]))
	s.conns[c.part] = append(s.conns[c.part], c)
}

// await sends the reply of m once everything up to its position has been gathered for its connection: now, if it has. A
// connection that leaves gets nothing later than that.
func (s *Shard) await(m *mail) {
	w := wait{m.conn, min(m.seq, staying-1), m.bytes, m.leave, m.then}
	if i := m.conn.find(m.slot, staying); m.leave && i >= 0 {
		m.slot.subs[m.conn.memberships[i].at].until = w.until
		m.conn.forget(m.slot)
	}
	if m.slot.reached(m.conn, w.until) {
		s.fulfil(m.slot, w)
		return
	}
	m.conn.waits++
	m.slot.waits = append(m.slot.waits, w)
}

// fulfil sends the reply of a wait and ends the membership if it asks for that.
func (s *Shard) fulfil(sl *slot, w wait) {
	s.owe(w.conn, w.bytes)
	if i := w.conn.find(sl, w.until); w.leave && i >= 0 {
		sl.remove(w.conn, int32(i))
	}
	if w.then != nil {
		s.callbacks = append(s.callbacks, w.then)
	}
}

// settle fulfils the waits that are due at the slot's position.
func (s *Shard) settle(sl *slot) {
	if len(sl.waits) > 0 {
		sl.waits = slices.DeleteFunc(sl.waits, func(w wait) bool {
			due := sl.reached(w.conn, w.until)
			if due {
				w.conn.waits--
				s.fulfil(sl, w)
			}
			return due
		})
	}
}

// release fulfils the waits of a connection that has gone.
func (s *Shard) release(sl *slot, c *Conn) {
	sl.waits = slices.DeleteFunc(sl.waits, func(w wait) bool {
		if w.conn == c {
			c.waits--
			s.fulfil(sl, w)
		}
		return w.conn == c
	})
}

// shut writes what is due for c, then b, and closes c's sending side after it. With drop, what is due and
// what waits in its queue is given up first.
func (s *Shard) shut(c *Conn, b []byte, drop bool) {
	if drop {
		c.head, c.tail = 0, 0
	} else {
		s.write(c)
	}
	c.shut(b, drop)
}

// drained calls Resync for each topic that a connection, which has caught up, has missed frames of.
func (s *Shard) drained(c *Conn) {
	for _, sl := range slices.Clone(c.lagging()) {
		s.pool.do(c, func() { c.owner.Resync(sl.topic) })
	}
}

func (s *Shard) remove(c *Conn) {
	if c.gone {
		return
	}
	c.gone = true
	for len(c.memberships) > 0 {
		last := len(c.memberships) - 1
		sl := c.memberships[last].slot
		sl.remove(c, int32(last))
		if c.waits > 0 {
			s.release(sl, c)
		}
	}
	c.memberships, c.lags = nil, nil
	part := s.conns[c.part]
	end := len(part) - 1
	part[c.place] = part[end]
	part[c.place].place = c.place
	part[end] = nil
	s.conns[c.part] = part[:end]
}

// sweep visits the connections whose turn it is.
func (s *Shard) sweep(now time.Time) {
	step := s.pool.step()
	s.heartbeatAt = now.Add(step)
	s.heartbeatPart = (s.heartbeatPart + 1) % heartbeatParts
	for _, c := range s.conns[s.heartbeatPart] {
		s.pool.do(c, func() {
			c.heartbeatSent = true
			c.owner.Heartbeat(now)
		})
	}
	behind := min(int((s.pool.cfg.Check+step-1)/step), heartbeatParts-1)
	for _, c := range s.conns[(s.heartbeatPart-behind+heartbeatParts)%heartbeatParts] {
		if c.heartbeatSent {
			s.pool.do(c, func() { c.owner.Check(now) })
		}
	}
}

// wrote counts a call that wrote n bytes.
func (s *Shard) wrote(n int) {
	s.writes.Add(1)
	s.bytes.Add(uint64(n))
}
