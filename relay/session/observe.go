package session

import (
	"time"

	"weir/internal/wire"
)

// Observer hears of sessions as they begin, follow channels and end. Its functions are called in the order of what they tell
// of a session, under locks of the session: they must be quick, not block, and call nothing of the relay. nil: nobody wants to know.
type Observer struct {
	Opened func(c Connection)
	Closed func(c Connection, code int, reason string) // 1000 if the client has closed, 1006 if the connection was lost

	// Followed is called when a session begins to follow a channel, and when it no longer does. The user's own channel, and those
	// of a system's event streams, are none of these.
	Followed func(channel string, begun bool)
}

// Connection is a session as observers see it.
type Connection struct {
	ID, User  string // User: "" for an anonymous client
	Transport string // ws or sse
	Since     time.Time
}

// Observe has o hear of sessions. At start.
func (m *Manager) Observe(o Observer) { m.observers = append(m.observers, o) }

func (s *Session) connection() Connection {
	return Connection{s.id, s.user, s.Transport(), time.UnixMilli(s.opened)}
}

// enter lets a session be found, and tells the observers. The caller holds s.mu.
func (m *Manager) enter(s *Session) {
	m.sessions.enter(s)
	for _, o := range m.observers {
		if o.Opened != nil {
			o.Opened(s.connection())
		}
	}
}

// observeEnd tells the observers that a session has ended.
func (s *Session) observeEnd(abrupt bool) {
	if len(s.manager.observers) == 0 {
		return
	}
	code, reason := wire.CloseNormal, "closed by the client"
	if abrupt {
		code, reason = closeLost, "connection lost"
	}
	if why := s.closed.Load(); why != nil {
		if code = why.Code; why.Reason != "" || code > wire.CloseNormal+1 {
			reason = why.Reason
		}
	}
	for _, o := range s.manager.observers {
		if o.Closed != nil {
			o.Closed(s.connection(), code, reason)
		}
	}
}

// closeLost is the code of a connection that broke off (RFC 6455, section 7.4.1). It is never sent.
const closeLost = 1006

// observe tells the observers of a subscription that begins or ends.
func (s *Session) observe(channel string, begun bool) {
	for _, o := range s.manager.observers {
		if o.Followed != nil {
			o.Followed(channel, begun)
		}
	}
}

// noteClosing keeps why the relay closes a session, for the observers.
func (s *Session) noteClosing(why Closing) {
	if len(s.manager.observers) > 0 {
		s.closed.Store(&why)
	}
}
