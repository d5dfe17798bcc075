package cluster

import (
	"slices"
	"strings"
	"sync"
	"time"
	"weir/relay/cluster/link"
)

// Merger is a kind of state of which every process has parts, and the owner of a key the whole: who is in a channel, say. A part is
// told to the owner with Report when it changes, and all of them are told anew when the key has another owner or something
// was lost on the way.
type Merger interface {
	// Each calls tell with every part that this process has of the keys for which of is true, and since when it has been
	// there. It takes the lock that is held when Report is called for the part, so that what is told last is the newest.
	Each(of func(key string) bool, tell func(key, name string, since time.Time, value []byte))

	// Opened is called when this process begins to own keys: it may note what it knows of them. Merge is called for each part
	// that is there already.
	Opened(of func(key string) bool)

	// Merge is called where the key is owned when a part of a name was told or is over, with all that there are now. It must not block, and
	// must not call the cluster, or keep parts.
	Merge(key, name string, parts []Part, why Why)

	// Lost is called when this process owns keys no more.
	Lost(of func(key string) bool)
}

// Part is what one process says under a name of a key.
type Part struct {
	Session string // of the process
	Value   []byte // not changed any more

	known bool
	stale bool // it is being told anew, and has not come yet
	term  uint64
}

// Why is what a Merge is about.
type Why struct {
	Known  bool // the part was there before, and an owner before this one has told of it
	Abrupt bool // a part is over since its process is not heard any more, or was cut off: it may come back
}

// partKey is a key of a kind.
type partKey struct{ kind, key string }

// shared is the parts of one partition, at its owner or whoever is about to be.
type shared struct {
	// Guarded by mu, which is taken after the locks of Merger.Each and held during Merge.
	mu    sync.Mutex
	open  bool // this process owns the partition, and merges
	parts map[partKey]map[string][]Part
}

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
		c.part(c.session, o.term, kind, strings.Clone(key), strings.Clone(name), value, why)
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
		if p := r.Uint(); r.Err == nil && p < uint64(len(c.shared)) {
			c.swept(m.session, int(p), what == partsEnd)
		}
	case partsTell, partsOver:
		kind, key, name, term := strings.Clone(r.Text()), strings.Clone(r.Text()), strings.Clone(r.Text()), r.Uint()
		flag := r.Bool()
		if what == partsOver {
			if r.Err == nil {
				c.part(m.session, term, kind, key, name, nil, Why{Abrupt: flag})
			}
			return
		}
		if value := append([]byte{}, r.Bytes()...); r.Err == nil {
			c.part(m.session, term, kind, key, name, value, Why{Known: flag})
		}
	case partsAsk:
		c.tellAnew(m.session)
	}
}

// part notes a part of a process.
func (c *Cluster) part(session string, term uint64, kind, key, name string, value []byte, why Why) {
	p := c.partition(key)
	s := &c.shared[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := c.owners[p].Load(); o != nil && o.term > term || o != nil && o.term == term && o.Session != c.session {
		return // it is another one's by now, who is told
	}
	k := partKey{kind, key}
	list := s.parts[k][name]
	at := slices.IndexFunc(list, func(p Part) bool { return p.Session == session })
	switch {
	case value == nil && at < 0:
		return
	case value == nil:
		list = slices.Delete(list, at, at+1)
	case at < 0:
		list = append(list, Part{session, value, why.Known, false, term})
	default:
		list[at] = Part{session, value, list[at].known, false, term}
	}
	s.put(k, name, list)
	c.merge(s, k, name, list, why)
}

// put replaces the parts under a name. The caller holds mu.
func (s *shared) put(k partKey, name string, list []Part) {
	names := s.parts[k]
	if len(list) > 0 {
		if names == nil {
			if s.parts == nil {
				s.parts = make(map[partKey]map[string][]Part)
			}
			names = make(map[string][]Part)
			s.parts[k] = names
		}
		names[name] = list
		return
	}
	if delete(names, name); len(names) == 0 {
		delete(s.parts, k)
	}
}

func (c *Cluster) merge(s *shared, k partKey, name string, list []Part, why Why) {
	if m := c.mergers[k.kind]; s.open && m != nil {
		m.Merge(k.key, name, list, why)
	}
}

// swept begins, or ends, that a process tells all its parts of a partition: those that have not come are over.
func (c *Cluster) swept(session string, p int, end bool) {
	s := &c.shared[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !end {
		for _, names := range s.parts {
			for _, list := range names {
				for i := range list {
					list[i].stale = list[i].stale || list[i].Session == session
				}
			}
		}
		return
	}
	c.prune(s, Why{}, func(p *Part) bool { return p.Session == session && p.stale })
}

// prune ends parts. The caller holds s.mu.
func (c *Cluster) prune(s *shared, why Why, which func(p *Part) bool) {
	for k, names := range s.parts {
		for name, list := range names {
			if !slices.ContainsFunc(list, func(p Part) bool { return which(&p) }) {
				continue
			}
			list = slices.DeleteFunc(list, func(p Part) bool { return which(&p) })
			s.put(k, name, list)
			c.merge(s, k, name, list, why)
		}
	}
}

// absent ends the parts of a process that is not heard any more.
func (c *Cluster) absent(session string) {
	for p := range c.shared {
		s := &c.shared[p]
		s.mu.Lock()
		c.prune(s, Why{Abrupt: true}, func(p *Part) bool { return p.Session == session })
		s.mu.Unlock()
	}
}

// of selects the keys of a partition.
func (c *Cluster) of(p int) func(key string) bool {
	return func(key string) bool { return c.partition(key) == p }
}

// openParts has this process put together what is told of a partition.
func (c *Cluster) openParts(p int) {
	s := &c.shared[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	o := c.owners[p].Load()
	if s.open || o == nil || o.Session != c.session {
		return
	}
	c.prune(s, Why{}, func(p *Part) bool { return p.term < o.term }) // left of before
	s.open = true
	for _, m := range c.mergers {
		m.Opened(c.of(p))
	}
	for k, names := range s.parts {
		for name, list := range names {
			c.merge(s, k, name, list, Why{Known: list[0].known})
		}
	}
}

// closeParts drops what was told of a partition that another process owns since a term. What was told for a later one stays: whoever told it has
// seen rows of the table that this process is about to see, and tells it once.
func (c *Cluster) closeParts(p int, term uint64) {
	s := &c.shared[p]
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, names := range s.parts {
		for name, list := range names {
			s.put(k, name, slices.DeleteFunc(list, func(p Part) bool { return p.term <= term }))
		}
	}
	if !s.open {
		return
	}
	s.open = false
	for _, m := range c.mergers {
		m.Lost(c.of(p))
	}
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

// teller tells parts anew until the cluster is left.
func (c *Cluster) teller() {
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
		for kind, m := range c.mergers {
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
		c.swept(c.session, p, what == partsEnd)
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
