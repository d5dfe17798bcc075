package documents

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/contain"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/message"
)

// Documents are the documents that are open. No two of them share a lock.
type Documents struct {
	// Set once by newDocuments.
	store  content.Store
	config Config
	now    func() time.Time
	counts counters

	wake chan struct{} // of capacity 1: documents have moved to other nodes

	open    sync.Map // of *Document by id
	number  atomic.Int64
	closed  atomic.Bool
	working sync.WaitGroup // drains
}

func newDocuments(host relay.Host) *Documents {
	s := &Documents{store: content.Store{Host: host}, config: *config.Of[Config](host.Config()), now: host.Now, wake: make(chan struct{}, 1)}
	s.counts = newCounters(host.Metrics(), s)
	return s
}

// get opens a document and takes hold of it: it stays open until release. Nothing is read yet.
// ErrNotOwner: another node owns it.
func (s *Documents) get(id string) (*document, error) {
	for {
		if s.store.Host.Elsewhere(content.Channel(id)) {
			return nil, cluster.ErrNotOwner
		}
		x, ok := s.open.Load(id)
		if !ok {
			if s.number.Load() >= int64(s.config.Open) && !s.evict() {
				return nil, errOpen
			}
			var raced bool
			x, raced = s.open.LoadOrStore(id, &document{set: s, id: id, channel: content.Channel(id), touched: s.now(), unconfirmed: !s.store.Host.Alone()})
			if !raced {
				s.number.Add(1)
			}
		}
		d := x.(*document)
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

// hold calls f with the lock of a document, which is in memory and of a kind ("": of any). If f keeps it, the document stays
// open until release.
func (s *Documents) hold(id string, kind content.Kind, f func(d *document) (keep bool, err error)) error {
	d, err := s.get(id)
	if err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			d.release()
		}
	}()
	return d.use(kind, func() error {
		keep, err = f(d)
		return err
	})
}

// with is hold for as long as f runs.
func (s *Documents) with(id string, kind content.Kind, f func(d *document) error) error {
	return s.hold(id, kind, func(d *document) (bool, error) { return false, f(d) })
}

// evict closes documents that nothing holds. It reports whether there were any.
func (s *Documents) evict() (evicted bool) {
	for _, d := range s.open.Range {
		evicted = d.(*document).unload(s.now(), 0) || evicted
	}
	return evicted
}

// sweep removes cursors whose time is over, and has documents leave memory that have not been used for a while.
func (s *Documents) sweep() {
	now := s.now()
	hook := s.store.Host.Contain()
	for _, x := range s.open.Range {
		hook.Do("sweep of a document", func() {
			d := x.(*document)
			if d.left() {
				return
			}
			d.expire(now)
			d.unload(now, s.config.Idle)
		})
	}
}

// moved notes which documents this node owns no more, or has owned no more for a moment: what is in memory of them may be old.
func (s *Documents) moved(of func(key string) bool, gained bool) {
	if gained {
		return
	}
	for _, x := range s.open.Range {
		if d := x.(*document); of(d.channel) {
			d.moved.Store(true)
			select {
			case s.wake <- struct{}{}:
			default: // it is about to look
			}
		}
	}
}

// stop waits for what is on its way to the disk. No document changes after that.
func (s *Documents) stop() {
	s.closed.Store(true)
	s.working.Wait()
}

// sweepEvery is how often documents are looked at for what time has done.
const sweepEvery = time.Second

// System serves documents. Make it with New.
type System struct {
	// Set once by Start.
	documents *Documents
	stop      chan struct{}
	stopped   sync.WaitGroup
}

// New makes the system; its limits are those of the configuration that it is started with.
func New() *System { return new(System) }

func (s *System) Name() string { return Name }

func (s *System) Start(host relay.Host) error {
	s.documents = newDocuments(host)
	policy := config.Namespace{Publish: config.Capability}
	if host.Config().Dev {
		policy = config.Namespace{Subscribe: config.Authenticated, Publish: config.Authenticated}
	}
	if err := host.Reserve(content.Namespace, policy); err != nil {
		return err
	}
	if err := s.documents.store.Reserve(); err != nil {
		return err
	}
	for _, name := range []string{content.Namespace, content.LogNamespace, content.HeadNamespace} {
		host.Guard(name, func(*auth.Identity, auth.Ops, string) hub.Verdict { return hub.Denied }, nil)
	}
	host.Moved(Name, s.documents.moved)
	live := func(path string, kind content.Kind, c codec, forbidden int, r relay.WebSocketRoute) {
		if strings.Contains(path, "{id}") {
			r.Key = documentKey
		}
		host.WebSocket(path, (&protocol{host, s.documents, kind, c, forbidden}).route(r))
	}
	text, updates := messages{native{}, message.Text, true}, messages{opaque{}, message.Opaque, false}
	live("/documents/{id}/collaborate", content.Text, text, closeForbidden, relay.WebSocketRoute{Errors: true, Ping: text.ping})
	live("/documents/opaque/{id}", content.Opaque, updates, closeForbidden, relay.WebSocketRoute{Errors: true, Ping: updates.ping})
	live("/documents/sharedb", content.Text, newShareDB(), closeForbidden, relay.WebSocketRoute{})
	live("/documents/yjs/{id}", content.Yjs, yWebsocket{}, closeYjsForbidden, relay.WebSocketRoute{Binary: true})
	(&api{host, s.documents}).serve()
	s.stop = make(chan struct{})
	host.Contain().Loop(&s.stopped, "sweep of documents", contain.Closed(s.stop), s.sweep, nil) // Close stops it and waits
	return nil
}

func (s *System) sweep() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.documents.sweep()
		case <-s.documents.wake:
			s.documents.sweep()
		case <-s.stop:
			return
		}
	}
}

func (s *System) Close() {
	close(s.stop)
	s.stopped.Wait()
	s.documents.stop()
}
