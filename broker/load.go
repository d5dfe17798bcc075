package broker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// load loads a durable channel from the store and returns it with its lock held. If the store has nothing, it returns
// an empty channel if one is needed, and nil otherwise. The channel stands in the map while it is loaded, marked dead:
// other callers wait for loading, without a lock. With forget, what cannot be read is dropped.
func (b *Broker) load(store Store, name string, policy *Policy, needed, forget bool) (*Channel, error) {
	loading := make(chan struct{})
	_, replica := store.(replicas)
	c := &Channel{name: strings.Clone(name), policy: policy, dead: true, durable: &durable{store: store, replica: replica, loading: loading}}
	if err := b.put(c); err != nil {
		return nil, err
	}
	defer close(loading)
	held, whole := false, false
	defer func() {
		if whole {
			return
		}
		if !held { // there was a panic: no caller may find what has not been loaded
			c.mu.Lock()
		}
		defer c.mu.Unlock()
		c.take(false)
	}()
	fresh, since := b.newEpoch(), b.tenure(c.name)
	kept, ok, err := store.Load(c.name, fresh)
	c.mu.Lock()
	held = true
	if err != nil && forget {
		store.Forget(c.name)
		kept, err, needed = Kept{}, nil, true
	}
	if err != nil || !ok && !needed {
		if replica && err == nil {
			store.Release(c.name)
		}
		return nil, err
	}
	elsewhere := b.elsewhere(c.name)
	if replica && !elsewhere && b.stores(policy) || !replica && (elsewhere || b.tenure(c.name) != since) { // it has moved meanwhile; it may be back
		if replica {
			store.Release(c.name)
		}
		return nil, errRaced
	}
	c.epoch, c.dead = cmp.Or(kept.Position.Epoch, fresh), false
	if ok || replica {
		c.restore(b.now(), &kept)
	}
	if replica && !elsewhere {
		c.promote()
	}
	whole = true
	return c, nil
}

// restore fills an empty channel. Items whose time has passed end at once, each with its change.
func (c *Channel) restore(now int64, kept *Kept) {
	wall := kept.Read
	if wall.IsZero() {
		wall = time.Now()
	}
	c.epoch, c.seq = kept.Position.Epoch, kept.Position.Seq
	c.setForks(kept.Forks)
	c.log = newChanges(c)
	ago := func(at time.Time) int64 { return now - int64(max(0, wall.Sub(at))) }
	first := c.seq - uint64(len(kept.Changes)) + 1
	for i, k := range kept.Changes {
		e := Entry{Op: k.Op, Expired: k.Expired, Group: k.Group, Key: k.Key, Data: k.Data}
		seq := first + uint64(i)
		encoded, group, _, _ := encode(make([]byte, 0, encodedSize(seq, &e)), seq, &e)
		c.record(ago(k.At), encoded, group)
	}
	c.trim(now)
	for _, k := range kept.Items {
		c.put(now, &Entry{Group: k.Group, Key: k.Key}, datumOf(k.Data, span{0, uint32(len(k.Data))}))
		if !k.Ends.IsZero() {
			i := c.items.find(k.Group, k.Key)
			i.ttl = &deadline{channel: c, item: i}
			left := k.Ends.Sub(wall)
			due := later(now, max(0, left)) + int64(min(0, left)) // in the past: those that are over end in order
			c.arm(i.ttl, due)
		}
	}
	seq := c.seq
	for _, k := range kept.Keys {
		c.seq = k.Seq // what remember notes
		c.remember(ago(k.At), k.Key)
	}
	c.seq = seq
	c.trimKeys(now)
	c.endItems(now)
}

// endItems ends the items whose time has passed, in the order of their ends.
func (c *Channel) endItems(now int64) {
	if c.items == nil || c.isReplica() {
		return
	}
	var over []*item
	for _, g := range c.items.groups {
		for i := g.first; i != nil; i = i.next {
			if i.ttl != nil && i.ttl.due <= now {
				over = append(over, i)
			}
		}
	}
	slices.SortFunc(over, func(a, b *item) int { return cmp.Compare(a.ttl.due, b.ttl.due) })
	for _, i := range over {
		c.end(now, i)
	}
}

// Exclude calls f while a channel of the store is not in memory: whoever wants to use it waits until f returns. fresh is an epoch that was never used before. f may block, and must not use
// the broker. Errors: ErrNotLoaded, another process owns the channel; ErrUsed, it is in memory; ErrTooManyChannels, ErrClosed; those of f.
func (b *Broker) Exclude(channel string, f func(fresh string) error) error {
	switch {
	case b.closed.Load():
		return ErrClosed
	case b.elsewhere(channel):
		return ErrNotLoaded
	}
	loading := make(chan struct{})
	c := &Channel{name: strings.Clone(channel), policy: b.policyOf(channel), dead: true, durable: &durable{store: b.config.Store, loading: loading}}
	if err := b.put(c); err != nil {
		if errors.Is(err, errRaced) {
			err = fmt.Errorf("%s: %w", channel, ErrUsed)
		}
		return err
	}
	defer close(loading)
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.take(false)
	}()
	return f(b.newEpoch())
}
