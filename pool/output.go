package pool

import (
	"errors"
	"net"
	"slices"
	"syscall"
	"time"

	"weir/internal/rawsock"
)

// state of a connection's output; it only grows.
type state uint8

const (
	live     state = iota
	choked         // something did not fit or could not be built, and is lost: nothing more is taken but the last bytes
	shutting       // the last bytes are queued or sent: nothing more is taken
	dead           // it is closed, or is being closed
)

// Send writes b now, or queues it. The bytes belong to the connection from then on. It does not block.
// Errors: ErrClosed, ErrSlow.
func (c *Conn) Send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.state == choked:
		return ErrSlow
	case c.state != live:
		return ErrClosed
	case c.queue == nil && c.fd >= 0:
		if !c.sendNow(b) {
			return ErrClosed
		}
	case !c.takes(item{b: b}):
		return ErrSlow
	default:
		c.push(item{b: b})
		c.startFlusher()
	}
	return nil
}

// Cork keeps back what is sent, in order and within the bound of the queue, until Uncork or Shut: for a
// connection that is to join several topics before its peer hears of the first, or that is to seem slow. Called while nothing waits
// for it; otherwise it may do nothing.
func (c *Conn) Cork() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == live {
		c.push(item{}) // makes the queue
		c.queue.corked = true
	}
}

// Uncork sends what Cork has kept back: to a socket in one write, as far as it has room.
func (c *Conn) Uncork() {
	c.mu.Lock()
	q := c.queue
	if q == nil || q.running {
		c.mu.Unlock()
		return
	}
	q.corked = false
	if c.fd < 0 {
		c.startFlusher()
		c.mu.Unlock()
		return
	}
	q.running = true // nobody else starts a flusher meanwhile
	c.mu.Unlock()
	buf := c.shard.pool.chunks.Get().(*chunk)
	defer c.shard.pool.chunks.Put(buf)
	ended, _, then := c.drain(buf[:])
	if ended {
		if then != nil {
			then()
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue != nil {
		c.queue.running = false
		c.startFlusher()
	}
}

// sendNow writes b to a socket and queues what it does not take. It returns false if the connection is
// broken. The caller holds c.mu.
func (c *Conn) sendNow(b []byte) bool {
	n, err := rawsock.Send(int(c.fd), b)
	c.shard.wrote(n)
	if n == len(b) {
		return true
	}
	if !errors.Is(err, syscall.EAGAIN) {
		c.broken()
		return false
	}
	c.pushRest(item{b: b}, n)
	c.startFlusher()
	return true
}

// writeSize is up to how many bytes several parts are put together for one call. A larger part goes out
// by itself, without a copy: putting together all that has piled up during an overload would cost more than
// the calls.
const writeSize = 64 << 10

// put writes parts, or queues them. It returns false if the connection must be given up as too slow. Called
// by the loop; the caller holds c.mu.
func (c *Conn) put(parts []item) bool {
	for len(parts) > 0 && c.queue == nil && c.fd >= 0 {
		count, size := 1, len(parts[0].b)
		for count < len(parts) && size+len(parts[count].b) <= writeSize {
			size += len(parts[count].b)
			count++
		}
		n, err := rawsock.Send(int(c.fd), c.shard.concat(c, parts[:count], size))
		c.shard.wrote(n)
		if n < size {
			return c.putRest(parts, n, err)
		}
		parts = parts[count:]
	}
	return len(parts) == 0 || c.queueAll(parts)
}

// putRest queues what is left of parts after n bytes of them.
func (c *Conn) putRest(parts []item, n int, err error) bool {
	if !errors.Is(err, syscall.EAGAIN) {
		c.broken()
		return true
	}
	for n >= len(parts[0].b) {
		n -= len(parts[0].b)
		parts = parts[1:]
	}
	if n > 0 {
		c.pushRest(c.keepable(parts[0]), n)
		parts = parts[1:]
	}
	return c.queueAll(parts)
}

// queueAll queues parts. It returns false if one of them does not fit. Called by the loop; the caller
// holds c.mu.
func (c *Conn) queueAll(parts []item) bool {
	defer c.startFlusher()
	for _, it := range parts {
		if !c.accept(c.keepable(it)) {
			return false
		}
	}
	return true
}

// keepable is a part that may be queued. The bytes of those of tailed connections are about to be used
// again.
func (c *Conn) keepable(it item) item {
	if c.tailed {
		it.b = slices.Clone(it.b)
	}
	return it
}

// shut gives c's output its last bytes. Called by the loop.
func (c *Conn) shut(b []byte, drop bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state >= shutting {
		return
	}
	c.state = shutting
	if c.queue == nil && c.fd >= 0 {
		if c.sendNow(b) && c.queue == nil {
			c.halfClose()
		}
		return
	}
	if c.queue != nil {
		if drop {
			c.dropAll()
		}
		c.queue.corked = false
		c.queue.lagging = false // it has to drain in time now
		if c.queue.goOn(); c.fd < 0 {
			_ = c.Stream().SetWriteDeadline(time.Now().Add(c.shard.pool.cfg.Stall))
		}
	}
	c.push(item{b: b})
	c.startFlusher()
}

// halfClose ends the sending side and gives the peer Linger to end its own: closing outright would
// reset the connection and could take the last bytes with it. For what is not a socket it may wait; for one the caller holds c.mu.
func (c *Conn) halfClose() {
	if c.fd >= 0 {
		rawsock.Shutdown(int(c.fd))
	} else if w, ok := c.end.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite() // if it fails the connection is gone and the reader finds out
	}
	c.shard.pool.cfg.Panic.After(c.shard.pool.cfg.Linger, "linger", c.Abort, c.Abort) // without effect once the connection is closed
}

// broken closes a connection that cannot be written to. The reader finds out. The caller holds c.mu.
func (c *Conn) broken() {
	if c.state != dead {
		c.shard.pool.failed.Add(1)
		c.kill()
	}
}

// kill ends the output and closes the connection. No call on the descriptor follows it: they check the state under the same
// lock, so that a number that the kernel hands out again is never written to or read from. The caller
// holds c.mu.
func (c *Conn) kill() {
	if c.state == dead {
		return
	}
	c.state = dead
	if c.queue != nil {
		c.shard.pool.queued.Add(int64(-c.queue.bytes))
		c.shard.pool.stalled.Add(-1)
		c.queue.goOn() // the flusher ends
		c.queue = nil
	}
	if c.watched {
		c.shard.pool.poller.forget(c)
	}
	if c.fd < 0 {
		c.later(c.closeStream)
		return
	}
	c.closeSocket()
	if c.awaiting {
		c.awaiting = false
		c.later(c.readable) // not with c.mu held
	}
}

// later does what ends a connection, on a goroutine.
func (c *Conn) later(end func()) {
	// Closing what is no socket waits until reader and flusher have released it, and the flusher may be waiting for c.mu: not
	// here. It ends by itself; Pool.Close waits for it.
	if !c.shard.pool.spawn(end, end) {
		c.shard.pool.cfg.Panic.Go(nil, "close", end, end) // the pool is closed: the caller of Abort or Open does not wait for it
	}
}

// closeSocket closes the descriptor. The caller holds c.mu.
func (c *Conn) closeSocket() {
	defer c.shard.pool.contain(nil)
	c.closed = true
	c.end.(func(fd int))(int(c.fd))
}

// closeStream closes the connection at once and ignores errors. TLS would send an alert first and wait for that.
func (c *Conn) closeStream() {
	defer c.ended() // whatever closing it does
	nc := c.Stream()
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok {
		nc = t.NetConn()
	}
	_ = nc.Close()
}

// ended notes that the connection is closed, and calls Readable if that is awaited.
func (c *Conn) ended() {
	c.mu.Lock()
	c.closed = true
	awaiting := c.awaiting
	c.awaiting = false
	c.mu.Unlock()
	if awaiting {
		c.readable()
	}
}
