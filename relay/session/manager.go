package session

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/ants/v2"

	"weir/internal/contain"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/session/revoked"
	"weir/relay/websocket"
)

// Manager opens the sessions of clients, finds them, and ends them.
type Manager struct {
	// Set once by New.
	hub      *hub.Hub
	gate     *ingress.Gate
	verifier *auth.Verifier
	Now      func() time.Time // wall clock, for tokens; tests replace it before Start
	tickets  *auth.Tickets
	workers  *ants.Pool                          // what is done beside turns
	turns    *ants.PoolWithFuncGeneric[*Session] // as many as there are connections
	rules    *websocket.Rules                    // of event streams, which send nothing

	// Set at start.
	closers    []func(user, connection string, last bool)   // called when a session has ended
	refreshers []func(connection string, id *auth.Identity) // called when a session has a new token
	connector  Connector                                    // identifies clients without a token; nil: nobody does
	observers  []Observer
	patient    bool // events, and messages of routes of systems, may have to wait for a decision or the disk

	sessions    *registry
	expiries    *expiries
	revocations revoked.List

	// Atomic.
	draining atomic.Bool
	held     atomic.Int64 // bytes of commands that wait for something outside

	readers sync.WaitGroup // sessions; Drain waits
}

// New makes what holds the sessions of a hub's clients. Errors: the pool of workers cannot be made.
func New(h *hub.Hub, gate *ingress.Gate, verifier *auth.Verifier, now func() time.Time) (*Manager, error) {
	m := &Manager{hub: h, gate: gate, verifier: verifier, Now: now, tickets: auth.NewTickets(0), sessions: newRegistry()}
	m.rules = m.Rules(int(h.Config.Limit.Message))
	m.expiries = &expiries{now: func() time.Time { return m.Now() }}
	h.Find = m.sessions.connection
	m.act()
	m.shareTickets()
	m.shareLimits()
	h.Awaiting = m.sessions.gather
	var err error
	if m.turns, err = ants.NewPoolWithFuncGeneric(-1, (*Session).turn, ants.WithPanicHandler(h.Contain.Worker)); err != nil {
		return nil, fmt.Errorf("start readers: %w", err)
	}
	if m.workers, err = ants.NewPool(-1, ants.WithPanicHandler(h.Contain.Worker)); err != nil {
		return nil, fmt.Errorf("start workers: %w", err)
	}
	return m, nil
}

// Start begins to end sessions whose tokens expire, until ctx is done. The goroutine is counted by chores.
func (m *Manager) Start(ctx context.Context, chores *sync.WaitGroup) {
	m.hub.Contain.Loop(chores, "expiries", contain.Done(ctx), func() { m.expiries.run(ctx, m.hub.Contain) }, nil)
}

// Close releases the workers, after Drain.
func (m *Manager) Close() {
	_ = m.turns.ReleaseTimeout(time.Second)
	_ = m.workers.ReleaseTimeout(time.Second)
}

// SystemsStarted notes what the systems have asked for at start: from then on sessions may be opened.
func (m *Manager) SystemsStarted() { m.patient = m.hub.AcksWait() || m.hub.Namespaces.Asks() }

// OnClose calls f when a session has ended: with its user, its connection, and whether that was the last one
// of the user. It must not block. At start.
func (m *Manager) OnClose(f func(user, connection string, last bool)) {
	m.closers = append(m.closers, f)
}

// OnRefresh calls f when a session has been given a new token: with its connection and the identity of the token. It must not
// block. At start.
func (m *Manager) OnRefresh(f func(connection string, id *auth.Identity)) {
	m.refreshers = append(m.refreshers, f)
}

// Draining reports whether sessions are being ended and no new ones are let in.
func (m *Manager) Draining() bool { return m.draining.Load() }

// moves reports whether clients whose sessions end come back to another node.
func (m *Manager) moves() bool { return m.hub.Cluster != nil && m.draining.Load() }

// Held is how many bytes of commands wait for something outside.
func (m *Manager) Held() int64 { return m.held.Load() }

// Len is how many sessions there are.
func (m *Manager) Len() int { return len(m.sessions.all()) }

// Count is how many connections a user has open.
func (m *Manager) Count(user string) int { return len(m.sessions.byUser(user)) }

// Connected reports whether a connection is open.
func (m *Manager) Connected(connection string) bool { return m.sessions.byID(connection) != nil }

// Present reports whether a connection's user is in the presence of a channel since the connection follows it.
func (m *Manager) Present(connection, channel string) bool {
	s := m.sessions.byID(connection)
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.find(channel)
	return at >= 0 && s.subs[at].present
}

// of is the sessions of a user, or the one of a connection if user is "".
func (m *Manager) of(user, connection string) []*Session {
	if user != "" {
		return m.sessions.byUser(user)
	}
	if s := m.sessions.byID(connection); s != nil {
		return []*Session{s}
	}
	return nil
}

// Reconsider drops the decisions about a user, and has the channels that they follow decided about anew.
func (m *Manager) Reconsider(user string) {
	m.hub.Namespaces.Forget(user, "")
	for _, s := range m.sessions.byUser(user) {
		if !s.custom {
			s.reviewAll()
		}
	}
}

// Rules are the rules for WebSockets whose messages have at most limit bytes.
func (m *Manager) Rules(limit int) *websocket.Rules {
	return &websocket.Rules{Limit: limit, Pings: m.hub.Config.Limit.Pings, Counters: m.hub.Counters}
}

// closed tells the systems that a session has ended.
func (m *Manager) closed(s *Session) {
	defer s.Catch(func() {}) // it is over in any case
	s.protocol.Closed()
	if len(m.closers) == 0 {
		return
	}
	last := s.user != "" && len(m.sessions.byUser(s.user)) == 0
	for _, f := range m.closers {
		f(s.user, s.id, last)
	}
}

// Revocations is how many times access to a channel was taken away.
func (m *Manager) Revocations() uint64 { return m.revocations.Made() }
