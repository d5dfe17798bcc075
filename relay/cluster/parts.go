package cluster

import (
	"time"

	"weir/relay/cluster/link"
	"weir/relay/cluster/parts"
)

// The types of package parts that users of a cluster need.
type (
	Merger = parts.Merger
	Part   = parts.Part
	Why    = parts.Why
)

// Report sends this process's part of a key, under a name, to the owner of the key; a nil value: there is no part any more. abrupt says that a
// part that has ended may come back. The caller holds the lock that Merger.Each takes.
func (c *Cluster) Report(kind, key, name string, value []byte, abrupt bool) {
	if o := c.owners[c.partition(key)].Load(); o != nil { // or the next one is told
		c.tell(o, parts.Told(kind, key, name, o.term, value, Why{Abrupt: abrupt}))
	}
}

// tell tells an owner something of this process's parts.
func (c *Cluster) tell(o *owner, x parts.Record) {
	if o.Session == c.session {
		c.parts.Take(c.session, &x)
		return
	}
	c.mu.Lock()
	m := c.members[o.Session]
	c.mu.Unlock()
	if m != nil { // or it is told all when it is heard
		m.link.Append(link.Parts, x.Append)
	}
}

// parted works off a record about parts of another process.
func (c *Cluster) parted(m *member, r *link.Reader) {
	x := parts.ReadRecord(r)
	switch {
	case r.Err != nil:
	case x.What == parts.Ask:
		c.tellAnew(m.session)
	default:
		c.parts.Take(m.session, &x)
	}
}

// partsOwner returns the term in which a partition has its owner, and whether that is this process.
func (c *Cluster) partsOwner(p int) (term uint64, own bool) {
	if o := c.owners[p].Load(); o != nil {
		term, own = o.term, o.Session == c.session
	}
	return term, own
}

// tellAnew has all parts of the partitions that a process owns told to it.
func (c *Cluster) tellAnew(session string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.owners {
		if o := c.owners[p].Load(); o != nil && o.Session == session {
			c.retell(p, time.Time{})
		}
	}
}

// retell has all parts of a partition told to its owner. Those that have been there since before known were told to an owner before.
// Called with mu held.
func (c *Cluster) retell(p int, known time.Time) {
	if before, ok := c.untold[p]; !ok || known.Before(before) {
		c.untold[p] = known
	}
	select {
	case c.telling <- struct{}{}:
	default:
	}
}

// owned is called when a partition has another owner.
func (c *Cluster) owned(p int, before *owner) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var known time.Time
	if before != nil {
		if m := c.members[before.Session]; m != nil {
			known = m.heard.Add(-isolation) // what it was told by then has arrived
		} else if before.Session == c.session {
			known = time.Now()
		}
	}
	c.retell(p, known)
}

// tellParts tells parts anew until the cluster is left.
func (c *Cluster) tellParts() {
	for {
		select {
		case <-c.context.Done():
			return
		case <-c.telling:
		}
		c.mu.Lock()
		untold := c.untold
		c.untold = make(map[int]time.Time)
		c.mu.Unlock()
		owners := make(map[int]*owner)
		for p := range untold {
			if o := c.owners[p].Load(); o != nil {
				owners[p] = o
				c.tell(o, parts.Record{What: parts.Begin, Partition: p})
			}
		}
		for kind, m := range c.parts.Mergers {
			m.Each(func(key string) bool { return owners[c.partition(key)] != nil }, func(key, name string, since time.Time, value []byte) {
				p := c.partition(key)
				c.tell(owners[p], parts.Told(kind, key, name, owners[p].term, value, Why{Known: since.Before(untold[p])}))
			})
		}
		for p, o := range owners {
			c.tell(o, parts.Record{What: parts.End, Partition: p})
		}
	}
}
