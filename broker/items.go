package broker

import (
	"strings"
	"time"

	"weir/internal/lookup"
)

// items are the live items of a channel, by group and key. There is none of it without any item.
// Guarded by the channel's mu.
type items struct {
	groups map[string]*group
	count  int
	bytes  int    // of groups, keys and data
	state  []byte // the whole snapshot, encoded; nil after a change
}

// group is the items of one group, linked in the order in which they came into being.
type group struct {
	name        string
	items       lookup.Table[item, byKey]
	first, last *item
}

// byKey finds items.
type byKey struct{}

func (byKey) Key(i *item) string { return i.key }

// item is a value.
type item struct {
	datum
	key            string
	group          *group
	previous, next *item
	ttl            *deadline // nil if it never had a time to live
}

func (i *item) bytes() int { return len(i.group.name) + len(i.key) + i.size() }

// left is how long an item with a time to live still has.
func (i *item) left(now int64) time.Duration { return time.Duration(i.ttl.due - now) }

// find returns the item or nil. It may be called on nil.
func (s *items) find(groupName, key string) *item {
	if s == nil {
		return nil
	}
	g := s.groups[groupName]
	if g == nil {
		return nil
	}
	return g.items.Find(key)
}

// datum is the data of an item; nothing if it is not there.
func (s *items) datum(groupName, key string) *datum {
	if i := s.find(groupName, key); i != nil {
		return &i.datum
	}
	return new(datum)
}

// admit reports whether a set stays within the policy.
func (s *items) admit(p *Policy, e *Entry) error {
	count, bytes := 1, len(e.Group)+len(e.Key)+len(e.Data)
	if s != nil {
		count, bytes = count+s.count, bytes+s.bytes
		if i := s.find(e.Group, e.Key); i != nil {
			count, bytes = count-1, bytes-i.bytes()
		}
	}
	return s.within(p, count, bytes)
}

// admitText is admit for an append to what then has size bytes.
func (s *items) admitText(p *Policy, e *Entry, size int) error {
	if s == nil {
		return s.within(p, 1, len(e.Group)+len(e.Key)+size)
	}
	if i := s.find(e.Group, e.Key); i != nil {
		return s.within(p, s.count, s.bytes+size-i.size())
	}
	return s.within(p, s.count+1, s.bytes+len(e.Group)+len(e.Key)+size)
}

// within reports whether so many items of so many bytes are within the policy.
func (s *items) within(p *Policy, count, bytes int) error {
	// What exists may always be set again as long as it does not grow.
	grows := s == nil || bytes > s.bytes
	switch {
	case p.Items > 0 && count > p.Items:
		return ErrTooManyItems
	case p.StateBytes > 0 && bytes > p.StateBytes && grows:
		return ErrStateTooLarge
	}
	return nil
}

// put makes or replaces an item, and reports whether it is new. What an append has grown keeps its time to live, unless it has a new one.
func (c *Channel) put(now int64, e *Entry, d datum) (i *item, created bool) {
	s := c.items
	if s == nil {
		s = &items{groups: make(map[string]*group)}
		c.items = s
	}
	added, size := 0, 0
	if i = s.find(e.Group, e.Key); i == nil {
		key := e.Key
		if e.Form == nil {
			key = strings.Clone(key)
		}
		i, added = s.add(e.Group, key), 1
	} else {
		size = i.held()
		s.bytes -= i.bytes()
	}
	i.datum = d
	s.bytes += i.bytes()
	s.state = nil
	c.shard.count(added, 0, d.held()-size)

	switch expirer := c.shard.expirer; {
	case e.TTL > 0:
		if i.ttl == nil {
			i.ttl = &deadline{channel: c, item: i}
		}
		c.arm(i.ttl, later(now, e.TTL))
	case i.ttl != nil && e.Op != Append:
		expirer.remove(i.ttl)
		i.ttl = nil
	}
	return i, added > 0
}

// add makes an item without data, the last of its group. It keeps the key.
func (s *items) add(groupName, key string) *item {
	g := s.groups[groupName]
	if g == nil {
		g = &group{name: strings.Clone(groupName)}
		s.groups[g.name] = g
	}
	i := &item{key: key, group: g, previous: g.last}
	if g.last == nil {
		g.first = i
	} else {
		g.last.next = i
	}
	g.last = i
	g.items.Put(i)
	s.count++
	return i
}

// remove drops an item, if it is there.
func (c *Channel) remove(groupName, key string) {
	s := c.items
	i := s.find(groupName, key)
	if i == nil {
		return
	}
	if i.ttl != nil {
		c.shard.expirer.remove(i.ttl)
	}
	s.bytes -= i.bytes()
	s.count--
	s.state = nil
	c.shard.count(-1, 0, -i.held())

	g := i.group
	if i.previous == nil {
		g.first = i.next
	} else {
		i.previous.next = i.next
	}
	if i.next == nil {
		g.last = i.previous
	} else {
		i.next.previous = i.previous
	}
	i.previous, i.next = nil, nil
	g.items.Remove(i.key)
	if g.items.Len() == 0 {
		delete(s.groups, g.name)
	}
	if s.count == 0 {
		c.items = nil
	}
}

func (c *Channel) clearItems() {
	if c.items == nil {
		return
	}
	bytes := 0
	for _, g := range c.items.groups {
		for i := g.first; i != nil; i = i.next {
			bytes += i.held()
			if i.ttl != nil {
				c.shard.expirer.remove(i.ttl)
			}
		}
	}
	c.shard.count(-c.items.count, 0, -bytes)
	c.items = nil
}
