package broker

import (
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	shardCount = 64
	slotCount  = 256 // epoch slots of a shard
)

// shard is a part of the broker's channels, chosen by the hash of their names.
type shard struct {
	// Set once by New.
	broker  *Broker
	expirer *expirer

	// Guarded by mu.
	mu       sync.RWMutex
	channels map[string]*Channel
	epochs   []string // current epoch by slot; nil, or "" in a slot: the broker's first

	// Atomic: sums over the shard's channels.
	items   atomic.Int64
	changes atomic.Int64
	bytes   atomic.Int64
	expired atomic.Uint64

	_ [24]byte // to two cache lines, so that shards do not share one
}

func (b *Broker) locate(channel string) (s *shard, slot int) {
	hash := maphash.String(b.seed, channel)
	return &b.shards[hash%shardCount], int(hash / shardCount % slotCount)
}

// lookup answers the channel or nil. It may be dead by the time it is locked, or not loaded yet.
func (b *Broker) lookup(channel string) *Channel {
	s, _ := b.locate(channel)
	s.mu.RLock()
	c := s.channels[channel]
	s.mu.RUnlock()
	return c
}

// lock answers the channel with its lock held, or nil if there is none. One that its store has is
// loaded; if that fails there is none, and Load says why.
func (b *Broker) lock(channel string) *Channel {
	c, _ := b.find(channel, false)
	return c
}

// find is lock that says why a channel of the store can not be used. With forget, one that can not be read is
// dropped.
func (b *Broker) find(channel string, forget bool) (*Channel, error) {
	for {
		if c, err := b.lockLoaded(channel); c != nil || err != nil {
			return c, err
		}
		policy := b.durable(channel)
		if policy == nil {
			return nil, nil
		}
		if b.closed.Load() {
			return nil, ErrClosed
		}
		if c, err := b.load(channel, policy, false, forget); !errors.Is(err, errRaced) {
			return c, err
		}
	}
}

// Load has a channel in memory, where it stays for half a minute at least: it can then be read without waiting
// for the store. There need not be one of the name. Errors: those of the store, ErrTooManyChannels, ErrClosed.
// Reads of a channel that can not be loaded answer that there is none.
func (b *Broker) Load(channel string) error {
	c, err := b.find(channel, false)
	if err != nil {
		return fmt.Errorf("load %s: %w", channel, err)
	}
	if c != nil {
		c.unlock()
	}
	return nil
}

// lockLoaded is lock for what is in memory. It waits for a channel that is just being loaded. Errors: ErrBroken.
func (b *Broker) lockLoaded(channel string) (*Channel, error) {
	for {
		c := b.lookup(channel)
		if c == nil {
			return nil, nil
		}
		c.mu.Lock()
		switch {
		case c.broken && !c.dead:
			c.mu.Unlock()
			return nil, ErrBroken
		case !c.dead:
			return c, nil
		}
		c.mu.Unlock() // freed after the look-up, so that it has left the map; or still loading
		if c.loading != nil {
			<-c.loading
		}
	}
}

// durable answers the policy of a channel that belongs to the store; nil for others.
func (b *Broker) durable(channel string) *Policy {
	if b.config.Store == nil {
		return nil
	}
	if policy := b.policyOf(channel); policy.Durable {
		return policy
	}
	return nil
}

// lockOrMake answers the channel with its lock held, and makes it if there is none. Whoever calls it
// lets go with unlock, which frees the channel if nothing came into it.
func (b *Broker) lockOrMake(channel string) (*Channel, error) {
	for {
		if b.closed.Load() {
			return nil, ErrClosed
		}
		if c, err := b.lockLoaded(channel); c != nil || err != nil {
			return c, err
		}
		policy := b.policyOf(channel)
		if policy.Durable && b.config.Store != nil {
			if c, err := b.load(channel, policy, true, false); !errors.Is(err, errRaced) {
				return c, err
			}
			continue
		}
		if err := b.put(&Channel{name: strings.Clone(channel), policy: policy}); err != nil && !errors.Is(err, errRaced) {
			return nil, err
		}
	}
}

// errRaced says that somebody else was faster.
var errRaced = errors.New("the channel is there already")

// put puts in a new channel. Errors: ErrTooManyChannels, errRaced.
func (b *Broker) put(c *Channel) error {
	if most := b.config.Channels; b.channels.Add(1) > int64(most) && most > 0 {
		b.channels.Add(-1)
		return ErrTooManyChannels
	}
	s, slot := b.locate(c.name)
	c.shard = s
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, exists := s.channels[c.name]; exists {
		b.channels.Add(-1)
		return errRaced
	}
	c.epoch = b.epoch(s, slot)
	s.channels[c.name] = c
	return nil
}

// take takes a channel out of the map. Called with its lock held.
func (c *Channel) take() {
	c.dead = true
	s := c.shard
	s.mu.Lock()
	delete(s.channels, c.name)
	s.mu.Unlock()
	s.broker.channels.Add(-1)
}

// epoch is the current epoch of a slot. Called with s.mu held.
func (b *Broker) epoch(s *shard, slot int) string {
	if s.epochs == nil || s.epochs[slot] == "" {
		return b.first
	}
	return s.epochs[slot]
}

// renew sees to it that a log which the slot's channels get from now on has another epoch than the
// given one, that of a log being dropped. It answers the slot's epoch. Called with s.mu held.
func (b *Broker) renew(s *shard, slot int, lost string) string {
	if b.epoch(s, slot) != lost {
		return b.epoch(s, slot)
	}
	if s.epochs == nil {
		s.epochs = make([]string, slotCount)
	}
	s.epochs[slot] = b.newEpoch()
	return s.epochs[slot]
}

// free removes a channel that keeps nothing. Called with its lock held.
func (c *Channel) free() {
	b, s := c.shard.broker, c.shard
	c.dead = true
	c.clearLog() // an empty one
	_, slot := b.locate(c.name)
	s.mu.Lock()
	delete(s.channels, c.name) // together with the epoch: nobody makes it again in between
	if c.seq > 0 {
		b.renew(s, slot, c.epoch)
	}
	s.mu.Unlock()
	b.channels.Add(-1)
	if c.seq > 0 {
		c.journal().Forget(c.name)
	}
}
