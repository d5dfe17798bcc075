package session

import (
	"log/slog"
)

// catch ends a panic on a connection's path, which costs that connection only; then is called, unless it is nil. It is to be
// deferred.
func (m *Manager) catch(s *Session, then func()) {
	if v := recover(); v != nil {
		m.hub.LogPanic(v, slog.String("where", "connection"), slog.String("connection", s.id), slog.String("user", s.user))
		if then != nil {
			defer m.hub.Contain.End("connection", nil)
			then()
		}
	}
}

// Work runs f on a goroutine of the pool that turns of sessions run on, and whose stacks have grown.
func (m *Manager) Work(where string, f, fail func()) {
	if m.workers.Submit(func() { m.hub.Contain.Run(where, f, fail) }) != nil { // it is closed
		m.hub.Contain.Go(nil, where, f, fail)
	}
}
