package documents

import (
	"sync"
	"time"

	"weir/internal/contain"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
)

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

// Name implements relay.System.
func (s *System) Name() string { return Name }

// Start implements relay.System.
func (s *System) Start(core *relay.Core) error {
	s.documents = newDocuments(core)
	policy := config.Namespace{Publish: config.Capability}
	if core.Config().Dev {
		policy = config.Namespace{Subscribe: config.Authenticated, Publish: config.Authenticated}
	}
	if err := core.Reserve(namespace, policy); err != nil {
		return err
	}
	if err := s.documents.store.reserve(); err != nil {
		return err
	}
	for _, name := range []string{namespace, logNamespace, headNamespace} {
		core.Guard(name, func(*auth.Identity, auth.Ops, string) hub.Verdict { return hub.Denied }, nil)
	}
	live := func(path string, kind Kind, c codec, forbidden int, r relay.Live) {
		core.Live(path, (&protocol{core, s.documents, kind, c, forbidden}).route(r))
	}
	text, updates := messages{native{}, true}, messages{opaque{}, false}
	live("/documents/{id}/collaborate", Text, text, closeForbidden, relay.Live{Errors: true, Ping: text.ping})
	live("/documents/opaque/{id}", Opaque, updates, closeForbidden, relay.Live{Errors: true, Ping: updates.ping})
	live("/documents/sharedb", Text, newShareDB(), closeForbidden, relay.Live{})
	live("/documents/yjs/{id}", Yjs, yWebsocket{}, closeYjsForbidden, relay.Live{Binary: true})
	(&api{core, s.documents}).serve()
	s.stop = make(chan struct{})
	core.Contain().Loop(&s.stopped, "sweep of documents", contain.Closed(s.stop), s.sweep, nil) // Close stops it and waits
	return nil
}

func (s *System) sweep() {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.documents.sweep()
		case <-s.stop:
			return
		}
	}
}

// Close implements relay.System.
func (s *System) Close() {
	close(s.stop)
	s.stopped.Wait()
	s.documents.stop()
}
