package session

import (
	"net"
	"time"

	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// Place makes s the session of a client for whom there is a place, speaking p. It returns false, with the connection closed, if
// there is none: at the client's address, for its user, or because the relay is draining.
func (m *Manager) Place(s *Session, nc net.Conn, a *Handshake, p Protocol) bool {
	s.manager, s.protocol, s.enc, s.id, s.user, s.address, s.opened = m, p, a.Encoding, a.ID, a.Identity.User, a.Address.As16(), time.Now().UnixMilli()
	s.custom, s.features = a.Custom, a.Features
	if s.id == "" {
		s.id = wire.NewID()
	}
	s.identity.Store(a.Identity)
	s.socket.Heard.Store(true)
	m.readers.Add(1)
	placed := false
	defer func() {
		if !placed {
			m.readers.Done()
		}
	}()
	answer, why := "", problem.TooMany
	switch {
	case m.draining.Load():
		answer, why = ingress.BusyAnswer, problem.Draining
	case a.behind && !m.gate.Addresses.Take(ingress.AddressKey(a.Address), m.hub.Config.Limit.PerAddress):
		m.hub.Counters.Refused.Of("per_address").Inc()
		answer = ingress.TooManyAnswer
	case !m.sessions.reserve(s.user, m.hub.Config.Limit.PerUser):
		m.hub.Counters.Refused.Of("per_user").Inc()
		answer = ingress.TooManyAnswer
		if a.behind {
			m.gate.Addresses.Give(ingress.AddressKey(a.Address))
		}
	default:
		s.counted = a.behind
		placed = true
		return true
	}
	if a.Refusal != nil {
		Refuse(nc, append(a.Head, a.Refusal(why)...))
		return false
	}
	_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = nc.Write([]byte(answer))
	_ = nc.Close()
	return false
}

// ForRequest makes s a session of a request: it has no connection, is not found by others, and ends with the request.
func (m *Manager) ForRequest(s *Session, id *auth.Identity, features pool.Features, p Protocol) {
	s.manager, s.protocol, s.user, s.id, s.features = m, p, id.User, "command:"+id.User, features
	s.identity.Store(id)
}

// Connect gives a session that has a place its connection. Nothing is read yet.
func (s *Session) Connect(nc net.Conn, o websocket.Options) {
	s.open(nc, false)
	o.Deflate = hub.Deflates(s.enc)
	s.socket.Begin(o)
}

func (s *Session) open(nc net.Conn, tails bool) {
	s.subs = s.few[:0]
	s.manager.hub.Pool.OpenIn(&s.conn, nc, s.enc, tails, s)
	s.conn.Know(s.features)
}

// ConnectEvents is Connect for an event stream. With tails its frames are ended by Protocol.Tail.
func (s *Session) ConnectEvents(nc net.Conn, tails bool) {
	s.events = true
	s.open(nc, tails)
	s.socket.Begin(websocket.Options{Rules: s.manager.rules})
}

// FirstTurn starts reading, on the shard's loop. What came with the handshake is handled at once.
func (s *Session) FirstTurn() {
	if s.greeted {
		return
	}
	s.greeted = true
	if s.socket.Pending() || !s.conn.Awaitable() {
		s.Readable()
		return
	}
	s.conn.Await()
}

// Greeted reports, on the shard's loop, whether FirstTurn has been called.
func (s *Session) Greeted() bool { return s.greeted }

// AbortOpen ends a session that could not be opened. Its first turn finds the connection gone.
func (s *Session) AbortOpen() {
	s.ending.Store(true)
	s.conn.Abort()
	s.conn.Reply(nil, s.FirstTurn) // unless it was on its way already
}
