package broker

import "time"

// Store is a journal that keeps what it was given: the channels whose policy is Durable live in it, and
// are in memory only while they are used. Append and Forget follow the rules of Journal; the others may
// be called from any goroutine.
type Store interface {
	Journal

	// Load returns what is kept of a channel; false if there is nothing: then it begins in the epoch of Kept.Position, or in fresh if that has none. It is called without any lock and may block on
	// a disk, once at a time for one channel. If the channel's readers may have seen more than is kept, the store moves
	// the channel to the epoch fresh, which was never used before, and names the old one in Kept.Forks. An error keeps
	// the channel from being used.
	Load(channel, fresh string) (Kept, bool, error)

	// Release reports whether everything of a channel can be loaded, so that it may leave memory. It is
	// called with the channel's lock held and must not block.
	Release(channel string) bool

	// Confirm returns a receipt for what was appended to a channel before: it waits until all of that is
	// safe. It is called with the channel's lock held and must not block.
	Confirm(log Log) Receipt

	// Note keeps an idempotency key that came with what changes nothing, with the channel's position. Same
	// rules as for Append.
	Note(log Log, key string) (Receipt, error)

	// List describes kept channels whose names begin with prefix and come after the given one, sorted by name, at most
	// limit of them. It may lag behind.
	List(prefix, after string, limit int) ([]Info, error)
}

// Tenured is a Store that has its channels for a time, and may lose them to another process and get them back: what it has loaded in one time is of no use in the next.
type Tenured interface {
	// Tenure returns what tells the time for which the store has a channel now from all others; 0: it does not have it. It may be called with the channel's lock held and must not block.
	Tenure(channel string) uint64
}

// Kept is a channel as a store has kept it. The broker takes over its memory.
type Kept struct {
	Position Position
	Forks    []Fork       // oldest first
	Changes  []KeptChange // the newest changes, oldest first; the last one is at Position
	Items    []KeptItem   // of each group in the order in which they came into being
	Keys     []KeptKey    // idempotency keys, oldest first
	Read     time.Time    // when it was read, by the clock of the other times; zero: just now, by the wall clock
	Partial  bool         // of changes, keys and ends of items only what has come since a position: of use to who stands there
}

// KeptChange is a change that was applied.
type KeptChange struct {
	Op         Op
	Expired    bool
	Group, Key string
	Data       []byte
	At         time.Time // when it was applied
}

// KeptItem is a live item.
type KeptItem struct {
	Group, Key string
	Data       []byte
	Ends       time.Time // end of its time to live; zero: never
}

// KeptKey is an idempotency key.
type KeptKey struct {
	Key string
	Seq uint64    // of the change that came with it
	At  time.Time // when it came
}

// Fork is up to where an earlier epoch of a channel had the same changes as the current one: readers at or before Seq
// go on in the current epoch. Later positions of that epoch were lost.
type Fork struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// maxForks bounds the forks of a channel that are remembered. A reader of an older epoch gets a snapshot.
const maxForks = 8

// joinsAt returns where a position of another epoch is in the current one.
func (c *Channel) joinsAt(from Position) (Position, bool) {
	if c.aside != nil {
		for _, f := range c.aside.forks {
			if f.Epoch == from.Epoch && from.Seq <= f.Seq {
				return Position{c.epoch, from.Seq}, true
			}
		}
	}
	return from, false
}

// durable is what only a channel of a Store has, and one that another process owns. Guarded by the channel's mu.
type durable struct {
	// Set once.
	store   Store         // where it is loaded from
	replica bool          // another process owns it: nothing is changed here but by Feed
	loading chan struct{} // closed when the channel has been loaded; nil if there was nothing to load

	queued uint64                // changes that the store has and that are not applied yet; see Log.Defer
	coming map[[2]string]*coming // of these, by group and key; nil: none
	used   int64                 // when the channel was last in use, see touch
}

// coming is what an item will be once all that is queued has been applied.
type coming struct {
	datum
	there bool
	n     int // how many changes of it are queued
}

// defers notes a change of an item that is not applied yet. The entry stays as it is.
func (c *Channel) defers(e *Entry) {
	if e.Op == Send {
		return
	}
	before, _ := c.upcoming(e.Group, e.Key)
	d := c.durable
	if d.coming == nil {
		d.coming = make(map[[2]string]*coming)
	}
	id := [2]string{e.Group, e.Key}
	q := d.coming[id]
	if q == nil {
		q = new(coming)
		d.coming[id] = q
	}
	q.n++
	switch q.there = e.Op != Delete; e.Op {
	case Set:
		q.datum = datumOf(e.Data, span{0, uint32(len(e.Data))})
	case Append:
		q.datum = before.with(textOf(e.Data)) // what is put behind a buffer is what apply puts there
	default:
		q.datum = datum{}
	}
}

// deferred notes that a change of an item is applied now.
func (d *durable) deferred(e *Entry) {
	id := [2]string{e.Group, e.Key}
	if q := d.coming[id]; q != nil {
		if q.n--; q.n == 0 {
			delete(d.coming, id)
		}
	}
}

// idleTime is how long a durable channel stays in memory when nobody uses it.
const idleTime = 30 * time.Second

// touch notes that a durable channel is in use, and schedules a look for when it has been idle. Called with the lock
// held.
func (c *Channel) touch() {
	now := c.shard.broker.now()
	c.durable.used = now
	if c.readers > 0 || c.dead {
		return
	}
	if c.log == nil {
		c.log = newChanges(c)
	}
	if u := &c.log.upkeep; !u.queued || u.due > now+int64(idleTime) {
		c.shard.expirer.set(u, now+int64(idleTime))
	}
}

// rest evicts a durable channel that was idle for a while, and otherwise returns when to look again. Called with the
// lock held.
func (c *Channel) rest(now int64) (next int64, gone bool) {
	if c.readers > 0 || c.durable.queued > 0 || c.aside != nil && c.aside.tap != nil {
		return never, false // leaving, what is queued, and who takes the tap away touch it
	}
	if due := c.durable.used + int64(idleTime); due > now {
		return due, false
	}
	if !c.durable.store.Release(c.name) {
		return now + int64(idleTime)/8, false
	}
	c.evict()
	return never, true
}

// evict takes a channel out of memory that its store can load again.
func (c *Channel) evict() {
	c.clearItems()
	c.clearLog()
	c.keys = nil
	c.take(false)
}
