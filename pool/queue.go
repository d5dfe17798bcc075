package pool

import (
	"slices"
	"sync"
	"time"
)

// item is bytes for a connection.
type item struct {
	b    []byte
	slot *slot // nil for replies
	soft bool  // a frame that a snapshot can stand in for
}

// queue is what waits for one connection, oldest first. Guarded by Conn.mu.
type queue struct {
	items   []item
	few     [4]item // of most queues, room for all of them
	bytes   int
	soft    int           // bytes of soft items
	held    int           // items at the front that have been sent in part or are being sent: they stay
	lagging bool          // items were dropped: Owner.Resync is due when the queue is empty
	corked  bool          // no flusher is to be started yet
	running bool          // a flusher is at work
	full    bool          // the flusher waits for room in the socket
	room    chan struct{} // the flusher is to look again; room for one. nil: it has never waited
}

// queues are used again: one whose flusher has waited is not, since that may still look at it.
var queues = sync.Pool{New: func() any { return new(queue) }}

// again lets the queue be another connection's. Nothing is left in it.
func (q *queue) again() {
	if q.room == nil {
		*q = queue{}
		queues.Put(q)
	}
}

// goOn has a flusher that waits for room look again. The caller holds c.mu.
func (q *queue) goOn() {
	select {
	case q.room <- struct{}{}:
	default: // it is about to, or does not wait
	}
}

// takes reports whether there is room for an item. The first finds room whatever its size, and a reply while
// less than the bound waits, not counting what can be dropped: or a snapshot larger than the bound could
// never be sent. The caller holds c.mu.
func (c *Conn) takes(it item) bool {
	q, limit := c.queue, c.shard.pool.cfg.Queue
	switch {
	case q == nil:
		return true
	case it.slot == nil:
		return q.bytes-q.soft < limit
	default:
		return q.bytes+len(it.b) <= limit
	}
}

// push adds an item; an empty one only makes the queue. The caller holds c.mu.
func (c *Conn) push(it item) {
	if c.queue == nil {
		c.queue = queues.Get().(*queue)
		c.queue.items = c.queue.few[:0]
		c.shard.pool.stalled.Add(1)
	}
	if len(it.b) == 0 {
		return
	}
	c.queue.items = append(c.queue.items, it)
	c.account(&it, len(it.b))
}

// pushRest makes the queue of what is left of an item of which n bytes have been sent. If that is a part
// of it, the rest must follow. The caller holds c.mu.
func (c *Conn) pushRest(it item, n int) {
	it.b = it.b[n:]
	c.push(it)
	if n > 0 {
		c.queue.held = 1
	}
}

// account adds n bytes of an item. The caller holds c.mu.
func (c *Conn) account(it *item, n int) {
	c.queue.bytes += n
	if it.soft {
		c.queue.soft += n
	}
	c.shard.pool.queued.Add(int64(n))
}

// accept adds an item, making room by dropping frames that a snapshot can stand in for. It returns false
// if the connection must be given up as too slow. Called by the loop; the caller holds c.mu.
func (c *Conn) accept(it item) bool {
	switch {
	case it.soft && slices.Contains(c.shard.lost, it.slot): // it would come after a gap
		c.lag(it.slot)
		return true
	case c.takes(it) && (c.queue == nil || c.queue.bytes <= c.shard.pool.cfg.Queue):
		c.push(it)
		return true
	}
	c.dropSoft()
	if it.soft {
		c.lag(it.slot)
		return true
	}
	if !c.takes(it) {
		if it.slot != nil {
			it.slot.dropped()
		}
		return false
	}
	c.push(it)
	return true
}

// dropSoft drops every frame that a snapshot can stand in for. Called by the loop; the caller holds c.mu.
func (c *Conn) dropSoft() {
	q := c.queue
	keep := q.items[:q.held]
	for i := q.held; i < len(q.items); i++ {
		it := &q.items[i]
		if !it.soft {
			keep = append(keep, *it)
			continue
		}
		c.account(it, -len(it.b))
		c.lag(it.slot)
	}
	clear(q.items[len(keep):])
	q.items = keep
}

// dropAll drops everything that may be. The caller holds c.mu.
func (c *Conn) dropAll() {
	q := c.queue
	for i := q.held; i < len(q.items); i++ {
		if it := &q.items[i]; it.slot != nil {
			it.slot.dropped()
		}
		c.account(&q.items[i], -len(q.items[i].b))
	}
	clear(q.items[q.held:])
	q.items = q.items[:q.held]
}

// lag counts a dropped frame and leaves c out of its slot until it has joined again. Called by the loop;
// the caller holds c.mu.
func (c *Conn) lag(sl *slot) {
	sl.dropped()
	if !slices.Contains(c.shard.lost, sl) {
		c.shard.lost = append(c.shard.lost, sl)
	}
	if !c.queue.lagging {
		c.queue.lagging = true
		if c.fd < 0 {
			_ = c.Stream().SetWriteDeadline(time.Time{}) // it may take its time now: see patience
		}
	}
	for _, m := range c.memberships {
		if m.slot != sl {
			continue
		}
		sub := &sl.subs[m.at]
		sub.from = lagging // one that is leaving goes with what it has got
		if sub.until == staying && !slices.Contains(c.lagging(), sl) {
			c.setLagging(append(c.lagging(), sl))
		}
	}
}

// front is what to send next, at most len(chunk) bytes: the first item or a part of it, or several small
// ones, put together in chunk. The caller holds c.mu.
func (q *queue) front(chunk []byte) []byte {
	if first := q.items[0].b; len(q.items) == 1 || len(first) >= len(chunk) {
		return first[:min(len(first), len(chunk))]
	}
	n := 0
	for i := range q.items {
		m := copy(chunk[n:], q.items[i].b)
		n += m
		if m < len(q.items[i].b) {
			break
		}
	}
	return chunk[:n]
}

// hold makes the items that n bytes at the front belong to stay. The caller holds c.mu.
func (q *queue) hold(n int) {
	q.held = 0
	for ; n > 0; q.held++ {
		n -= len(q.items[q.held].b)
	}
}

// took takes n bytes off the front. The caller holds c.mu.
func (c *Conn) took(n int) {
	q := c.queue
	q.held = 0
	for n > 0 {
		it := &q.items[0]
		m := min(n, len(it.b))
		c.account(it, -m)
		it.b = it.b[m:]
		n -= m
		if len(it.b) > 0 {
			q.held = 1
			return
		}
		*it = item{}
		q.items = q.items[1:]
	}
}

// Queued is how many bytes wait for the connection.
func (c *Conn) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queue == nil {
		return 0
	}
	return c.queue.bytes
}
