package pool

import "time"

// A panic over one connection, in the pool or in what its owner does on the loop, costs that connection and no other:
// Config.Panic is called, and the loop goes on. The pool's own state is trusted: what may panic touches that of one
// connection only. A panic over a frame costs the connections that it is for, since some may have it and some not. One
// in the scheduler costs nothing here: it is called again.

// contain ends a panic, if there is one, and closes the connection that it came over; nil: it is not known. Deferred.
// Without Config.Panic the panic goes on.
func (p *Pool) contain(c *Conn) {
	if p.cfg.Panic == nil {
		return
	}
	if v := recover(); v != nil {
		p.cfg.Panic.Tell("pool", v)
		if c != nil {
			c.Abort()
		}
	}
}

// do calls f and contains its panics, as of c.
func (p *Pool) do(c *Conn, f func()) {
	defer p.contain(c)
	f()
}

// begin is before the first turn of a loop, and before the one after a panic that nothing below has ended: those for whom
// something was due may have got some of it, and are closed.
func (s *Shard) begin() {
	for _, c := range s.due {
		if c != nil {
			s.abort(c)
		}
	}
	clear(s.due)
	clear(s.nodes)
	clear(s.written)
	s.due, s.nodes, s.written = s.due[:0], s.nodes[:0], s.written[:0]
}

// let forgets a connection of the i-th part, at the end of the loop.
func (s *Shard) let(i int, c *Conn) {
	defer s.pool.contain(nil)
	defer func() {
		if part := s.conns[i]; len(part) > 0 && part[0] == c { // there was a panic: the others are still to be closed
			s.conns[i] = part[1:]
		}
	}()
	c.Abort()
	s.remove(c)
}

// abandon ends a loop that does nothing but panic: those who wait for it go on, and its connections are closed.
func (s *Shard) abandon() {
	s.mu.Lock()
	s.closed = true
	left := s.box
	s.box = nil
	s.mu.Unlock()
	for i := range left {
		if left[i].conn != nil {
			left[i].conn.Abort()
		}
		if left[i].then != nil {
			left[i].then()
		}
	}
	for _, part := range s.conns {
		for _, c := range part {
			c.Abort()
		}
	}
}

// writeDue writes for the connections that are due, from s.at on, up to the end or a panic.
func (s *Shard) writeDue() {
	defer s.containWrite()
	for s.at < len(s.due) {
		c := s.dueAt(s.at)
		s.at++
		s.write(c)
	}
}

// containWrite is contain for the connection that writeDue was at.
func (s *Shard) containWrite() {
	if s.pool.cfg.Panic == nil {
		return
	}
	if v := recover(); v != nil {
		s.pool.cfg.Panic.Tell("pool", v)
		s.abort(s.dueAt(s.at - 1))
	}
}

// abort closes a connection in whose writing there was a panic.
func (s *Shard) abort(c *Conn) {
	c.head, c.tail = 0, 0
	s.parts, s.lost, s.scratch = nil, nil, nil
	c.Abort()
}

// handleMail handles mail from s.at on, up to the end or a panic.
func (s *Shard) handleMail(in []mail, now time.Time) {
	defer s.containMail(in)
	for s.at < len(in) {
		m := &in[s.at]
		s.at++
		s.handle(m, now)
	}
}

// containMail is contain for the mail that handleMail was at. Its callback is called all the same.
func (s *Shard) containMail(in []mail) {
	if s.pool.cfg.Panic == nil {
		return
	}
	if v := recover(); v != nil {
		m := &in[s.at-1]
		s.pool.cfg.Panic.Tell("pool", v)
		switch {
		case m.kind == frameMail:
			s.unmark(m.frame)
			for i := range m.slot.subs {
				m.slot.subs[i].conn.Abort()
			}
		case m.conn != nil:
			s.abort(m.conn)
		}
		if m.then != nil && m.kind != waitMail { // that one may have been kept, and comes when the connection is removed
			s.callbacks = append(s.callbacks, m.then)
		}
	}
}

// unmark takes away what mark has noted of a frame that there was a panic over.
func (s *Shard) unmark(f *Frame) {
	for i := range f.Overrides {
		if c := f.Overrides[i].Conn; c != nil && c.shard == s {
			c.override = 0
		}
	}
}

// schedulerPause is when a scheduler that has panicked is called again, if nothing wakes the loop before.
const schedulerPause = 50 * time.Millisecond

// runScheduler is Scheduler.Run.
func (s *Shard) runScheduler(now time.Time) (next time.Time) {
	defer s.pool.contain(nil)
	next = now.Add(schedulerPause)
	return s.scheduler.Run(now)
}

// finish does what waits for the pass to be over, from s.at on, up to the end or a panic.
func (s *Shard) finish() {
	defer s.pool.contain(nil)
	for s.at < len(s.callbacks) {
		f := s.callbacks[s.at]
		s.callbacks[s.at] = nil
		s.at++
		f()
	}
}

// give puts parts to c, or marks it as too slow, and then returns true.
func (c *Conn) give(parts []item) (slow bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slow = c.state == live && !c.put(parts)
	if slow {
		c.state = choked
	}
	return slow
}

// missed gives up a connection that a frame is missing for. What is due for it is dropped, too: it goes on from what it
// has got.
func (s *Shard) missed(c *Conn) {
	defer s.pool.contain(c)
	if c.choke() {
		c.owner.Missed()
	}
}

// choke lets nothing out any more but last bytes. It returns false if that was so already.
func (c *Conn) choke() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != live {
		return false
	}
	c.state = choked
	return true
}
