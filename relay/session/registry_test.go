package session

import "testing"

// A session is found by its connection before others are told that its user has it: who then ends one too many finds it.
func TestReportedSessionsAreFound(t *testing.T) {
	g := newRegistry()
	s := &Session{id: "c", user: "u"}
	told := 0
	g.report = func(s *Session, open bool) {
		told++
		if found := g.part(s.id).conns.Find(s.id) == s; found != open { // without the lock, which may be the one that is held
			t.Errorf("open: %t, found: %t", open, found)
		}
	}
	g.reserve(s.user, 1)
	g.enter(s)
	g.remove(s)
	if told != 2 {
		t.Errorf("told %d times", told)
	}
}
