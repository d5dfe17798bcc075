package broker

import (
	"slices"
	"time"
)

// Export returns what there is of a channel, owned or a replica. Errors: ErrNoChannel, it is not in memory; ErrNotLoaded, it is about to be; ErrBroken.
func (b *Broker) Export(channel string) (Kept, error) {
	c, err := b.lockReady(channel)
	switch {
	case err != nil:
		return Kept{}, err
	case c == nil:
		return Kept{}, ErrNoChannel
	}
	defer c.mu.Unlock()
	return c.export(b.now()), nil
}

// export returns what there is of a channel. It shares memory that does not change any more. Called with the lock held.
func (c *Channel) export(now int64) Kept {
	e := c.exporter(now)
	e.changes(e.size())
	if c.items != nil {
		e.Items = make([]KeptItem, 0, c.items.count)
		for _, g := range c.items.groups {
			for i := g.first; i != nil; i = i.next {
				e.item(g.name, i, i.value())
			}
		}
	}
	e.keys(0)
	return e.Kept
}

// exportSince returns what has come since a position, or all there is if the log does not go back to it. Called with the lock held.
func (c *Channel) exportSince(now int64, from Position) Kept {
	e := c.exporter(now)
	known := from.Epoch == c.epoch
	if !known {
		from, known = c.joinsAt(from)
	}
	if !known || from.Seq > c.seq || c.seq-from.Seq > uint64(e.size()) {
		return c.export(now)
	}
	e.Partial = true
	e.changes(int(c.seq - from.Seq))
	for _, m := range e.Changes {
		if i := c.items.find(m.Group, m.Key); i != nil && i.ttl != nil {
			e.item(m.Group, i, nil) // the changes have the rest
		}
	}
	e.keys(from.Seq) // one of what changed nothing has the position of the change before
	return e.Kept
}

// exporter puts a Kept together of a channel whose lock is held.
type exporter struct {
	Kept
	channel *Channel
	now     int64
}

func (c *Channel) exporter(now int64) *exporter {
	c.trim(now)
	c.trimKeys(now)
	e := &exporter{channel: c, now: now, Kept: Kept{Position: c.position(), Read: time.Now()}}
	if c.aside != nil {
		e.Forks = slices.Clone(c.aside.forks)
	}
	return e
}

// size is how many changes the log has.
func (e *exporter) size() int {
	if l := e.channel.log; l != nil {
		return l.size
	}
	return 0
}

// at is a time of the channel's by the clock of what is exported.
func (e *exporter) at(then int64) time.Time { return e.Read.Add(time.Duration(then - e.now)) }

// changes adds the last n changes.
func (e *exporter) changes(n int) {
	l := e.channel.log
	if l == nil {
		return
	}
	e.Changes = make([]KeptChange, n)
	for i := range n {
		one := l.at(l.size - n + i)
		v := readChange(one.encoded)
		e.Changes[i] = KeptChange{Op: v.Op, Group: v.Group, Key: v.Key, Data: v.Data, At: e.at(one.at),
			Expired: v.Op == Delete && len(one.encoded) > len(partExpired) && string(one.encoded[len(one.encoded)-1-len(partExpired):len(one.encoded)-1]) == partExpired}
	}
}

func (e *exporter) item(group string, i *item, data []byte) {
	kept := KeptItem{Group: group, Key: i.key, Data: data}
	if i.ttl != nil {
		kept.Ends = e.at(i.ttl.due)
	}
	e.Items = append(e.Items, kept)
}

// keys adds the idempotency keys that came at a position or later, but not those of what was deferred and is not applied: it may never be.
func (e *exporter) keys(from uint64) {
	k := e.channel.keys
	if k == nil {
		return
	}
	for _, s := range k.order[k.head:] {
		if seq := k.seqs[s.key]; seq >= from && seq <= e.channel.seq {
			e.Keys = append(e.Keys, KeptKey{Key: s.key, Seq: seq, At: e.at(s.at)})
		}
	}
}
