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

	regaining map[string]chan struct{} // replicas that are loaded just now, each closed after that; see regain

	// Atomic: sums over the shard's channels.
	items   atomic.Int64
	changes atomic.Int64
	bytes   atomic.Int64
	expired atomic.Uint64

	_ [16]byte // to two cache lines, so that shards do not share one
}

func (b *Broker) locate(channel string) (s *shard, slot int) {
	hash := maphash.String(b.seed, channel)
	return &b.shards[hash%shardCount], int(hash / shardCount % slotCount)
}

// lookup returns the channel or nil. It may be dead by the time it is locked, or not loaded yet.
func (b *Broker) lookup(channel string) *Channel {
	s, _ := b.locate(channel)
	s.mu.RLock()
	c := s.channels[channel]
	s.mu.RUnlock()
	return c
}

// lock is find for reading; nil if there is no such channel or it cannot be loaded. What a replica of one of the store's has is not read once the channel is owned here: the store may
// not have all of that.
func (b *Broker) lock(channel string) *Channel {
	for {
		c, _ := b.find(channel, false, false)
		if c == nil || !c.regains() {
			return c
		}
		c.unlock()
		if b.Promote(channel) != nil {
			return nil
		}
	}
}

// existing is find of a channel that is to be changed. Errors: those of find, ErrNoChannel, errReplica.
func (b *Broker) existing(channel string, forget bool) (*Channel, error) {
	for {
		c, err := b.find(channel, false, forget)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
			return nil, ErrNoChannel
		case !c.isReplica():
			return c, nil
		case !c.regains():
			c.unlock()
			return nil, errReplica
		}
		c.unlock()
		if err := b.Promote(channel); err != nil {
			return nil, err
		}
	}
}

// find returns the channel with its lock held. If there is none it makes one that is needed, and returns nil otherwise.
// With forget, a channel that its store cannot read is dropped. The caller ends with unlock, which frees a channel that
// keeps nothing.
//
// Errors: ErrClosed, ErrBroken, ErrTooManyChannels, those of the store.
func (b *Broker) find(channel string, needed, forget bool) (*Channel, error) {
	for {
		if needed && b.closed.Load() {
			return nil, ErrClosed
		}
		if c, err := b.lockLoaded(channel); c != nil || err != nil {
			return c, err
		}
		if !needed && b.config.Store == nil && b.config.Cluster == nil {
			return nil, nil
		}
		policy := b.policyOf(channel)
		var c *Channel
		var err error
		switch {
		case b.elsewhere(channel) && b.closed.Load(), policy.Durable && b.config.Store != nil && b.closed.Load():
			return nil, ErrClosed
		case b.elsewhere(channel):
			c, err = b.load(replicas{b.config.Cluster}, channel, policy, needed, false)
		case policy.Durable && b.config.Store != nil:
			c, err = b.load(b.config.Store, channel, policy, needed, forget)
		case needed:
			if err = b.put(&Channel{name: strings.Clone(channel), policy: policy}); err == nil {
				if b.elsewhere(channel) { // since a moment ago
					b.Demote(channel)
				}
				continue // to lock it
			}
		}
		if !errors.Is(err, errRaced) && !errors.Is(err, ErrMoved) {
			return c, err
		}
	}
}

// findLoaded is find of a channel that is needed, but waits for no other process, nor for one who loads the channel just now, and for the store only if it may
// load. Errors: those of find, ErrNotLoaded.
func (b *Broker) findLoaded(channel string, load bool) (*Channel, error) {
	for {
		if b.closed.Load() {
			return nil, ErrClosed
		}
		if c, err := b.lockReady(channel); c != nil || err != nil {
			return c, err
		}
		policy := b.policyOf(channel)
		switch {
		case b.elsewhere(channel), b.stores(policy) && !load:
			return nil, ErrNotLoaded
		case b.stores(policy): // Load keeps nothing of a channel that there is not
			c, err := b.load(b.config.Store, channel, policy, true, false)
			if errors.Is(err, errRaced) || errors.Is(err, ErrMoved) {
				continue
			}
			return c, err
		}
		if err := b.put(&Channel{name: strings.Clone(channel), policy: policy}); err != nil && !errors.Is(err, errRaced) {
			return nil, err
		}
		if b.elsewhere(channel) { // since a moment ago
			b.Demote(channel)
		}
	}
}

// findToPublish is findLoaded of a channel that others load just now, too, as long as no other process is waited for.
func (b *Broker) findToPublish(channel string) (*Channel, error) {
	for {
		c, err := b.findLoaded(channel, true)
		if !errors.Is(err, ErrNotLoaded) || b.elsewhere(channel) {
			return c, err
		}
		b.Await(channel) // it is owned here by now, which its loader is about to learn
	}
}

// Load loads a channel into memory, where it stays for half a minute at least and is read without waiting for the
// store, or for the process that owns it. There need not be one of the name. Errors: those of the store, ErrTooManyChannels, ErrClosed. Reads of a
// channel that cannot be loaded find none.
func (b *Broker) Load(channel string) error {
	c, err := b.find(channel, b.elsewhere(channel), false)
	if err != nil {
		return fmt.Errorf("load %s: %w", channel, err)
	}
	if c == nil {
		return nil
	}
	regains := c.regains()
	c.unlock()
	if regains { // or who publishes would wait for that
		return b.Promote(channel)
	}
	return nil
}

// lockLoaded is lock for what is in memory. It waits for a channel that is just being loaded. Errors: ErrBroken.
func (b *Broker) lockLoaded(channel string) (*Channel, error) {
	for {
		c, loading, err := b.lockNow(channel)
		if loading == nil {
			return c, err
		}
		<-loading
	}
}

// lockNow is lockLoaded without waiting: loading is closed when the channel has been loaded.
func (b *Broker) lockNow(channel string) (c *Channel, loading <-chan struct{}, err error) {
	for {
		if c = b.lookup(channel); c == nil {
			return nil, nil, nil
		}
		c.mu.Lock()
		switch {
		case c.broken && !c.dead:
			c.mu.Unlock()
			return nil, nil, ErrBroken
		case !c.dead:
			return c, nil, nil
		}
		d := c.durable
		c.mu.Unlock() // freed after the look-up, so that it has left the map; or still loading
		if d == nil || d.loading == nil {
			continue
		}
		select {
		case <-d.loading:
		default:
			return nil, d.loading, nil
		}
	}
}

// lockReady is lockNow with ErrNotLoaded for a channel that is just being loaded.
func (b *Broker) lockReady(channel string) (*Channel, error) {
	c, loading, err := b.lockNow(channel)
	if loading != nil {
		err = ErrNotLoaded
	}
	return c, err
}

// Await waits until a channel has been loaded, if somebody does that just now.
func (b *Broker) Await(channel string) {
	c, loading, _ := b.lockNow(channel)
	if c != nil {
		c.mu.Unlock()
	}
	if loading != nil {
		<-loading
	}
}

// errRaced is returned if another goroutine was faster.
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

// take removes a channel from the map. With renew, a later channel of the name gets another epoch. Called with its lock
// held.
func (c *Channel) take(renew bool) {
	c.dead = true
	b, s := c.shard.broker, c.shard
	_, slot := b.locate(c.name)
	s.mu.Lock()
	delete(s.channels, c.name)
	if renew {
		b.renew(s, slot, c.epoch) // within the lock: no channel of the name is made in between
	}
	s.mu.Unlock()
	b.channels.Add(-1)
}

// epoch is the current epoch of a slot. Called with s.mu held.
func (b *Broker) epoch(s *shard, slot int) string {
	if s.epochs == nil || s.epochs[slot] == "" {
		return b.first
	}
	return s.epochs[slot]
}

// renew gives the slot's channels from now on another epoch than lost, that of a log being dropped, and returns it.
// Called with s.mu held.
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
	c.clearLog() // an empty one
	if c.isReplica() {
		c.durable.store.Release(c.name)
		c.take(false)
		return
	}
	c.take(c.seq > 0)
	if c.seq > 0 {
		c.journal().Forget(c.name)
	}
}
