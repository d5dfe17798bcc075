package broker

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Promote makes a replica a channel that is owned here. It goes on in an epoch of its own: what its readers have seen up to now
// is there, and a reader that has seen more elsewhere is told so. One that is Durable goes on with what the store has of it, for which this waits. Errors: ErrNotLoaded, it is just being
// filled; ErrBroken; those of the store.
func (b *Broker) Promote(channel string) error {
	c, err := b.lockReady(channel)
	if c == nil {
		return err
	}
	if c.isReplica() && b.stores(c.policy) {
		c.unlock()
		return b.regain(channel)
	}
	defer c.unlock()
	if c.isReplica() {
		c.promote()
	}
	return nil
}

// promote is Promote of a replica whose lock is held.
func (c *Channel) promote() {
	c.own()
	c.fork()
	c.hold()
}

// stores reports whether channels of a policy are kept by the store.
func (b *Broker) stores(p *Policy) bool { return p.Durable && b.config.Store != nil }

// tenure is that of a channel of the store; 0 for all time if no process may have it in between.
func (b *Broker) tenure(channel string) uint64 {
	if t, ok := b.config.Store.(Tenured); ok {
		return t.Tenure(channel)
	}
	return 0
}

// regains reports whether a replica is about to go on as a channel of the store. Called with the lock held.
func (c *Channel) regains() bool {
	b := c.shard.broker
	return c.isReplica() && b.stores(c.policy) && !b.elsewhere(c.name)
}

// alone waits until nobody else regains a channel, and has others wait until end is called.
func (b *Broker) alone(channel string) (end func()) {
	s, _ := b.locate(channel)
	mine := make(chan struct{})
	for {
		s.mu.Lock()
		other, busy := s.regaining[channel]
		if !busy {
			if s.regaining == nil {
				s.regaining = make(map[string]chan struct{})
			}
			s.regaining[channel] = mine
		}
		s.mu.Unlock()
		if !busy {
			break
		}
		<-other
	}
	return func() {
		s.mu.Lock()
		delete(s.regaining, channel)
		s.mu.Unlock()
		close(mine)
	}
}

// regain has a replica go on as a channel of the store.
func (b *Broker) regain(channel string) error {
	defer b.alone(channel)() // a store loads a channel once at a time
	for {
		again, err := b.tryRegain(channel)
		if !again {
			return err
		}
	}
}

// tryRegain is regain, unless the channel has been elsewhere meanwhile and has come back: then it is to be tried again.
func (b *Broker) tryRegain(channel string) (again bool, err error) {
	replica := func() *Channel {
		c := b.lockOwned(channel)
		if c != nil && !c.isReplica() {
			c.mu.Unlock()
			return nil
		}
		return c
	}
	c := replica()
	if c == nil {
		return false, nil
	}
	c.mu.Unlock()
	since, fresh := b.tenure(channel), b.newEpoch()
	kept, ok, err := b.config.Store.Load(channel, fresh)
	if err != nil {
		return false, fmt.Errorf("take over %s: %w", channel, err)
	}
	if c = replica(); c == nil {
		return false, nil
	}
	defer c.unlock()
	switch {
	case b.elsewhere(channel): // it has moved meanwhile, and stays a replica
		return false, nil
	case b.tenure(channel) != since:
		return true, nil
	}
	if !ok {
		kept = Kept{Position: Position{Epoch: cmp.Or(kept.Position.Epoch, fresh)}}
	}
	_ = c.refill(&kept) // it is whole
	c.release()
	c.own()
	c.durable = &durable{store: b.config.Store}
	c.endItems(b.now())
	return false, nil
}

// own makes a replica a channel that is owned here.
func (c *Channel) own() {
	c.durable = nil
	now := c.shard.broker.now()
	if c.items == nil {
		return
	}
	for _, g := range c.items.groups {
		for i := g.first; i != nil; i = i.next {
			if i.ttl != nil {
				c.shard.expirer.set(i.ttl, max(i.ttl.due, now))
			}
		}
	}
}

// fork goes on in another epoch with all there is. Called with the lock held.
func (c *Channel) fork() {
	var forks []Fork
	if c.aside != nil {
		forks = c.aside.forks
	}
	before := c.position()
	c.epoch = c.shard.broker.newEpoch()
	c.setForks(append(slices.Clone(forks), Fork(before)))
	if c.subscriber != nil {
		c.subscriber.Reset(Reply{Position: c.position(), State: c.state(part{}), Forked: true})
	}
}

// Adopt makes a channel that is owned here of what another process had of it, unless there is one. It goes on in an epoch of its
// own, as in Promote. ErrNotLoaded: it is being followed for the first time just now.
func (b *Broker) Adopt(channel string, k *Kept) error {
	err := b.put(&Channel{name: strings.Clone(channel), policy: b.policyOf(channel)})
	fresh := err == nil
	if err != nil && !errors.Is(err, errRaced) {
		return fmt.Errorf("take over %s: %w", channel, err)
	}
	c, err := b.lockReady(channel)
	if c == nil {
		return err
	}
	defer c.unlock()
	if !fresh || c.isReplica() || c.seq > 0 {
		return nil
	}
	c.restore(b.now(), k)
	c.fork()
	c.hold()
	return nil
}

// Demote makes a channel that was owned here a replica of another process's, which is to be followed. It reports whether the
// channel is of use: it has readers. One that is not leaves memory. Who got the changes of one of the store's is to follow it anew: it may go on here.
func (b *Broker) Demote(channel string) (used bool) {
	c := b.lockOwned(channel)
	if c == nil {
		return false
	}
	defer c.mu.Unlock()
	if c.aside != nil && c.aside.tap != nil && c.durable != nil {
		c.aside.tap.Reset(nil)
	}
	c.release()
	if !c.isReplica() {
		return c.demote()
	}
	if c.readers == 0 { // nobody may fill it from now on, and a reader would find it here
		c.durable.store.Release(c.name)
		c.evict()
		return false
	}
	return true
}

// lockOwned is lockLoaded of what may be owned here: a channel that is just being loaded is another process's, and who loads it waits for the caller.
func (b *Broker) lockOwned(channel string) *Channel {
	c, _ := b.lockReady(channel)
	return c
}

// demote is Demote of a channel that is owned here. Called with the lock held.
func (c *Channel) demote() (used bool) {
	b := c.shard.broker
	c.release()
	c.forgetAhead()
	s, slot := b.locate(c.name)
	s.mu.Lock()
	b.renew(s, slot, c.epoch) // or another log of the name would begin in it
	s.mu.Unlock()
	c.durable = &durable{store: replicas{b.config.Cluster}, replica: true}
	if c.items != nil {
		for _, g := range c.items.groups {
			for i := g.first; i != nil; i = i.next {
				if i.ttl != nil {
					c.shard.expirer.remove(i.ttl)
				}
			}
		}
	}
	if c.readers == 0 {
		c.evict()
		return false
	}
	return true
}

// HandOver returns what there is of a channel that is owned here, and who gets its changes, and makes it a replica, in one step: what it returns is the last word. false: it is not
// owned here, or is gone. If it is installed here again, those who got its changes are to follow it anew.
func (b *Broker) HandOver(channel string) (k Kept, tap Tap, ok bool) {
	c := b.lockOwned(channel)
	if c == nil {
		return Kept{}, nil, false
	}
	defer c.mu.Unlock()
	if c.durable != nil {
		return Kept{}, nil, false
	}
	k = c.export(b.now())
	if c.aside != nil {
		tap = c.aside.tap
	}
	c.demote()
	return k, tap, true
}

// Install makes a channel owned here of what its owner has handed over. It goes on in the same epoch. ErrNotLoaded: it is being followed for the first time just now, which
// may wait for the caller.
func (b *Broker) Install(channel string, k *Kept) error {
	for {
		err := b.put(&Channel{name: strings.Clone(channel), policy: b.policyOf(channel)})
		fresh := err == nil
		if err != nil && !errors.Is(err, errRaced) {
			return fmt.Errorf("take over %s: %w", channel, err)
		}
		c := b.lookup(channel)
		if c == nil {
			continue // it has just left memory
		}
		c.mu.Lock()
		if c.dead || c.broken {
			loading, broken := c.dead && c.durable != nil && c.durable.loading != nil, c.broken && !c.dead
			c.mu.Unlock()
			switch {
			case broken:
				return ErrBroken
			case loading:
				return ErrNotLoaded
			}
			continue
		}
		switch {
		case c.isReplica(): // in one step: what its former owner told late is of no interest any more
			_ = c.refill(k) // it is whole
			c.own()
			c.hold()
		case fresh && c.seq == 0:
			c.restore(b.now(), k)
			c.hold()
		}
		c.unlock()
		return nil
	}
}

// At returns the position of a channel that is in memory, and Position{} of any other one. Errors: ErrNotLoaded, it is about to be; ErrBroken.
func (b *Broker) At(channel string) (Position, error) {
	c, err := b.lockReady(channel)
	if c == nil {
		return Position{}, err
	}
	defer c.mu.Unlock()
	return c.position(), nil
}

// Names calls f with the name of each channel in memory until it returns false. No lock is held meanwhile.
func (b *Broker) Names(f func(name string) bool) {
	var names []string
	for i := range b.shards {
		s := &b.shards[i]
		names = names[:0]
		s.mu.RLock()
		for name := range s.channels {
			names = append(names, name)
		}
		s.mu.RUnlock()
		for _, name := range names {
			if !f(name) {
				return
			}
		}
	}
}
