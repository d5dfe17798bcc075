package pool

import (
	"errors"
	"os"
	"syscall"
	"time"

	"weir/internal/rawsock"
)

// chunk is how much of a queue goes into one write. Stall is the time for one of them, so that a slow
// link makes progress; it is also what fits into a record of TLS.
type chunk [16 << 10]byte

// startFlusher starts the goroutine that empties the queue, unless it runs or is not to run yet. It ends when the queue is
// empty or the connection is closed; Pool.Close waits for it. The caller holds c.mu.
func (c *Conn) startFlusher() {
	if c.queue == nil || c.queue.running || c.queue.corked {
		return
	}
	flush := c.flushStream
	if c.fd >= 0 {
		flush = c.flushRaw
	}
	// A pool that has ended has closed its connections: what is queued here is of no use.
	c.queue.running = c.shard.pool.spawn(flush, c.Abort)
}

// flushRaw writes the queue to a socket, waiting for the poller while it is full.
func (c *Conn) flushRaw() {
	buf := c.shard.pool.chunks.Get().(*chunk)
	defer c.shard.pool.chunks.Put(buf)
	for {
		ended, _, then := c.drain(buf[:])
		if ended {
			if then != nil {
				then()
			}
			return
		}
		if !c.awaitRoom() {
			return
		}
	}
}

// awaitRoom waits until the socket may have room, or there is something else to see to: without a limit if frames were dropped, because
// what comes next is a snapshot, however late. It returns false if the connection was given up since there was no room for too long.
func (c *Conn) awaitRoom() bool {
	c.mu.Lock()
	q := c.queue
	if c.state == dead || q == nil {
		c.mu.Unlock()
		return true
	}
	if q.room == nil {
		q.room = make(chan struct{}, 1)
	}
	q.full = true
	if c.arm() != nil {
		c.broken()
	}
	var late <-chan time.Time
	if !q.lagging {
		timer := time.NewTimer(c.shard.pool.cfg.Stall)
		defer timer.Stop()
		late = timer.C
	}
	c.mu.Unlock()
	select {
	case <-q.room:
		return true
	case <-late:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == dead || q.lagging || !q.full { // frames were dropped, or there was room, just when the time was up
		return true
	}
	c.shard.pool.timeouts.Add(1)
	c.kill()
	return false
}

// drain sends what the socket takes. It returns ended when nothing is left or the connection is closed, and then, if it
// is not nil, what to do next.
func (c *Conn) drain(buf []byte) (ended, progress bool, then func()) {
	for {
		n, then, err := c.drainOnce(buf)
		switch {
		case n > 0:
			progress = true
		case errors.Is(err, syscall.EAGAIN):
			return false, progress, nil
		default:
			return true, progress, then
		}
	}
}

// drainOnce makes one call, so that the loop never waits longer than that for c.mu. No bytes and no error
// mean that the queue has ended.
func (c *Conn) drainOnce(buf []byte) (n int, then func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == dead {
		return 0, nil, nil
	}
	if len(c.queue.items) == 0 {
		return 0, c.emptied(), nil
	}
	n, err = rawsock.Send(int(c.fd), c.queue.front(buf))
	if n > 0 {
		c.shard.wrote(n)
		c.took(n)
	} else if !errors.Is(err, syscall.EAGAIN) {
		c.broken()
	}
	return n, nil, err
}

// flushStream writes the queue to a net.Conn that has no raw path.
func (c *Conn) flushStream() {
	buf := c.shard.pool.chunks.Get().(*chunk)
	defer c.shard.pool.chunks.Put(buf)
	for {
		b, then := c.next(buf[:])
		if len(b) == 0 {
			if then != nil {
				then()
			}
			return
		}
		err := c.patience()
		n := 0
		if err == nil {
			n, err = c.Stream().Write(b)
		}
		c.sent(n)
		if err != nil {
			c.stuck(err)
			return
		}
	}
}

// sent notes that n bytes of the queue have been written.
func (c *Conn) sent(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != dead {
		c.shard.wrote(n)
		c.took(n)
	}
}

// next returns what to write next, or nothing and what to do then.
func (c *Conn) next(buf []byte) (b []byte, then func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == dead {
		return nil, nil
	}
	if len(c.queue.items) == 0 {
		return nil, c.emptied()
	}
	b = c.queue.front(buf)
	c.queue.hold(len(b))
	return b, nil
}

// emptied ends the queue and returns what to do, without c.mu, now that the socket has taken everything; it may be nil.
// The caller holds c.mu.
func (c *Conn) emptied() func() {
	lagging := c.queue.lagging
	c.queue.again()
	c.queue = nil
	c.shard.pool.stalled.Add(-1)
	switch {
	case c.state == shutting && c.fd >= 0:
		c.halfClose()
	case c.state == shutting:
		return c.halfClose
	case lagging:
		return func() { c.shard.post(mail{kind: drainedMail, conn: c}) }
	}
	return nil
}

// patience sets how long the next write may wait: without a limit if frames were dropped, because what
// comes next is a snapshot, however late.
func (c *Conn) patience() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == dead {
		return ErrClosed
	}
	var until time.Time
	if !c.queue.lagging {
		until = time.Now().Add(c.shard.pool.cfg.Stall)
	}
	return c.Stream().SetWriteDeadline(until)
}

// stuck ends a connection whose queue cannot be written.
func (c *Conn) stuck(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != dead && errors.Is(err, os.ErrDeadlineExceeded) {
		c.shard.pool.timeouts.Add(1)
		c.kill()
		return
	}
	c.broken()
}
