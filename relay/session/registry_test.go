package session

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

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

// However the sessions of a user come and go, as many have places as were let in and have not gone, and those that are entered are found, the oldest first.
func TestPlacesOfAUser(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const most = 4
		g := newRegistry()
		var waiting, entered []*Session
		take := func(t *rapid.T, from *[]*Session) *Session {
			if len(*from) == 0 {
				t.Skip("there is none")
			}
			i := rapid.IntRange(0, len(*from)-1).Draw(t, "which")
			s := (*from)[i]
			*from = slices.Delete(*from, i, i+1)
			return s
		}
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"reserve": func(t *rapid.T) {
				if ok := g.reserve("u", most); ok != (len(waiting)+len(entered) < most) {
					t.Fatalf("let in: %t, with %d before", ok, len(waiting)+len(entered))
				} else if ok {
					n++
					waiting = append(waiting, &Session{id: fmt.Sprint(n), user: "u"})
				}
			},
			"enter": func(t *rapid.T) {
				s := take(t, &waiting)
				g.enter(s)
				entered = append(entered, s)
			},
			"give up":         func(t *rapid.T) { g.remove(take(t, &waiting)) },
			"end":             func(t *rapid.T) { g.remove(take(t, &entered)) },
			"of another user": func(t *rapid.T) { g.reserve("v", 0) },
			"": func(t *rapid.T) {
				if got := g.byUser("u"); !slices.Equal(got, entered) {
					t.Fatalf("%d sessions are found, want %d", len(got), len(entered))
				}
				for _, s := range entered {
					if g.byID(s.id) != s {
						t.Fatalf("session %s is not found", s.id)
					}
				}
			},
		})
		for _, s := range slices.Concat(waiting, entered) {
			g.remove(s)
		}
		if p := g.part("u"); p.users.Len() > 0 || p.reserved["u"] > 0 {
			t.Fatalf("%d users and %d places are left", p.users.Len(), p.reserved["u"])
		}
	})
}
