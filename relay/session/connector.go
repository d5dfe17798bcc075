package session

import (
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/problem"
)

// Connector identifies clients that bring no token, and vouches for them. Its methods may be called concurrently.
type Connector interface {
	// Connect identifies the client of a request, whose Origin, if it has one, is allowed. It returns neither an identity nor an
	// error if it has nothing to say about such requests. It may take seconds, and waits for nothing but the identity.
	Connect(ctx *fasthttp.RequestCtx) (*auth.Identity, *problem.Error)

	// Stands reports whether an identity that Connect returned still stands. It is called once the session can be found by its user.
	Stands(id *auth.Identity) bool

	// Resume returns what lets the client of a connection come back without being identified anew; "" if nothing does.
	Resume(connection string, id *auth.Identity) string

	// Refresh is called when the time to ask again about a client has come. What comes of it is told by Manager.Renew. It must
	// not block.
	Refresh(connection string, id *auth.Identity)

	// Dismiss drops what is remembered of a user, or what lets a connection come back if user is "".
	Dismiss(user, connection string)
}

// UseConnector has c identify clients without a token. At start; by one system.
func (m *Manager) UseConnector(c Connector) { m.connector = c }

// Renew gives a session that was vouched for its new identity: before is the one that it replaces. If id is nil the session is
// closed, 4001. Nothing happens if the session has ended, or has another identity meanwhile.
func (m *Manager) Renew(connection string, before, id *auth.Identity) {
	s := m.sessions.byID(connection)
	if s == nil {
		return
	}
	if id == nil || id.User != s.user {
		if s.identity.Load() == before {
			s.Close(Closing{Code: wire.CloseUnauthorized, Reason: "no longer signed in"})
		}
		return
	}
	switch {
	case !s.identity.CompareAndSwap(before, id):
	case id.Vouched.By == before.Vouched.By: // nothing but the time of the next question is new
		s.Schedule()
	default:
		s.Renewed(id)
	}
}

// Renewed makes a new identity count: what it does not allow any more ends.
func (s *Session) Renewed(id *auth.Identity) {
	s.Schedule()
	s.reviewAll()
	s.renamed(id)
}

// VouchedFor lists the connections of a user that a connector vouches for, with their identities.
func (m *Manager) VouchedFor(user string) map[string]*auth.Identity {
	out := make(map[string]*auth.Identity)
	for _, s := range m.sessions.byUser(user) {
		if id := s.identity.Load(); id.Vouched != nil {
			out[s.id] = id
		}
	}
	return out
}

// confirm closes a session whose identity was taken back while it began.
func (s *Session) confirm() {
	if id := s.identity.Load(); id.Vouched != nil && s.manager.connector != nil && !s.manager.connector.Stands(id) {
		s.Close(Closing{Code: wire.CloseUnauthorized, Reason: "no longer signed in"})
	}
}

// Resume returns what lets the client of a session that is vouched for come back without being identified anew; "" if nothing does.
func (s *Session) Resume() string { return s.manager.connector.Resume(s.id, s.identity.Load()) }

// Refresh extends the session with a new token of the same user. Errors can be told as they are.
func (s *Session) Refresh(token string) (*auth.Identity, error) {
	id, err := s.manager.verifier.Verify(token)
	if err != nil {
		return nil, s.manager.gate.RefusedToken(err)
	}
	if id.User != s.user {
		return nil, problem.Forbidden.With("the token belongs to another user")
	}
	s.identity.Store(id)
	return id, nil
}

// renamed has the session's channels, and where else it has said it is, show what a new token says of its user.
func (s *Session) renamed(id *auth.Identity) {
	s.mu.Lock()
	channels := make([]string, 0, len(s.subs))
	for i := range s.subs {
		if s.subs[i].present {
			channels = append(channels, s.subs[i].fanout.Name)
		}
	}
	s.mu.Unlock()
	for _, channel := range channels {
		s.manager.hub.Presence.Refresh(channel, id)
	}
	for _, f := range s.manager.refreshers {
		f(s.id, id)
	}
}
