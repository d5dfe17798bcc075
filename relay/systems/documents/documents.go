package documents

import (
	"sync"
	"sync/atomic"
	"time"

	"weir/relay"
	"weir/relay/config"
)

// Documents are those that are open. There is no lock that two of them share.
type Documents struct {
	// Set once by newDocuments.
	shelf  shelf
	config config.Documents
	now    func() time.Time
	counts counters

	open    sync.Map // of *Document by id
	number  atomic.Int64
	closed  atomic.Bool
	working sync.WaitGroup // drains
}

func newDocuments(core *relay.Core) *Documents {
	s := &Documents{shelf: shelf{core}, config: core.Config().Documents, now: core.Now}
	s.counts = newCounters(core.Metrics(), s)
	return s
}

// get opens a document and takes hold of it: it stays open until release. Nothing is read yet.
func (s *Documents) get(id string) (*Document, error) {
	for {
		x, ok := s.open.Load(id)
		if !ok {
			if s.number.Load() >= int64(s.config.Open) && !s.makeRoom() {
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
		dead := d.dead
		if !dead {
			d.holders++
		}
		d.mu.Unlock()
		if !dead {
			return d, nil
		}
	}
}

// makeRoom closes documents that nobody holds. It answers whether there were any.
func (s *Documents) makeRoom() bool {
	made := false
	s.each(func(d *Document) { made = d.leave(s.now(), 0) || made })
	return made
}

// sweep sees to what time has done: cursors whose time is over, and documents that nobody has used for a while,
// which leave memory.
func (s *Documents) sweep() {
	now := s.now()
	hook := s.shelf.core.Contain()
	s.each(func(d *Document) {
		hook.Do("sweep of a document", func() {
			d.expire(now)
			d.leave(now, s.config.Idle)
		})
	})
}

func (s *Documents) each(f func(d *Document)) {
	s.open.Range(func(_, x any) bool {
		f(x.(*Document))
		return true
	})
}

// stop waits for what is on its way to the disk. No document is changed any more.
func (s *Documents) stop() {
	s.closed.Store(true)
	s.working.Wait()
}
