package broker

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Cluster is the other processes that own channels. A channel has one owner, whose broker orders its changes; another
// process that has readers for it keeps a replica, which it fills by Follow and is then given every change of by
// [Broker.Feed]. All methods may be called from any goroutine.
type Cluster interface {
	// Elsewhere reports whether another process owns the channel, or none does for the moment.
	Elsewhere(channel string) bool

	// Publish hands a publication to the owner and does not wait for it. Only the receipt's Wait knows the position. It is
	// called without a lock. The publication is valid during the call only.
	Publish(channel string, p *Publication) (Receipt, error)

	// Follow has the owner tell of all changes from now on, and returns what it has of the channel now; false if there was
	// nothing: what it returns is true all the same. It is called without a lock, may wait for the owner, and is called once
	// at a time for one channel.
	Follow(channel string) (Kept, bool, error)

	// Unfollow ends that. It is called with the channel's lock held and must not block.
	Unfollow(channel string)
}

// Tap gets what happens to a channel that is owned here, for the processes that follow it. Its methods are called with the
// channel's lock held: they must not block or call the broker.
type Tap interface {
	// Apply is called with each change. The entry is valid during the call only.
	Apply(seq uint64, e *Entry)

	// Reset is called when the log was lost, with what there is instead; nil: nothing, the channel is to be followed anew.
	Reset(k *Kept)
}

// ErrNotLoaded is returned where a channel would have to be waited for, and must not.
var ErrNotLoaded = errors.New("the channel is not in memory")

// ErrGap is returned for a change of a replica that does not follow the one before: changes in between are lost here.
var ErrGap = errors.New("changes in between are missing")

// ErrMoved is what Follow returns when the channel is owned here by now.
var ErrMoved = errors.New("the channel has moved to this process")

// errReplica is why a replica refuses to be changed other than by its owner.
var errReplica = fmt.Errorf("another process owns the channel: %w", ErrNotLoaded)

// aside is what only channels of a cluster have, and those of a Store whose log has forked. Guarded by the channel's mu.
type aside struct {
	forks []Fork
	tap   Tap   // nil: nobody follows
	until int64 // it has come from another process, and stays until then even if it is empty; 0: it need not. See hold
}

func (a *aside) apply(seq uint64, e *Entry) {
	if a.tap != nil {
		entry := *e // or it would be on the heap where there is no tap, too
		a.tap.Apply(seq, &entry)
	}
}

// setForks replaces the forks, and keeps the newest maxForks of them.
func (c *Channel) setForks(forks []Fork) {
	forks = forks[max(0, len(forks)-maxForks):]
	switch {
	case c.aside != nil:
		c.aside.forks = forks
	case len(forks) > 0:
		c.aside = &aside{forks: forks}
	}
}

func (c *Channel) isReplica() bool { return c.durable != nil && c.durable.replica }

// arm has an item end, unless that is the owner's to say: then it is noted for when this process owns the channel.
func (c *Channel) arm(d *deadline, due int64) {
	if c.isReplica() {
		d.due = due
		return
	}
	c.shard.expirer.set(d, due)
}

func (b *Broker) elsewhere(channel string) bool {
	return b.config.Cluster != nil && b.config.Cluster.Elsewhere(channel)
}

// handOn hands a publication to the owner of its channel.
func (b *Broker) handOn(channel string, p *Publication) (Receipt, error) {
	publication := *p // as in aside.apply
	return b.config.Cluster.Publish(channel, &publication)
}

// Tap sets who gets the changes of a channel that is owned here from now on, and makes the channel if there is none. set is
// called with the channel's lock held, with the tap there was, with what the channel has, and whether it was there before;
// it returns the new tap. It must not block or call the broker. Of a channel whose log goes back to since, what it has is what has
// come since then. Errors: those of Join; ErrNotLoaded, it waits for nobody but the store.
func (b *Broker) Tap(channel string, since Position, set func(before Tap, k *Kept, existed bool) Tap) error {
	existed := b.lookup(channel) != nil
	c, err := b.findLoaded(channel, true)
	if err != nil {
		return fmt.Errorf("follow %s: %w", channel, err)
	}
	defer c.unlock()
	if c.isReplica() {
		return fmt.Errorf("follow %s: %w", channel, errReplica)
	}
	if c.aside == nil {
		c.aside = &aside{}
	}
	k := c.exportSince(b.now(), since)
	c.aside.tap = set(c.aside.tap, &k, existed)
	return nil
}

// Untap changes who gets the changes of a channel, or lets it be freed: set returns nil for nobody. It is called as in Tap,
// if the channel has a tap.
func (b *Broker) Untap(channel string, set func(before Tap) Tap) {
	c := b.lockOwned(channel)
	if c == nil {
		return
	}
	defer c.unlock()
	if c.aside == nil || c.aside.tap == nil {
		return
	}
	c.aside.tap = set(c.aside.tap)
	c.dropAside()
}

// dropAside forgets an aside with nothing in it.
func (c *Channel) dropAside() {
	if c.aside != nil && c.aside.tap == nil && len(c.aside.forks) == 0 && c.aside.until == 0 {
		c.aside = nil
	}
}

// hold keeps a channel that has come from another process for a while, even if it is empty: those who follow it in their processes are about to
// follow it here, and would be told that it is lost if its epoch, or its forks, were gone. Called with the lock held.
func (c *Channel) hold() {
	if c.aside == nil {
		c.aside = &aside{}
	}
	if c.log == nil {
		c.log = newChanges(c)
	}
	c.aside.until = c.shard.broker.now() + int64(idleTime)
	c.wakeBy(c.aside.until)
}

// held returns until when the channel is held; never: it is not, any more. Called with the lock held.
func (c *Channel) held(now int64) (until int64) {
	switch {
	case c.aside == nil || c.aside.until == 0:
		return never
	case c.aside.until > now:
		return c.aside.until
	}
	c.aside.until = 0
	c.dropAside()
	return never
}

// release ends a hold. Called with the lock held.
func (c *Channel) release() {
	if c.aside != nil {
		c.aside.tap, c.aside.until = nil, 0
		c.dropAside()
	}
}

// Feed makes a change of its owner's the next one of a replica. One that was applied before is ignored, and so is one of a
// channel that is no replica here any more. Errors: ErrGap, it is not the next one; ErrNotLoaded, the replica is just being filled; ErrBroken.
func (b *Broker) Feed(channel string, epoch string, seq uint64, e *Entry) error {
	c, err := b.lockReady(channel)
	if c == nil {
		return err
	}
	defer c.mu.Unlock()
	defer c.settle()
	switch {
	case !c.isReplica():
		return nil
	case epoch != c.epoch, seq > c.seq+1:
		return fmt.Errorf("%s: change %d of %s after %d of %s: %w", channel, seq, epoch, c.seq, c.epoch, ErrGap)
	case seq == c.seq+1:
		c.apply(b.now(), e)
	}
	return nil
}

// Knows reports whether a reader at a position can be told by what is here what it lacks, or that it is lost for good. It cannot if the channel is a replica
// that may be behind what the reader has seen of another one.
func (b *Broker) Knows(channel string, from Position) bool {
	c := b.lookup(channel)
	if c == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead || !c.isReplica() {
		return true
	}
	if from.Epoch != c.epoch {
		_, ok := c.joinsAt(from)
		return ok
	}
	return from.Seq <= c.seq
}

// Refill brings a replica to what its owner has. Readers get the changes that they lack, where the owner still has all of them, and
// learn of another epoch by a Reset; otherwise the Reset says that some may be lost. Errors: ErrNotLoaded, it is just being filled; ErrGap, what is
// partial does not go on from where the replica is; ErrBroken.
func (b *Broker) Refill(channel string, k *Kept) error {
	c, err := b.lockReady(channel)
	if c == nil {
		return err
	}
	defer c.mu.Unlock()
	defer c.settle()
	if c.isReplica() {
		return c.refill(k)
	}
	return nil
}

// refill is Refill of a replica whose lock is held.
func (c *Channel) refill(k *Kept) error {
	now := c.shard.broker.now()
	lost := true
	missing := k.Position.Seq - c.seq
	if k.Position.Seq >= c.seq && missing <= uint64(len(k.Changes)) {
		lost = k.Position.Epoch != c.epoch && !slices.ContainsFunc(k.Forks, func(f Fork) bool { return f.Epoch == c.epoch && c.seq <= f.Seq })
	}
	if lost && k.Partial {
		return fmt.Errorf("%s: %d changes up to %d of %s after %d of %s: %w", c.name, len(k.Changes), k.Position.Seq, k.Position.Epoch, c.seq, c.epoch, ErrGap)
	}
	if lost {
		c.clearItems()
		c.clearLog()
		c.keys = nil
		c.restore(now, k)
		if c.subscriber != nil {
			c.subscriber.Reset(c.lost())
		}
		return nil
	}
	if k.Position.Epoch != c.epoch {
		c.epoch = k.Position.Epoch
		if c.subscriber != nil {
			c.subscriber.Reset(Reply{Position: c.position(), State: c.state(part{}), Forked: true})
		}
	}
	c.setForks(k.Forks)
	for _, m := range k.Changes[uint64(len(k.Changes))-missing:] {
		c.apply(now, &Entry{Op: m.Op, Expired: m.Expired, Group: m.Group, Key: m.Key, Data: m.Data})
	}
	for _, m := range k.Keys { // those of what changed nothing too, of which no change has told
		c.seq = m.Seq // what remember notes
		c.remember(now, m.Key)
	}
	c.seq = k.Position.Seq
	for _, m := range k.Items {
		i := c.items.find(m.Group, m.Key)
		if i == nil || m.Ends.IsZero() {
			continue
		}
		if i.ttl == nil {
			i.ttl = &deadline{channel: c, item: i}
		}
		c.arm(i.ttl, later(now, max(0, m.Ends.Sub(readAt(k)))))
	}
	return nil
}

func readAt(k *Kept) time.Time {
	if k.Read.IsZero() {
		return time.Now()
	}
	return k.Read
}
