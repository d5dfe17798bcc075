package hooks

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"weir/internal/contain"
	"weir/relay/auth"
)

// renewals are the connections about which the backend is to be asked again: one question for all with the same credentials.
type renewals struct {
	// Set once by start.
	system *System
	cancel context.CancelFunc
	wake   chan struct{} // holds one value if something has been queued; never closed
	room   chan struct{} // holds a value for each question under way: half of what may be, so that those who wait to come in are not kept out

	work sync.WaitGroup // the loop, and the questions

	// Guarded by mu, a leaf. There are no more of these than sessions.
	mu      sync.Mutex
	pending map[credentialKey]*renewal
	queue   []*renewal
}

// renewal is one question to come.
type renewal struct {
	by          *credentials
	connections []renewed
}

// renewed is a connection and its identity when the time had come.
type renewed struct {
	connection string
	id         *auth.Identity
}

func (r *renewals) start(s *System) {
	r.system, r.wake, r.pending = s, make(chan struct{}, 1), make(map[credentialKey]*renewal)
	r.room = make(chan struct{}, max(s.config.Parallel/2, 1))
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	s.host.Contain().Loop(&r.work, "renewals", contain.Done(ctx), func() { r.run(ctx) }, nil) // ended by stop
}

// stop ends the loop and waits for the questions under way.
func (r *renewals) stop() {
	if r.cancel != nil {
		r.cancel()
		r.work.Wait()
	}
}

// Refresh implements session.Connector.
func (s *System) Refresh(connection string, id *auth.Identity) {
	v := visitOf(id)
	if v == nil {
		return
	}
	r := &s.renewals
	r.mu.Lock()
	p := r.pending[v.by.key]
	if p == nil {
		p = &renewal{by: v.by}
		r.pending[v.by.key] = p
		r.queue = append(r.queue, p)
	}
	p.connections = append(p.connections, renewed{connection, id})
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// next takes the first question to come; nil if there is none.
func (r *renewals) next() *renewal {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return nil
	}
	p := r.queue[0]
	r.queue[0] = nil
	r.queue = r.queue[1:]
	delete(r.pending, p.by.key)
	return p
}

func (r *renewals) run(ctx context.Context) {
	for {
		select {
		case r.room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		p := r.next()
		if p == nil {
			<-r.room
			select {
			case <-r.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		free := func() { <-r.room }
		r.system.host.Contain().Go(&r.work, "renewal", func() { // ends with the question
			r.system.renew(p)
			free()
		}, func() {
			defer free()
			r.system.postpone(p)
		})
	}
}

// renew asks about credentials, and tells the sessions that have come with them.
func (s *System) renew(p *renewal) {
	asked := s.now()
	k, ok := s.clients.Get(p.by.key, asked)
	newer := ok && k.id != nil
	for _, x := range p.connections {
		newer = newer && visitOf(k.id).asked.After(visitOf(x.id).asked) // another connection has asked since
	}
	if !newer {
		var err error
		if k, err = s.askAgain(p.by, asked); err != nil {
			s.postpone(p)
			return
		}
	}
	for _, x := range p.connections {
		s.host.Renew(x.connection, x.id, k.id)
	}
}

// askAgain asks about credentials, and remembers the answer.
func (s *System) askAgain(by *credentials, asked time.Time) (k *known, err error) {
	q, first := s.clients.Renew(by.key)
	if first {
		s.connect(q, by)
	}
	<-q.Done // within the timeout
	switch {
	case q.Err != nil:
		return nil, q.Err
	case q.Value.id != nil && !s.Stands(q.Value.id):
		return nil, errBusy // it was asked before access was revoked
	}
	return q.Value, nil
}

// retryAfter is when a question that had no answer is asked again: after at least half of it.
const retryAfter = 10 * time.Second

// postpone has the backend asked again a little later. What stands goes on standing, until it expires.
func (s *System) postpone(p *renewal) {
	later := s.now().Add(min(retryAfter/2, s.config.Breaker.RestMax) + rand.N(retryAfter/2))
	again := make(map[*auth.Identity]*auth.Identity)
	for _, x := range p.connections {
		if again[x.id] == nil {
			id, v := *x.id, *x.id.Vouched
			v.Refresh = later
			id.Vouched = &v
			again[x.id] = &id
		}
		s.host.Renew(x.connection, x.id, again[x.id])
	}
}
