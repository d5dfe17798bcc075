package pool

// Awaitable says whether Await and TryRead work for the connection. Others are read by a goroutine of
// their owner, from their net.Conn.
func (c *Conn) Awaitable() bool { return c.fd >= 0 && haveReadiness && c.shard.pool.poller != nil }

// Await has Owner.Readable called once: when there is something to read, or the connection has ended,
// whether by the peer or by Abort. Reading has one owner at a time: it is called again only by who was
// told.
func (c *Conn) Await() {
	c.mu.Lock()
	if c.state != dead {
		c.awaiting = true
		if err := c.shard.pool.poller.watch(c); err == nil {
			c.mu.Unlock()
			return
		}
		c.awaiting = false
		c.kill()
	}
	c.mu.Unlock()
	c.owner.Readable()
}

// ready tells the owner, if it awaits.
func (c *Conn) ready() {
	c.mu.Lock()
	awaiting := c.awaiting
	c.awaiting = false
	c.mu.Unlock()
	if awaiting {
		c.owner.Readable()
	}
}
