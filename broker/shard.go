package broker

import (
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
	broker *Broker
	clock  *clock

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

// lookup answers the channel or nil. It may be dead by the time it is locked.
func (b *Broker) lookup(channel string) *Channel {
	s, _ := b.locate(channel)
	s.mu.RLock()
	c := s.channels[channel]
	s.mu.RUnlock()
	return c
}

// lock answers the channel with its lock held, or nil if there is none.
func (b *Broker) lock(channel string) *Channel {
	for {
		c := b.lookup(channel)
		if c == nil {
			return nil
		}
		c.mu.Lock()
		if !c.dead {
			return c
		}
		c.mu.Unlock() // freed after the look-up; it has left the map
	}
}

// lockOrMake answers the channel with its lock held, and makes it if there is none. Whoever calls it
// lets go with unlock, which frees the channel if nothing came into it.
func (b *Broker) lockOrMake(channel string) (*Channel, error) {
	for {
		if b.closed.Load() {
			return nil, ErrClosed
		}
		if c := b.lock(channel); c != nil {
			return c, nil
		}
		if err := b.add(strings.Clone(channel)); err != nil {
			return nil, err
		}
	}
}

// add puts in an empty channel, unless somebody else was faster.
func (b *Broker) add(name string) error {
	if most := b.config.Channels; b.channels.Add(1) > int64(most) && most > 0 {
		b.channels.Add(-1)
		return ErrTooManyChannels
	}
	s, slot := b.locate(name)
	c := &Channel{shard: s, name: name, policy: b.policyOf(name)}
	s.mu.Lock()
	_, exists := s.channels[name]
	if !exists {
		c.epoch = b.epoch(s, slot)
		s.channels[name] = c
	}
	s.mu.Unlock()
	if exists {
		b.channels.Add(-1)
	}
	return nil
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
		b.journal.Forget(c.name)
	}
}
