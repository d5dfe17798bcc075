package broker

import (
	"container/heap"
	"math"
	"sync"
	"time"
)

// expirerCount is how many heaps of deadlines there are, each with a goroutine. Shards share them.
const expirerCount = 8

// never is later than any deadline.
const never = math.MaxInt64

// later adds a time to live, which may be so long that it never ends.
func later(now int64, ttl time.Duration) int64 {
	if int64(ttl) >= never-now {
		return never - 1
	}
	return now + int64(ttl)
}

// deadline is an element of an expirer's heap: for an item's end, or for a channel's upkeep.
type deadline struct {
	// Set once.
	channel *Channel
	item    *item // nil: the channel's upkeep

	// Guarded by the channel's mu.
	due int64 // when it is really due, at or later: one put off stays where it is in the heap

	// Written with the channel's mu and the expirer's mu held.
	queued bool
	at     int64 // what the heap is ordered by

	// Guarded by the expirer's mu.
	index int
}

// deadlines is a heap of deadlines, by time. It implements heap.Interface.
type deadlines []*deadline

func (h deadlines) Len() int           { return len(h) }
func (h deadlines) Less(i, j int) bool { return h[i].at < h[j].at }

func (h deadlines) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *deadlines) Push(d any) {
	d.(*deadline).index = len(*h)
	*h = append(*h, d.(*deadline))
}

func (h *deadlines) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return d
}

// expirer is a heap of deadlines and the goroutine that sleeps until the next one. Its methods set and
// remove are called with the lock of the deadline's channel held.
type expirer struct {
	// Set once by New.
	wake chan struct{} // wakes the goroutine for a deadline before the one it sleeps for

	// Guarded by mu.
	mu    sync.Mutex
	heap  deadlines
	armed int64 // when the goroutine wakes up by itself

	_ [64]byte // expirers do not share a cache line
}

// set makes d due at the given time. Putting it off, as refreshing an item does all the time, only
// notes that: the expirer finds out when it gets there, and no lock is shared until then.
func (e *expirer) set(d *deadline, due int64) {
	d.due = due
	if d.queued && due >= d.at {
		return
	}
	e.mu.Lock()
	d.at = due
	if d.queued {
		heap.Fix(&e.heap, d.index)
	} else {
		d.queued = true
		heap.Push(&e.heap, d)
	}
	early := e.heap[0].at < e.armed
	e.mu.Unlock()
	if early {
		select {
		case e.wake <- struct{}{}:
		default: // it is about to look anyway
		}
	}
}

// remove takes d out of the heap, if it is in it.
func (e *expirer) remove(d *deadline) {
	if !d.queued {
		return
	}
	e.mu.Lock()
	d.queued = false
	heap.Remove(&e.heap, d.index)
	if cap(e.heap) > 1024 && len(e.heap) < cap(e.heap)/4 {
		e.heap = append(make(deadlines, 0, cap(e.heap)/2), e.heap...)
	}
	e.mu.Unlock()
}

// delay moves d, the channel of which is locked, to where it is really due.
func (e *expirer) delay(d *deadline) {
	e.mu.Lock()
	d.at = d.due
	heap.Fix(&e.heap, d.index)
	e.mu.Unlock()
}

// next returns a deadline that is due, or how long to sleep; negative: until wake.
func (e *expirer) next(now int64) (*deadline, time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.heap) == 0 {
		e.armed = never
		return nil, -1
	}
	d := e.heap[0]
	if d.at <= now {
		return d, 0
	}
	e.armed = d.at
	return nil, time.Duration(d.at - now)
}

// run expires what is due until the broker is closed.
func (e *expirer) run(b *Broker) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !b.closed.Load() {
		d, sleep := e.next(b.now())
		if d != nil {
			if !b.config.Panic.Do("broker deadline", func() { d.channel.fire(d) }) {
				b.config.Panic.Do("broker deadline put off", func() { d.channel.putOff(d) })
			}
			continue
		}
		var ends <-chan time.Time
		if sleep >= 0 {
			timer.Reset(sleep)
			ends = timer.C
		}
		select {
		case <-ends:
		case <-e.wake:
		case <-b.stop:
		}
	}
}

// retry is after what time the end of an item is tried again that the journal refused or has not
// handed back.
const retry = time.Second

// fire does what d is for, unless it was put off or dropped since the expirer looked.
func (c *Channel) fire(d *deadline) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.settle()
	now, expirer := c.shard.broker.now(), c.shard.expirer
	switch {
	case !d.queued || d.at > now:
		return
	case d.due > now:
		expirer.delay(d)
		return
	}
	expirer.remove(d)
	if i := d.item; i == nil {
		c.look(now)
	} else {
		c.end(now, i)
	}
}

// putOff moves a deadline that a panic has interrupted to later: the expirer would do nothing else.
func (c *Channel) putOff(d *deadline) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		c.shard.expirer.remove(d)
		return
	}
	if i := d.item; i != nil && c.items.find(i.group.name, i.key) != i {
		c.shard.expirer.remove(d)
		return
	}
	if d.due = c.shard.broker.now() + int64(retry); d.queued {
		c.shard.expirer.delay(d)
	} else {
		c.shard.expirer.set(d, d.due)
	}
}

// end ends an item's time to live. No caller waits for an error, so it is tried again while the item is there.
func (c *Channel) end(now int64, i *item) {
	expirer := c.shard.expirer
	if c.isReplica() { // which has become one since it was armed
		return
	}
	if c.ahead() && c.durable.coming[[2]string{i.group.name, i.key}] != nil { // that may give the item more time
		expirer.set(i.ttl, now+int64(shortestUpkeep))
		return
	}
	e := Entry{Op: Delete, Expired: true, Group: i.group.name, Key: i.key, Ack: AckMemory}
	_, _ = c.append(now, &e)
	if c.items.find(e.Group, e.Key) == i {
		expirer.set(i.ttl, now+int64(retry))
	}
}
