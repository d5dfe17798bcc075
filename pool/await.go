package pool

// Awaitable reports whether Await and TryRead work for the connection. Others are read by a goroutine of
// their owner, from their net.Conn.
func (c *Conn) Awaitable() bool { return c.poller != nil }

// Await has Owner.Readable called once: when there is something to read, or the connection has ended, by the peer or by
// Abort. Reading has one owner at a time, which alone calls it again after Readable. Only for connections that are
// awaitable.
func (c *Conn) Await() {
	c.mu.Lock()
	c.awaiting = true
	if c.state != dead && c.poller.watch(c) != nil {
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

// ready calls Readable, if it is awaited.
func (c *Conn) ready() {
	c.mu.Lock()
	awaiting := c.awaiting && c.state != dead // else close will
	c.awaiting = c.awaiting && !awaiting
	c.mu.Unlock()
	if awaiting {
		c.readable()
	}
}

func (c *Conn) readable() { c.shard.pool.do(c, c.owner.Readable) }
