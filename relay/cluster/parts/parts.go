package parts

import (
	"slices"
	"sync"
	"time"
)

// Merger is a kind of state of which every process has parts, and the owner of a key the whole: who is in a channel, say. A part is
// told to the owner when it changes, and all of them are told anew when the key has another owner or something was lost on the way.
type Merger interface {
	// Each calls tell with every part that this process has of the keys for which of is true, and since when it has been there. It takes the lock
	// that is held when a part is reported, so that the last report is the newest.
	Each(of func(key string) bool, tell func(key, name string, since time.Time, value []byte))

	// Opened is called when this process begins to own keys. Merge is then called for each part that is there already.
	Opened(of func(key string) bool)

	// Merge is called at the owner of a key when a part of a name was reported or has ended, with all parts that there are now. It must not block,
	// call the cluster, or keep parts.
	Merge(key, name string, parts []Part, why Why)

	// Lost is called when this process no longer owns keys.
	Lost(of func(key string) bool)
}

// Part is what one process reports under a name of a key.
type Part struct {
	Session string // of the process
	Value   []byte // not changed any more

	known bool
	stale bool // it is being told anew, and has not come yet
	term  uint64
}

// Why is why Merge is called.
type Why struct {
	Known  bool // the part was there before, and an owner before this one has told of it
	Abrupt bool // a part is over since its process is not heard any more, or was cut off: it may come back
}

// Store has the parts of all processes that this process knows.
type Store struct {
	Mergers map[string]Merger // by kind; set before parts come

	// Set once.
	partition func(key string) int
	owner     func(p int) (term uint64, own bool)
	tables    []table // by partition
}

// table is the parts of one partition, at its owner or the process that is about to be it.
type table struct {
	mu   sync.Mutex
	open bool // this process owns the partition, and merges
	keys map[key]map[string][]Part
}

// key is a key of a kind.
type key struct{ kind, key string }

// New returns an empty store. partition returns the partition of a key. owner returns the term in which a partition has its owner, 0 if it has
// none, and whether this process is the owner.
func New(partitions int, partition func(key string) int, owner func(p int) (term uint64, own bool)) *Store {
	return &Store{partition: partition, owner: owner, tables: make([]table, partitions)}
}

// lock returns the table of a partition, locked.
func (s *Store) lock(p int) *table {
	t := &s.tables[p]
	t.mu.Lock()
	return t
}

// note takes the part of a process under a name of a key, which it has told to the owner in a term; nil: there is none any more.
func (s *Store) note(session string, term uint64, kind, of, name string, value []byte, why Why) {
	p := s.partition(of)
	t := s.lock(p)
	defer t.mu.Unlock()
	if now, own := s.owner(p); now > term || now == term && !own {
		return // it is another one's by now, who is told
	}
	k := key{kind, of}
	list := t.keys[k][name]
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
	t.put(k, name, list)
	s.merge(t, k, name, list, why)
}

// put replaces the parts under a name. The caller holds mu.
func (t *table) put(k key, name string, list []Part) {
	names := t.keys[k]
	if len(list) > 0 {
		if names == nil {
			if t.keys == nil {
				t.keys = make(map[key]map[string][]Part)
			}
			names = make(map[string][]Part)
			t.keys[k] = names
		}
		names[name] = list
		return
	}
	if delete(names, name); len(names) == 0 {
		delete(t.keys, k)
	}
}

func (s *Store) merge(t *table, k key, name string, list []Part, why Why) {
	if m := s.Mergers[k.kind]; t.open && m != nil {
		m.Merge(k.key, name, list, why)
	}
}

// sweep begins, or ends, that a process tells all its parts of a partition: those that have not come are over.
func (s *Store) sweep(session string, p int, end bool) {
	t := s.lock(p)
	defer t.mu.Unlock()
	if end {
		s.prune(t, Why{}, func(p *Part) bool { return p.Session == session && p.stale })
		return
	}
	for _, names := range t.keys {
		for _, list := range names {
			for i := range list {
				list[i].stale = list[i].stale || list[i].Session == session
			}
		}
	}
}

// prune ends parts. The caller holds t.mu.
func (s *Store) prune(t *table, why Why, which func(p *Part) bool) {
	for k, names := range t.keys {
		for name, list := range names {
			if !slices.ContainsFunc(list, func(p Part) bool { return which(&p) }) {
				continue
			}
			list = slices.DeleteFunc(list, func(p Part) bool { return which(&p) })
			t.put(k, name, list)
			s.merge(t, k, name, list, why)
		}
	}
}

// Absent ends the parts of a process that is not heard any more.
func (s *Store) Absent(session string) {
	for p := range s.tables {
		t := s.lock(p)
		s.prune(t, Why{Abrupt: true}, func(p *Part) bool { return p.Session == session })
		t.mu.Unlock()
	}
}

// of selects the keys of a partition.
func (s *Store) of(p int) func(key string) bool {
	return func(key string) bool { return s.partition(key) == p }
}

// Open has this process put together the parts of a partition, if it owns the partition.
func (s *Store) Open(p int) {
	t := s.lock(p)
	defer t.mu.Unlock()
	term, own := s.owner(p)
	if t.open || !own {
		return
	}
	s.prune(t, Why{}, func(p *Part) bool { return p.term < term }) // left of before
	t.open = true
	for _, m := range s.Mergers {
		m.Opened(s.of(p))
	}
	for k, names := range t.keys {
		for name, list := range names {
			s.merge(t, k, name, list, Why{Known: list[0].known})
		}
	}
}

// Close drops the parts of a partition that another process owns since a term. Those reported for a later term stay: their process has seen
// rows of the table that this one is about to see, and reports once.
func (s *Store) Close(p int, term uint64) {
	t := s.lock(p)
	defer t.mu.Unlock()
	for k, names := range t.keys {
		for name, list := range names {
			t.put(k, name, slices.DeleteFunc(list, func(p Part) bool { return p.term <= term }))
		}
	}
	if !t.open {
		return
	}
	t.open = false
	for _, m := range s.Mergers {
		m.Lost(s.of(p))
	}
}
