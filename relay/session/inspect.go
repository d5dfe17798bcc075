package session

import (
	"net/netip"
	"time"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
)

// Session returns the session of a connection, nil if there is none.
func (m *Manager) Session(connection string) *Session { return m.sessions.byID(connection) }

// Sessions returns all that there are.
func (m *Manager) Sessions() []*Session { return m.sessions.all() }

// SessionsOf returns those of a user.
func (m *Manager) SessionsOf(user string) []*Session { return m.sessions.byUser(user) }

// Leftovers is how many entries of sessions, their users' places and their tokens' ends there are: none when all have ended.
func (m *Manager) Leftovers() int {
	m.expiries.mu.Lock()
	n := len(m.expiries.heap)
	m.expiries.mu.Unlock()
	for i := range m.sessions.parts {
		p := &m.sessions.parts[i]
		p.mu.Lock()
		n += p.conns.Len() + p.users.Len() + len(p.reserved)
		p.mu.Unlock()
	}
	return n
}

// Settle returns when no turn of the session is under way. A connection that cannot be awaited is always in one.
func (s *Session) Settle() {
	if s.conn.Awaitable() {
		s.reading.Lock()
		s.reading.Unlock() //nolint:staticcheck // it was waited for
	}
}

// ID is the connection's id.
func (s *Session) ID() string { return s.id }

// User is the user of the first token, "" for an anonymous one. A new token cannot change it.
func (s *Session) User() string { return s.user }

// Opened is when the client connected, in Unix milliseconds.
func (s *Session) Opened() int64 { return s.opened }

// Pinged notes a sign of life that the client gave on purpose: a ping of its own, or a pong.
func (s *Session) Pinged() { s.lastPing.Store(time.Now().UnixMilli()) }

// LastPing is when the client last did that, or connected, in Unix milliseconds.
func (s *Session) LastPing() int64 { return max(s.lastPing.Load(), s.opened) }

// Transport is how the client is connected: ws or sse.
func (s *Session) Transport() string {
	if s.events {
		return "sse"
	}
	return "ws"
}

// Encoding is what the connection takes.
func (s *Session) Encoding() pool.Encoding { return s.enc }

// Patient reports whether messages may have to wait for a backend's decision or the disk: then they are to be held.
func (s *Session) Patient() bool { return s.manager.patient }

// Protocol is what the session speaks.
func (s *Session) Protocol() Protocol { return s.protocol }

// Conn is the session's connection.
func (s *Session) Conn() *pool.Conn {
	if s.opened == 0 {
		return nil
	}
	return &s.conn
}

// Address is the client's, as limits count it.
func (s *Session) Address() string { return netip.AddrFrom16(s.address).Unmap().String() }

// Identity is who the client is now.
func (s *Session) Identity() *auth.Identity { return s.identity.Load() }

// IdentityNow is who the client is now, if its token is still good; otherwise the error is that it has expired.
func (s *Session) IdentityNow() (*auth.Identity, error) {
	id := s.identity.Load()
	if id.Expires != 0 && !s.manager.Now().Before(id.Expires.Time()) {
		return nil, problem.TokenExpired
	}
	return id, nil
}

// Topic is where the session takes a channel's changes from; nil if it does not follow the channel.
func (s *Session) Topic(channel string) *pool.Topic {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.find(channel); at >= 0 {
		return s.subs[at].topic
	}
	return nil
}

// Follows reports whether the session is subscribed to a channel.
func (s *Session) Follows(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(channel) >= 0 || s.awaits(channel)
}

// EachChannel calls f, under the session's lock, for the channels that it follows, its user's own first, without a fanout, while that is to be made.
func (s *Session) EachChannel(f func(channel string, fanout *hub.Fanout)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeUp()
	if s.awaitsOwn() {
		f(wire.UserChannel(s.user), nil)
	}
	for i := range s.subs {
		f(s.subs[i].fanout.Name, s.subs[i].fanout)
	}
}

// Break has the next turn panic, for tests.
func (s *Session) Break() {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.socket.Break()
}

// SetIdentity has a client be another one, for tests.
func (s *Session) SetIdentity(id *auth.Identity) { s.identity.Store(id) }

// Appends reports whether the client has said that it knows appends: others get sets.
func (s *Session) Appends() bool { return s.features&pool.Appends != 0 }
