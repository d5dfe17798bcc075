package pool

import "time"

// A panic over one connection, in the pool or in what its owner does on the loop, costs that connection and nobody
// else: Config.Panic is told, and the loop goes on. The pool's own state is believed: what may panic touches that of
// one connection only.

// contain ends a panic, if there is one, and closes the connection that it came over; nil: it is not known. It is to
// be deferred. Without Config.Panic the panic goes on.
func (p *Pool) contain(c *Conn) {
	if p.cfg.Panic == nil {
		return
	}
	if v := recover(); v != nil {
		p.cfg.Panic(v)
		if c != nil {
			c.Abort()
		}
	}
}

// writeDue writes for the connections that are due, from s.at on, up to the end or a panic.
func (s *Shard) writeDue() {
	defer s.containWrite()
	for s.at < len(s.due) {
		c := s.due[s.at]
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
		c := s.due[s.at-1]
		c.head, c.tail = 0, 0
		s.parts, s.lost, s.scratch = nil, nil, nil
		s.pool.cfg.Panic(v)
		c.Abort()
	}
}

// finish does what waits for the pass to be over, from s.at on, up to the end or a panic.
func (s *Shard) finish() {
	defer s.pool.contain(nil)
	for s.at < len(s.thens) {
		f := s.thens[s.at]
		s.thens[s.at] = nil
		s.at++
		f()
	}
}

// give puts parts to c, or marks it as too slow, and then answers true.
func (c *Conn) give(parts []item) (slow bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slow = c.state == live && !c.put(parts)
	if slow {
		c.state = choked
	}
	return slow
}

func (s *Shard) beaten(c *Conn, now time.Time) {
	defer s.pool.contain(c)
	c.beaten = true
	c.owner.Beat(now)
}

func (s *Shard) check(c *Conn, now time.Time) {
	defer s.pool.contain(c)
	if c.beaten {
		c.owner.Check(now)
	}
}

func (s *Shard) resync(c *Conn, t *Topic) {
	defer s.pool.contain(c)
	c.owner.Resync(t)
}
