package session

import "log/slog"

// Catch ends a panic on the connection's path, which costs that connection only; then is called, unless it is nil. It is to be
// deferred.
func (s *Session) Catch(then func()) {
	if v := recover(); v != nil {
		m := s.manager
		m.hub.LogPanic(v, slog.String("where", "connection"), slog.String("connection", s.id), slog.String("user", s.user))
		if then != nil {
			defer m.hub.Contain.End("connection", nil)
			then()
		}
	}
}

// Later counts f in among what a drain waits for. What it returns runs f as Manager.Work does: the session may have ended by then.
func (s *Session) Later(where string, f, fail func()) (start func()) {
	s.manager.readers.Add(1)
	return func() {
		s.manager.Work(where, func() {
			defer s.manager.readers.Done()
			f()
		}, fail)
	}
}

// Work runs f on a goroutine of the pool that turns of sessions run on, and whose stacks have grown.
func (m *Manager) Work(where string, f, fail func()) {
	if m.workers.Submit(func() { m.hub.Contain.Run(where, f, fail) }) != nil { // it is closed
		m.hub.Contain.Go(nil, where, f, fail)
	}
}
