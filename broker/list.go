package broker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Info describes a channel.
type Info struct {
	Name     string
	Position Position
	Items    int // live ones
	Changes  int // kept in the log
	Readers  int // joined
}

// Channels returns the channels whose names begin with prefix and come after the given one, sorted by name, at most
// limit of them. It looks at every channel: it is not for hot paths. A channel that cannot be read is left out. Errors:
// those of the store, beside what is in memory.
func (b *Broker) Channels(prefix, after string, limit int) (infos []Info, err error) {
	if limit <= 0 {
		limit = defaultLimit
	}
	// Names are gathered up to twice the limit and then cut, so that memory follows the limit.
	var names []string
	bound := ""
	cut := func() {
		slices.Sort(names)
		if len(names) >= limit {
			clear(names[limit:])
			names = names[:limit]
			bound = names[limit-1]
		}
	}
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.RLock()
		for name := range s.channels {
			if name > after && (bound == "" || name < bound) && strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		}
		s.mu.RUnlock()
		if len(names) >= 2*limit {
			cut()
		}
	}
	cut()
	if b.config.Store != nil {
		infos, err = b.config.Store.List(prefix, after, limit)
	}
	for _, name := range names {
		c, _ := b.lockReady(name) // one that is of no use now, or not yet, is left out: its store, or its owner, has it
		if c == nil {
			continue
		}
		info := c.info(b.now())
		if c.durable == nil || c.idle() {
			c.unlock()
		} else {
			c.mu.Unlock() // without touching it: a list is no use of a channel
		}
		infos = slices.DeleteFunc(infos, func(i Info) bool { return i.Name == name })
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b Info) int { return cmp.Compare(a.Name, b.Name) })
	return infos[:min(len(infos), limit)], err
}

func (c *Channel) info(now int64) Info {
	c.trim(now)
	info := Info{Name: c.name, Position: c.position(), Readers: int(c.readers)}
	if c.items != nil {
		info.Items = c.items.count
	}
	if c.log != nil {
		info.Changes = c.log.size
	}
	return info
}

// DeleteGroup deletes the items of a group, each with a change of its own, and returns the position
// after the last and how many there were. Without a group it is defaultGroup.
//
// Errors: ErrNoChannel, ErrClosed and those of the journal and the store, which may come after some were deleted.
func (b *Broker) DeleteGroup(channel, group string) (Position, int, error) {
	if group == "" {
		group = defaultGroup
	}
	receipt, count, err := b.deleteGroup(channel, group)
	if err == nil {
		receipt.Position, err = receipt.Settle()
	}
	if err != nil {
		return Position{}, count, fmt.Errorf("delete group %s of %s: %w", group, channel, err)
	}
	return receipt.Position, count, nil
}

func (b *Broker) deleteGroup(channel, name string) (receipt Receipt, count int, err error) {
	if b.closed.Load() {
		return Receipt{}, 0, ErrClosed
	}
	now := b.now()
	c, err := b.existing(channel, false)
	if err != nil {
		return Receipt{}, 0, err
	}
	defer c.unlock()
	receipt.Position = c.position()
	if c.items == nil || c.items.groups[name] == nil {
		return receipt, 0, nil
	}
	for i := c.items.groups[name].first; i != nil; {
		next := i.next // an inline journal unlinks the item
		if receipt, err = c.publish(now, &Entry{Op: Delete, Group: i.group.name, Key: i.key}, nil); err != nil {
			return receipt, count, err
		}
		count++
		i = next
	}
	return receipt, count, nil
}

// Drop is Clear that waits until it is safe. Errors: ErrNoChannel, ErrClosed, ErrTooManyChannels and those of the journal.
func (b *Broker) Drop(channel string) (Position, error) {
	at, receipt, err := b.clear(channel)
	if err == nil {
		_, err = receipt.Settle()
	}
	if err != nil {
		return Position{}, fmt.Errorf("drop %s: %w", channel, err)
	}
	return at, nil
}

// Clear drops the items, the log and the idempotency keys of a channel. Its readers stay and get a
// Reset. It returns the channel's new position, in another epoch; false if there is no such channel. One that its
// store cannot read any more is dropped too.
func (b *Broker) Clear(channel string) (Position, bool) {
	at, _, err := b.clear(channel)
	return at, err == nil
}

func (b *Broker) clear(channel string) (at Position, receipt Receipt, err error) {
	c, err := b.existing(channel, true)
	if err != nil {
		return Position{}, Receipt{}, err
	}
	defer c.unlock()
	c.torn = true
	c.epoch, c.seq = c.drop(), 0
	c.journal().Forget(c.name)
	if c.subscriber != nil {
		c.subscriber.Reset(c.lost())
	}
	if c.aside != nil && c.aside.tap != nil {
		k := c.export(b.now())
		c.aside.tap.Reset(&k)
	}
	c.torn = false
	return c.position(), c.confirmed(b.now(), c.position()), nil
}
