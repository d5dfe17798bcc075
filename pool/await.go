package pool

import "weir/internal/epoll"

// Awaitable reports whether Await and TryRead work for the connection. Others are read by a goroutine of
// their owner, from their net.Conn.
func (c *Conn) Awaitable() bool { return c.fd >= 0 }

// Await has Owner.Readable called once: when there is something to read, or the connection has ended, by the peer or by
// Abort. Reading has one owner at a time, which alone calls it again after Readable. Only for connections that are
// awaitable.
func (c *Conn) Await() {
	c.mu.Lock()
	c.awaiting = true
	if c.state != dead && c.arm() != nil {
		c.broken()
	}
	tell := c.closed // else close, or the poller, will
	if tell {
		c.awaiting = false
	}
	c.mu.Unlock()
	if tell {
		c.readable()
	}
}

// ready takes what the poller reports: it calls Readable, if that is awaited, and lets the flusher go on.
func (c *Conn) ready(events uint32) {
	c.mu.Lock()
	if c.state == dead { // what is awaited, kill tells
		c.mu.Unlock()
		return
	}
	ended := events&epoll.Ended != 0
	awaiting := c.awaiting && (ended || events&epoll.Read != 0)
	c.awaiting = c.awaiting && !awaiting
	if q := c.queue; q != nil && q.full && (ended || events&epoll.Write != 0) {
		q.full = false
		q.goOn()
	}
	if (c.awaiting || c.queue != nil && c.queue.full) && c.arm() != nil {
		c.broken()
	}
	c.mu.Unlock()
	if awaiting {
		c.readable()
	}
}

func (c *Conn) readable() { c.shard.pool.do(c, c.owner.Readable) }
