package cluster

import (
	"strings"
	"time"

	"weir/relay/cluster/link"
	"weir/relay/cluster/parts"
)

// Mergers put together what all processes say of keys.
type (
	Merger = parts.Merger
	Part   = parts.Part
	Why    = parts.Why
)

// The records of parts begin with one of these.
const (
	partsBegin = 0 // partition, term: all parts of the partition follow
	partsEnd   = 1 // partition: that was all
	partsTell  = 2 // kind, key, name, term, flags, value
	partsOver  = 3 // kind, key, name, term, abrupt
	partsAsk   = 4 // tell anew what I own
)

// Report tells the owner of a key of this process's part under a name; nil: there is none any more. abrupt says of one that is over that it
// may come back. The caller holds the lock of Merger.Each.
func (c *Cluster) Report(kind, key, name string, value []byte, abrupt bool) {
	o := c.owners[c.partition(key)].Load()
	if o == nil {
		return // who is next is told
	}
	c.tellPart(o, kind, key, name, value, Why{Abrupt: abrupt})
}

func (c *Cluster) tellPart(o *owner, kind, key, name string, value []byte, why Why) {
	if o.Session == c.session {
		c.parts.Note(c.session, o.term, kind, strings.Clone(key), strings.Clone(name), value, why)
		return
	}
	c.mu.Lock()
	m := c.members[o.Session]
	c.mu.Unlock()
	if m == nil {
		return // it is told all when it is heard
	}
	m.link.Append(link.Parts, func(w *link.Writer) {
		if value == nil {
			w.Byte(partsOver)
		} else {
			w.Byte(partsTell)
		}
		w.Text(kind)
		w.Text(key)
		w.Text(name)
		w.Uint(o.term)
		if value == nil {
			w.Bool(why.Abrupt)
			return
		}
		w.Bool(why.Known)
		w.Bytes(value)
	})
}

// parted works off a record about parts of another process.
func (c *Cluster) parted(m *member, r *link.Reader) {
	switch what := r.Byte(); what {
	case partsBegin, partsEnd:
		if p := r.Uint(); r.Err == nil && p < uint64(len(c.owners)) {
			c.parts.Sweep(m.session, int(p), what == partsEnd)
		}
	case partsTell, partsOver:
		kind, key, name, term := strings.Clone(r.Text()), strings.Clone(r.Text()), strings.Clone(r.Text()), r.Uint()
		flag := r.Bool()
		if what == partsOver {
			if r.Err == nil {
				c.parts.Note(m.session, term, kind, key, name, nil, Why{Abrupt: flag})
			}
			return
		}
		if value := append([]byte{}, r.Bytes()...); r.Err == nil {
			c.parts.Note(m.session, term, kind, key, name, value, Why{Known: flag})
		}
	case partsAsk:
		c.tellAnew(m.session)
	}
}

// partsOwner says in which term a partition has its owner, and whether that is this process.
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
				c.sweep(o, p, partsBegin)
			}
		}
		for kind, m := range c.parts.Mergers {
			m.Each(func(key string) bool { return owners[c.partition(key)] != nil }, func(key, name string, since time.Time, value []byte) {
				p := c.partition(key)
				c.tellPart(owners[p], kind, key, name, value, Why{Known: since.Before(untold[p])})
			})
		}
		for p, o := range owners {
			c.sweep(o, p, partsEnd)
		}
	}
}

// sweep tells an owner that all parts of a partition follow, or that they have.
func (c *Cluster) sweep(o *owner, p int, what byte) {
	if o.Session == c.session {
		c.parts.Sweep(c.session, p, what == partsEnd)
		return
	}
	c.mu.Lock()
	m := c.members[o.Session]
	c.mu.Unlock()
	if m == nil {
		return
	}
	m.link.Append(link.Parts, func(w *link.Writer) {
		w.Byte(what)
		w.Uint(uint64(p))
	})
}
