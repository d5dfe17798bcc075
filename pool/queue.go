package pool

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"time"
)

// item is bytes waiting for a connection; slot is set if they may be dropped and resynced.
type item struct {
	b    []byte
	slot *slot
}

// queue is what waits for one connection, oldest first. Guarded by Conn.mu.
type queue struct {
	items   []item
	bytes   int
	partial bool // the first item has been sent in part: it must be finished
	lagging bool // frames were dropped: Owner.Resync is due when the queue is empty
	running bool // a flusher is at work
}

// push adds an item whatever its size; an empty one only makes the queue. The caller holds c.mu.
func (c *Conn) push(it item) {
	if c.queue == nil {
		c.queue = new(queue)
		c.shard.pool.stalled.Add(1)
	}
	if len(it.b) == 0 {
		return
	}
	c.queue.items = append(c.queue.items, it)
	c.queue.bytes += len(it.b)
	c.shard.pool.queued.Add(int64(len(it.b)))
}

// keep queues the rest of a write that was cut short by err. The caller holds c.mu.
func (c *Conn) keep(rest []byte, err error) {
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		c.broken()
		return
	}
	c.push(item{b: rest})
	c.queue.partial = true
	c.startFlusher()
}

// enqueue adds an item if there is room. A single item always finds room in an empty queue, or a
// snapshot larger than the bound could never be sent. Called by the loop, or with an item without a
// slot; the caller holds c.mu. It answers false if the connection must be given up as too slow.
func (c *Conn) enqueue(it item) bool {
	limit := c.shard.pool.cfg.Queue
	if c.queue == nil || c.queue.bytes+len(it.b) <= limit {
		c.push(it)
		return true
	}
	if it.slot == nil || it.slot.topic.slow != Resync {
		return false
	}
	// Give up every frame that a snapshot can stand in for.
	q := c.queue
	before := q.bytes
	keep := q.items[:0]
	for i, old := range q.items {
		if old.slot == nil || old.slot.topic.slow != Resync || i == 0 && q.partial {
			keep = append(keep, old)
			continue
		}
		q.bytes -= len(old.b)
		c.lag(old.slot)
	}
	clear(q.items[len(keep):])
	q.items = keep
	c.shard.pool.queued.Add(int64(q.bytes - before))
	c.lag(it.slot)
	q.lagging = true
	return true
}

// lag leaves c out of a slot until it is joined again. Called by the loop.
func (c *Conn) lag(sl *slot) {
	if m := sl.topic.meter; m != nil {
		m.Dropped.Add(1)
	}
	if slices.Contains(c.lags, sl) {
		return
	}
	if i := c.find(sl, false); i >= 0 {
		sl.subs[c.memberships[i].at].from = lagging
		c.lags = append(c.lags, sl)
	}
}

// giveUp drops all but the rest of a frame that was sent in part.
func (q *queue) giveUp() {
	if keep := 0; len(q.items) > 0 {
		if q.partial {
			keep = 1
		}
		clear(q.items[keep:])
		q.items = q.items[:keep]
	}
	q.lagging = false
}

// startFlusher starts the goroutine that empties the queue, unless it runs. It ends when the queue is
// empty or the connection is closed; Pool.Close waits for it. The caller holds c.mu.
func (c *Conn) startFlusher() {
	if c.queue == nil || c.queue.running {
		return
	}
	c.queue.running = true
	if c.fd >= 0 {
		c.shard.pool.flushers.Go(c.flushRaw)
	} else {
		c.shard.pool.flushers.Go(c.flushStream)
	}
}

// flushRaw writes the queue to a socket, waiting on the runtime's poller while it is full.
func (c *Conn) flushRaw() {
	var err error
	for err == nil {
		if !c.patience() {
			return
		}
		done, attempts := false, 0
		err = c.rc.Write(func(uintptr) bool {
			attempts++
			progress := false
			done, progress = c.drain()
			return done || progress && attempts > 1 // progress: come back with a new deadline
		})
		if done {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && c.mayWait() {
			err = nil
		}
	}
	c.stuck(err)
}

// drain sends what the socket takes. It answers done when nothing is left or the connection is closed.
func (c *Conn) drain() (done, progress bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.state != dead && len(c.queue.items) > 0 {
		n, err := send(c.fd, c.queue.items[0].b)
		if n > 0 {
			progress = true
			c.shard.count(n)
			c.took(n)
		}
		if n == 0 {
			if errors.Is(err, syscall.EAGAIN) {
				return false, progress
			}
			c.broken()
			return true, false
		}
	}
	c.emptied()
	return true, progress
}

// flushStream writes the queue to a net.Conn that has no raw path.
func (c *Conn) flushStream() {
	for {
		c.mu.Lock()
		if c.state == dead || len(c.queue.items) == 0 {
			c.emptied()
			c.mu.Unlock()
			return
		}
		b := c.queue.items[0].b
		c.queue.partial = true
		c.mu.Unlock()
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.shard.pool.cfg.Stall)) // if it fails, so does Write
		n, err := c.nc.Write(b)
		c.mu.Lock()
		if c.state != dead {
			c.shard.count(n)
			c.took(n)
		}
		c.mu.Unlock()
		if err != nil {
			c.stuck(err)
			return
		}
	}
}

// took accounts for n bytes of the first item. The caller holds c.mu.
func (c *Conn) took(n int) {
	q := c.queue
	q.bytes -= n
	c.shard.pool.queued.Add(int64(-n))
	it := &q.items[0]
	it.b = it.b[n:]
	q.partial = len(it.b) > 0
	if !q.partial {
		*it = item{}
		q.items = q.items[1:]
	}
}

// emptied ends the queue. The caller holds c.mu.
func (c *Conn) emptied() {
	if c.state == dead {
		return
	}
	lagging := c.queue.lagging
	c.queue = nil
	c.shard.pool.stalled.Add(-1)
	switch {
	case c.state == shutting:
		c.halfClose()
	case lagging:
		c.shard.post(mail{kind: drainedMail, conn: c})
	}
}

// patience sets how long the next write may wait. It answers false if the connection is closed.
func (c *Conn) patience() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == dead {
		return false
	}
	var until time.Time
	if !c.queue.lagging {
		until = time.Now().Add(c.shard.pool.cfg.Stall)
	}
	return c.nc.SetWriteDeadline(until) == nil
}

// mayWait says that a queue that made no progress has given up its frames and will be resynced: its
// client may take its time.
func (c *Conn) mayWait() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state == live && c.queue != nil && c.queue.lagging
}

// stuck ends a connection whose queue can not be written.
func (c *Conn) stuck(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.shard.pool.timeouts.Add(1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken()
}

// broken closes a connection that can not be written to. The reader finds out. The caller holds c.mu.
func (c *Conn) broken() {
	if c.state != dead {
		c.shard.pool.failed.Add(1)
		c.kill()
	}
}
