package pool

import (
	"context"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// kind says what a mail asks of the loop.
type kind uint8

const (
	openMail    kind = iota
	joinMail         // conn, slot, seq, frame, then
	rejoinMail       // conn, slot, seq, frame
	waitMail         // conn, slot, seq, frame, then, leave
	frameMail        // slot, frame
	resetMail        // slot, frame
	replyMail        // conn, frame, then
	shutMail         // conn, frame, drop
	drainedMail      // conn
	removeMail       // conn, then
	flushMail        // then
)

// mail is one message to a shard's loop.
type mail struct {
	kind  kind
	leave bool
	drop  bool
	conn  *Conn
	slot  *slot
	frame *Frame
	seq   uint64
	then  func() // called by the loop, after what the mail had it write was written
}

// beats is how many parts a shard's connections are divided into, visited in turn.
const beats = 25

// Shard is one loop and the connections it owns.
type Shard struct {
	// Set once by New.
	pool   *Pool
	index  int
	agenda Agenda
	wake   chan struct{} // capacity 1; a token means that the sleeping loop has work

	// Atomic.
	backlog atomic.Int64
	writes  atomic.Uint64
	bytes   atomic.Uint64
	replies atomic.Uint64

	// Guarded by mu.
	mu     sync.Mutex
	box    []mail
	poked  bool // Wake was called since the loop last looked
	asleep bool // the loop waits on wake
	closed bool

	// Owned by the loop.
	spare   []mail // the mailbox's other half
	due     []*Conn
	nodes   []node
	written []*Frame
	thens   []func()
	scratch []byte
	conns   [beats][]*Conn
	beat    int
	beatAt  time.Time
}

// Index is the shard's number, from 0.
func (s *Shard) Index() int { return s.index }

// Wake makes the loop run its agenda soon. It never blocks.
func (s *Shard) Wake() {
	s.mu.Lock()
	s.poked = true
	s.rouse()
}

// post puts a mail into the mailbox. It never blocks; what bounds the mailbox is Pool.Full for frames
// and the number of connections for the rest.
func (s *Shard) post(m mail) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		if m.then != nil {
			m.then()
		}
		return
	}
	s.box = append(s.box, m)
	if m.kind == frameMail {
		s.backlog.Add(m.frame.size())
	}
	s.rouse()
}

// rouse unlocks s.mu and wakes the loop if it sleeps.
func (s *Shard) rouse() {
	asleep := s.asleep
	s.asleep = false
	s.mu.Unlock()
	if asleep {
		select {
		case s.wake <- struct{}{}:
		default: // a token is there already; the sleeper will find it
		}
	}
}

// run is the loop. It ends after ctx does, when everything has been flushed.
func (s *Shard) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	s.beatAt = time.Now().Add(s.pool.cfg.Beat / beats)
	for {
		now := time.Now()
		s.readMail(now)
		next := s.agenda.Run(now)
		s.readMail(now)
		if !now.Before(s.beatAt) {
			s.sweep(now)
		}
		s.pass(now)
		if ctx.Err() != nil {
			s.end()
			return
		}
		if next.IsZero() || s.beatAt.Before(next) {
			next = s.beatAt
		}
		s.sleep(ctx, timer, next)
	}
}

// sleep returns when there is mail, Wake was called, next has come or ctx is done.
func (s *Shard) sleep(ctx context.Context, timer *time.Timer, next time.Time) {
	s.mu.Lock()
	if len(s.box) > 0 || s.poked {
		s.poked = false
		s.mu.Unlock()
		runtime.Gosched() // let publishers add to what the next pass writes
		return
	}
	s.asleep = true
	s.mu.Unlock()
	timer.Reset(time.Until(next))
	select {
	case <-s.wake:
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	s.asleep, s.poked = false, false
	s.mu.Unlock()
}

// end flushes what is left, closes the connections and refuses further mail.
func (s *Shard) end() {
	s.agenda.FlushAll(time.Now())
	s.readMail(time.Now())
	s.pass(time.Now())
	for _, part := range s.conns {
		for _, c := range part {
			c.abort()
		}
	}
	s.mu.Lock()
	s.closed = true
	left := s.box
	s.mu.Unlock()
	for _, m := range left {
		if m.then != nil {
			m.then()
		}
	}
}

// readMail handles everything in the mailbox.
func (s *Shard) readMail(now time.Time) {
	s.mu.Lock()
	in := s.box
	s.box, s.spare = s.spare[:0], nil
	s.mu.Unlock()
	for i := range in {
		s.handle(&in[i], now)
	}
	clear(in)
	if cap(in) > 1<<14 {
		in = nil
	}
	s.spare = in[:0]
}

func (s *Shard) handle(m *mail, now time.Time) {
	switch m.kind {
	case frameMail:
		s.backlog.Add(-m.frame.size())
		s.gather(m.slot, m.frame)
	case joinMail:
		if m.conn.gone {
			m.slot.joined.Add(-1)
			m.slot.topic.takers[m.conn.enc].Add(-1)
			break
		}
		m.slot.add(m.conn, m.seq)
		s.owe(m.conn, m.frame)
	case rejoinMail:
		m.slot.restart(m.conn, m.seq)
		s.owe(m.conn, m.frame)
	case waitMail:
		s.await(m)
		return
	case resetMail:
		s.reset(m.slot, m.frame)
	case replyMail:
		s.owe(m.conn, m.frame)
	case openMail:
		m.conn.part = uint8(m.conn.order % beats)
		part := &s.conns[m.conn.part]
		m.conn.place = int32(len(*part))
		*part = append(*part, m.conn)
	case shutMail:
		s.shut(m.conn, m.frame, m.drop)
	case drainedMail:
		for _, sl := range slices.Clone(m.conn.lags) {
			m.conn.owner.Resync(sl.topic)
		}
	case removeMail:
		s.remove(m.conn)
	case flushMail:
		s.agenda.FlushAll(now)
	}
	if m.then != nil {
		s.thens = append(s.thens, m.then)
	}
}

// await answers m once everything up to its position has been gathered for its connection: now, if it
// has. One that leaves gets nothing later than that.
func (s *Shard) await(m *mail) {
	w := wait{m.conn, m.seq, m.frame, m.leave, m.then}
	if i := m.conn.find(m.slot, false); m.leave && i >= 0 {
		m.slot.subs[m.conn.memberships[i].at].until = min(m.seq, math.MaxUint64-1)
	}
	if m.slot.position(m.conn, m.leave) >= m.seq {
		s.fulfil(m.slot, w)
		return
	}
	m.slot.waits = append(m.slot.waits, w)
}

// fulfil answers a wait and ends the membership if it asks for that.
func (s *Shard) fulfil(sl *slot, w wait) {
	s.owe(w.conn, w.frame)
	if i := w.conn.find(sl, true); w.leave && i >= 0 {
		sl.remove(w.conn, int32(i))
	}
	if w.then != nil {
		s.thens = append(s.thens, w.then)
	}
}

// settle answers the waits that are due at the slot's position.
func (s *Shard) settle(sl *slot) {
	if len(sl.waits) == 0 {
		return
	}
	kept := sl.waits[:0]
	for _, w := range sl.waits {
		if sl.position(w.conn, w.leave) >= w.until {
			s.fulfil(sl, w)
		} else {
			kept = append(kept, w)
		}
	}
	clear(sl.waits[len(kept):])
	sl.waits = kept
}

// remove forgets a connection.
func (s *Shard) remove(c *Conn) {
	if c.gone {
		return
	}
	c.gone = true
	for len(c.memberships) > 0 {
		last := len(c.memberships) - 1
		sl := c.memberships[last].slot
		sl.remove(c, int32(last))
		s.settle(sl)
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
	step := s.pool.cfg.Beat / beats
	s.beatAt = now.Add(step)
	s.beat = (s.beat + 1) % beats
	for _, c := range s.conns[s.beat] {
		c.owner.Beat(now)
	}
	behind := min(int((s.pool.cfg.Check+step-1)/step), beats-1)
	for _, c := range s.conns[(s.beat-behind+beats)%beats] {
		c.owner.Check(now)
	}
}
