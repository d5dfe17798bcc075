package broker

import "time"

// changes is the part of a channel's log that is kept: the newest changes, in a ring. The seq of an
// entry is implied by its place: the last one has the channel's seq. Guarded by the channel's mu.
type changes struct {
	ring   []entry // its length is 0 or a power of two
	head   int     // place of the oldest
	size   int
	bytes  int      // encoded bytes of the entries
	free   []byte   // rest of the chunk that entries are cut from
	upkeep deadline // when an idle channel drops what has become too old
	change Change   // what the subscriber is shown
}

// entry is a change in the ring.
type entry struct {
	encoded []byte
	at      int64 // when it was applied
	group   span  // in encoded
}

// The bytes of chunks. An entry larger than half a chunk gets memory of its own.
const (
	smallestChunk = 512
	largestChunk  = 16 << 10
)

func newChanges(c *Channel) *changes {
	return &changes{upkeep: deadline{channel: c}}
}

// cut returns room for exactly size bytes. Small entries share a chunk, which the garbage collector
// frees when the last of them has left the ring. Chunks grow with what the ring holds, so that a quiet
// channel wastes little.
func (l *changes) cut(size int) []byte {
	if size > len(l.free) {
		chunk := min(max(l.bytes, smallestChunk), largestChunk)
		if size > chunk/2 {
			return make([]byte, 0, size)
		}
		l.free = make([]byte, chunk)
	}
	room := l.free[:0:size]
	l.free = l.free[size:]
	return room
}

// at returns the i-th entry, counted from the oldest.
func (l *changes) at(i int) *entry { return &l.ring[(l.head+i)&(len(l.ring)-1)] }

func (l *changes) push(e entry) {
	if l.size == len(l.ring) {
		ring := make([]entry, max(4, 2*len(l.ring)))
		for i := range l.size {
			ring[i] = *l.at(i)
		}
		l.ring, l.head = ring, 0
	}
	*l.at(l.size) = e
	l.size++
	l.bytes += len(e.encoded)
}

// pop drops the oldest entry, and returns its bytes. The ring keeps no reference to it.
func (l *changes) pop() int {
	oldest := l.at(0)
	bytes := len(oldest.encoded)
	*oldest = entry{}
	l.head = (l.head + 1) & (len(l.ring) - 1)
	l.size--
	l.bytes -= bytes
	return bytes
}

// record adds a change to the log and drops what is then beyond the policy.
func (c *Channel) record(now int64, encoded []byte, group span) {
	p, l := c.policy, c.log
	if p.History == 0 {
		return
	}
	before, bytes := l.size, l.bytes
	for l.size >= p.History {
		l.pop()
	}
	l.push(entry{encoded, now, group})
	for p.HistoryBytes > 0 && l.bytes > p.HistoryBytes {
		l.pop()
	}
	if p.HistoryTTL > 0 {
		for l.size > 0 && now-l.at(0).at >= int64(p.HistoryTTL) {
			l.pop()
		}
		c.wakeBy(later(now, p.HistoryTTL))
	}
	c.shard.count(0, l.size-before, l.bytes-bytes)
}

// trim drops what is too old.
func (c *Channel) trim(now int64) {
	l, ttl := c.log, int64(c.policy.HistoryTTL)
	if l == nil || ttl == 0 {
		return
	}
	before, bytes := l.size, l.bytes
	for l.size > 0 && now-l.at(0).at >= ttl {
		l.pop()
	}
	if l.size < before {
		c.shard.count(0, l.size-before, l.bytes-bytes)
	}
}

func (c *Channel) clearLog() {
	if l := c.log; l != nil {
		c.shard.expirer.remove(&l.upkeep)
		c.shard.count(0, -l.size, -l.bytes)
		c.log = nil
	}
}

// wakeBy has the channel looked after at the given time, unless that is due anyway. Being late costs
// memory for a while and nothing else.
func (c *Channel) wakeBy(at int64) {
	if !c.log.upkeep.queued {
		c.shard.expirer.set(&c.log.upkeep, at)
	}
}

// The steps of upkeep: a channel is looked after at most once in an eighth of its history's time to
// live, within these bounds.
const (
	shortestUpkeep = 10 * time.Millisecond
	longestUpkeep  = 30 * time.Second
)

// look drops what has become too old, and memory that nothing uses. Called by the expirer, with the lock held.
func (c *Channel) look(now int64) {
	if c.broken {
		if c.durable.store.Release(c.name) {
			c.evict()
		} else {
			c.wait()
		}
		return
	}
	c.trim(now)
	c.trimKeys(now)
	l, next := c.log, c.held(now)
	step := longestUpkeep
	if ttl := c.policy.HistoryTTL; l.size > 0 && ttl > 0 {
		next = later(l.at(0).at, ttl)
		step = min(step, ttl/8)
	}
	if c.keys != nil {
		next = min(next, later(c.keys.oldest(), c.policy.Idempotency))
		step = min(step, c.policy.Idempotency/8)
	}
	if l.size == 0 {
		l.ring, l.head, l.free = nil, 0, nil
	}
	if next != never {
		next = max(next, now+int64(max(step, shortestUpkeep)))
	}
	if c.durable != nil {
		due, gone := c.rest(now)
		if gone {
			return
		}
		next = min(next, due)
	}
	if next != never {
		c.wakeBy(next)
	}
}
