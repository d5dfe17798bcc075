package broker

import (
	"math"
	"sync"
	"time"
)

// clockCount is how many heaps of deadlines there are, each with a goroutine. Shards share them.
const clockCount = 8

// never is later than any deadline.
const never = math.MaxInt64

// later adds a time to live, which may be so long that it never ends.
func later(now int64, ttl time.Duration) int64 {
	if int64(ttl) >= never-now {
		return never - 1
	}
	return now + int64(ttl)
}

// deadline is a place in a clock's heap: for an item's end, or for a channel's upkeep.
type deadline struct {
	// Set once.
	channel *Channel
	item    *item // nil: the channel's upkeep

	// Guarded by the channel's mu.
	due int64 // when it is really due, at or later: one put off stays where it is in the heap

	// Written with the channel's mu and the clock's mu held.
	queued bool
	at     int64 // what the heap is ordered by

	// Guarded by the clock's mu.
	index int
}

// clock is a heap of deadlines and the goroutine that sleeps until the next one. Its methods set and
// remove are called with the lock of the deadline's channel held.
type clock struct {
	// Set once by New.
	wake chan struct{} // tells the goroutine that a deadline came before the one it sleeps for

	// Guarded by mu.
	mu    sync.Mutex
	heap  []*deadline
	armed int64 // when the goroutine wakes up by itself

	_ [64]byte // clocks do not share a cache line
}

// set makes d due at the given time. Putting it off, as refreshing an item does all the time, only
// notes that: the clock finds out when it gets there, and no lock is shared until then.
func (k *clock) set(d *deadline, due int64) {
	d.due = due
	if d.queued && due >= d.at {
		return
	}
	k.mu.Lock()
	d.at = due
	if !d.queued {
		d.queued = true
		d.index = len(k.heap)
		k.heap = append(k.heap, d)
	}
	k.up(d.index)
	early := k.heap[0].at < k.armed
	k.mu.Unlock()
	if early {
		select {
		case k.wake <- struct{}{}:
		default: // it is about to look anyway
		}
	}
}

// remove takes d out of the heap, if it is in it.
func (k *clock) remove(d *deadline) {
	if !d.queued {
		return
	}
	k.mu.Lock()
	d.queued = false
	last := len(k.heap) - 1
	i := d.index
	k.swap(i, last)
	k.heap[last] = nil
	k.heap = k.heap[:last]
	if i < last {
		k.down(i)
		k.up(i)
	}
	if cap(k.heap) > 1024 && last < cap(k.heap)/4 {
		k.heap = append(make([]*deadline, 0, cap(k.heap)/2), k.heap...)
	}
	k.mu.Unlock()
}

// delay moves d, the channel of which is locked, to where it is really due.
func (k *clock) delay(d *deadline) {
	k.mu.Lock()
	d.at = d.due
	k.down(d.index)
	k.mu.Unlock()
}

// next answers a deadline that is due, or how long to sleep; negative: until somebody wakes it.
func (k *clock) next(now int64) (*deadline, time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.heap) == 0 {
		k.armed = never
		return nil, -1
	}
	d := k.heap[0]
	if d.at <= now {
		return d, 0
	}
	k.armed = d.at
	return nil, time.Duration(d.at - now)
}

// run expires what is due until the broker is closed.
func (k *clock) run(b *Broker) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for !b.closed.Load() {
		d, sleep := k.next(b.now())
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
		case <-k.wake:
		case <-b.stop:
		}
	}
}

// retry is after what time the end of an item is tried again that the journal refused or has not
// handed back.
const retry = time.Second

// fire does what d is for, unless it was put off or dropped since the clock looked.
func (c *Channel) fire(d *deadline) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.settle()
	now, clock := c.shard.broker.now(), c.shard.clock
	switch {
	case !d.queued || d.at > now:
		return
	case d.due > now:
		clock.delay(d)
		return
	}
	clock.remove(d)
	if i := d.item; i == nil {
		c.look(now)
	} else {
		c.end(now, i)
	}
}

// putOff has a deadline looked at later that there was a panic over, and which may still be where it was: the clock
// would do nothing else.
func (c *Channel) putOff(d *deadline) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		c.shard.clock.remove(d)
		return
	}
	if i := d.item; i != nil && c.items.find(i.group.name, i.key) != i {
		c.shard.clock.remove(d)
		return
	}
	if d.due = c.shard.broker.now() + int64(retry); d.queued {
		c.shard.clock.delay(d)
	} else {
		c.shard.clock.set(d, d.due)
	}
}

// end ends an item's time to live. Nobody waits for that, so there is nobody to tell of an error: while
// the item is there, it is tried again.
func (c *Channel) end(now int64, i *item) {
	clock := c.shard.clock
	if c.ahead() && c.durable.coming[[2]string{i.group.name, i.key}] > 0 { // that may give the item more time
		clock.set(i.ttl, now+int64(shortestUpkeep))
		return
	}
	e := Entry{Op: Delete, Expired: true, Group: i.group.name, Key: i.key, Ack: AckMemory}
	_, _ = c.append(now, &e)
	if c.items.find(e.Group, e.Key) == i {
		clock.set(i.ttl, now+int64(retry))
	}
}

func (k *clock) swap(i, j int) {
	h := k.heap
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (k *clock) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if k.heap[parent].at <= k.heap[i].at {
			return
		}
		k.swap(i, parent)
		i = parent
	}
}

func (k *clock) down(i int) {
	for {
		least := 2*i + 1
		if least >= len(k.heap) {
			return
		}
		if right := least + 1; right < len(k.heap) && k.heap[right].at < k.heap[least].at {
			least = right
		}
		if k.heap[i].at <= k.heap[least].at {
			return
		}
		k.swap(i, least)
		i = least
	}
}
