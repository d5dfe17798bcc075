package documents

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/relay"
	"weir/relay/config"
)

// Documents are the documents that are open. No two of them share a lock.
type Documents struct {
	// Set once by newDocuments.
	store  store
	config Config
	now    func() time.Time
	counts counters

	open    sync.Map // of *Document by id
	number  atomic.Int64
	closed  atomic.Bool
	working sync.WaitGroup // drains
}

func newDocuments(core *relay.Core) *Documents {
	s := &Documents{store: store{core}, config: *config.Of[Config](core.Config()), now: core.Now}
	s.counts = newCounters(core.Metrics(), s)
	return s
}

// get opens a document and takes hold of it: it stays open until release. Nothing is read yet.
func (s *Documents) get(id string) (*Document, error) {
	for {
		x, ok := s.open.Load(id)
		if !ok {
			if s.number.Load() >= int64(s.config.Open) && !s.evict() {
				return nil, errOpen
			}
			var raced bool
			x, raced = s.open.LoadOrStore(id, &Document{set: s, id: id, channel: namespace + ":" + id, touched: s.now()})
			if !raced {
				s.number.Add(1)
			}
		}
		d := x.(*Document)
		d.mu.Lock()
		closed := d.closed
		if !closed {
			d.holders++
		}
		d.mu.Unlock()
		if !closed {
			return d, nil
		}
	}
}

// evict closes documents that nothing holds. It reports whether there were any.
func (s *Documents) evict() bool {
	made := false
	s.each(func(d *Document) { made = d.unload(s.now(), 0) || made })
	return made
}

// sweep removes cursors whose time is over, and has documents leave memory that have not been used for a while.
func (s *Documents) sweep() {
	now := s.now()
	hook := s.store.core.Contain()
	s.each(func(d *Document) {
		hook.Do("sweep of a document", func() {
			d.expire(now)
			d.unload(now, s.config.Idle)
		})
	})
}

func (s *Documents) each(f func(d *Document)) {
	s.open.Range(func(_, x any) bool {
		f(x.(*Document))
		return true
	})
}

// stop waits for what is on its way to the disk. No document changes after that.
func (s *Documents) stop() {
	s.closed.Store(true)
	s.working.Wait()
}
