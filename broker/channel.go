package broker

import (
	"sync"
	"time"
)

// Channel is one channel. Readers get it from Join and give it back with Leave; until then it is not
// freed.
type Channel struct {
	// Set once by add.
	shard  *shard
	name   string
	policy *Policy

	// Guarded by mu.
	mu         sync.Mutex
	readers    int32
	dead       bool       // freed, or not loaded yet: look it up again
	torn       bool       // a change is under way; where the lock is let go: it has stopped half-way
	broken     bool       // a durable one that was torn: it is of no use until it has left memory
	epoch      string     // of the log
	seq        uint64     // of the last change; 0 before the first
	subscriber Subscriber // nil without readers
	log        *changes
	items      *items
	keys       *keys
	durable    *durable // nil for what is in memory only, and owned here
	aside      *aside   // nil while there is nothing in it
}

// Name is the channel's name.
func (c *Channel) Name() string { return c.name }

// Publish makes a change and returns its position. Deleting an item that is not there changes nothing
// and returns the current position; so does an idempotency key that was seen before, with the position
// it got then. With a journal that does more than Memory, Publish waits until the change is safe.
//
// Errors: ErrOp, ErrNoKey, ErrTTL, ErrTooManyItems, ErrStateTooLarge, ErrTooManyChannels, ErrClosed, of an append ErrText, ErrNotText,
// ErrHalf, ErrItemTooLarge and an OffsetError, and those of the journal.
func (b *Broker) Publish(channel string, p *Publication) (Position, error) {
	publisher := b.Publisher()
	return publisher.Publish(channel, p)
}

// Submit is Publish without waiting: a publication whose receipt has a Wait is acknowledged only when that has
// returned. Its Position is known now unless the journal decides the order.
func (b *Broker) Submit(channel string, p *Publication) (Receipt, error) {
	publisher := b.Publisher()
	return publisher.Submit(channel, p)
}

// unlock unlocks the channel, and frees it if it keeps nothing. Deferred.
func (c *Channel) unlock() {
	defer c.mu.Unlock()
	if !c.settle() && c.durable != nil && !c.broken {
		c.touch()
	}
}

// settle gives up or frees a channel that is due for it, before it is unlocked. It reports whether it has been freed.
func (c *Channel) settle() (freed bool) {
	switch {
	case c.torn:
		c.giveUp()
	case c.idle():
		c.free()
	default:
		return false
	}
	return c.dead
}

// giveUp drops what is in memory of a channel in which a change has stopped half-way, by a panic: it is unknown how
// much of the change was applied. The readers are ended. The next lookup finds another channel: one in another epoch
// or, if it is durable, what the store has, as soon as that is complete.
func (c *Channel) giveUp() {
	c.torn = false
	subscriber := c.subscriber
	if c.aside != nil && c.aside.tap != nil {
		defer c.aside.tap.Reset(nil)
		c.aside.tap = nil
	}
	if c.durable == nil {
		defer c.take(false)
	} else {
		c.broken = true
		defer c.wait()
	}
	c.epoch, c.subscriber = c.drop(), nil
	if b, ok := subscriber.(Breaker); ok {
		b.Break()
	}
}

// wait has a broken channel leave memory when its store has all of it.
func (c *Channel) wait() {
	c.log = newChanges(c)
	c.shard.expirer.set(&c.log.upkeep, c.shard.broker.now()+int64(brokenStep))
}

// brokenStep is how often it is looked whether a broken channel can leave memory.
const brokenStep = 50 * time.Millisecond

// append has the journal take a change. Called with the lock held.
func (c *Channel) append(now int64, e *Entry) (Receipt, error) {
	if c.durable == nil && c.shard.broker.inMemory { // as Memory does, without a copy of the entry
		return Receipt{Position: c.apply(now, e)}, nil
	}
	c.torn = true
	receipt, err := c.journal().Append(Log{c, now}, *e)
	c.torn = false
	return receipt, err
}

// journal is where the channel's changes go.
func (c *Channel) journal() Journal {
	if c.durable != nil {
		return c.durable.store
	}
	return c.shard.broker.journal
}

// confirmed is the receipt of a publication that changes nothing because of what was there before: it is
// not acknowledged before that is safe.
func (c *Channel) confirmed(now int64, at Position) Receipt {
	if c.durable == nil {
		return Receipt{Position: at}
	}
	receipt := c.durable.store.Confirm(Log{c, now})
	if wait := receipt.Wait; wait != nil {
		receipt.Wait = func() (Position, error) {
			_, err := wait()
			return at, err
		}
	}
	receipt.Position = at
	return receipt
}

// note keeps the idempotency key of what changes nothing.
func (c *Channel) note(now int64, key string) (Receipt, error) {
	if c.durable == nil || key == "" {
		c.remember(now, key)
		return c.confirmed(now, c.position()), nil
	}
	receipt, err := c.durable.store.Note(Log{c, now}, key)
	if err == nil {
		c.remember(now, key)
	}
	return receipt, err
}

// idle reports whether nothing is lost if the channel is freed. A durable one has a position even when it keeps nothing
// else: it leaves memory, and its store knows when to forget it. So does a replica, for which its owner was waited.
func (c *Channel) idle() bool {
	return c.readers == 0 && c.items == nil && (c.log == nil || c.log.size == 0) && c.keys == nil && !c.dead && !c.broken &&
		(c.aside == nil || c.aside.tap == nil && c.aside.until == 0) &&
		(c.durable == nil || !c.durable.replica && c.seq == 0 && c.durable.queued == 0)
}

func (c *Channel) position() Position { return Position{c.epoch, c.seq} }

// publish decides whether the entry, of a publication, makes a change, and appends it to the journal if it does. Called
// with the lock held.
func (c *Channel) publish(now int64, e *Entry, p *Publication) (Receipt, error) {
	if c.policy.Idempotency == 0 {
		e.IdempotencyKey = ""
	}
	if e.IdempotencyKey != "" {
		c.trimKeys(now)
		if seq, ok := c.keys.find(e.IdempotencyKey); ok {
			return c.confirmed(now, Position{c.epoch, seq}), nil
		}
	}
	if l, ok := c.subscriber.(Limiter); ok && l.Full() {
		return Receipt{}, ErrFull
	}
	switch e.Op {
	case Set:
		if err := c.items.admit(c.policy, e); err != nil {
			return Receipt{}, err
		}
	case Delete:
		if c.items.find(e.Group, e.Key) == nil && !c.ahead() {
			return c.note(now, e.IdempotencyKey)
		}
	case Append:
		if err := c.admitAppend(now, e, p); err != nil {
			return Receipt{}, err
		}
	}
	return c.append(now, e)
}

// apply is the one place where a change takes effect: log, items, idempotency keys and subscriber. Called
// with the lock held.
func (c *Channel) apply(now int64, e *Entry) Position {
	c.torn = true
	if c.log == nil {
		c.log = newChanges(c)
	}
	c.seq++
	var encoded []byte
	if size := encodedSize(c.seq, e); e.Op == Set && e.Form == nil {
		encoded = make([]byte, 0, size) // of its own: the item may outlive its neighbours in the log
	} else {
		encoded = c.log.cut(size)
	}
	encoded, group, key, data := encode(encoded, c.seq, e)
	if e.Expired {
		c.shard.expired.Add(1)
	}
	created := false
	var grown *item
	switch e.Op {
	case Set:
		d := datumOf(encoded, data)
		if e.Form != nil {
			d = datum{source: e.Form, data: span{size: data.size}}
		}
		_, created = c.put(now, e, d)
	case Delete:
		c.remove(e.Group, e.Key)
	case Append:
		grown, created = c.put(now, e, c.items.datum(e.Group, e.Key).with(textOf(e.Data)))
	}
	c.record(now, encoded, group)
	c.remember(now, e.IdempotencyKey)
	if c.subscriber != nil {
		change := &c.log.change
		*change = Change{
			Seq: c.seq, Op: e.Op, Expired: e.Expired, Created: created,
			Group: group.text(encoded), Key: key.text(encoded), Encoded: encoded, Exclude: e.Exclude, item: grown,
		}
		c.subscriber.Apply(change)
		*change = Change{}
	}
	if c.aside != nil {
		c.aside.apply(c.seq, e)
	}
	c.torn = false
	return c.position()
}

// drop clears log, items and idempotency keys, and retires their epoch. It returns the epoch to go on with. Called with
// the lock held.
func (c *Channel) drop() (epoch string) {
	c.clearItems()
	c.clearLog()
	c.keys = nil
	if c.aside != nil {
		c.aside.forks, c.aside.until = nil, 0
	}
	if c.durable != nil {
		c.durable.queued, c.durable.coming = 0, nil
		return c.shard.broker.newEpoch() // logs of its name that are not in memory may have any of the slot's
	}
	b, s := c.shard.broker, c.shard
	_, slot := b.locate(c.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.renew(s, slot, c.epoch)
}
