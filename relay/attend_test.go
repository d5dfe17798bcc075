package relay

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/relay/auth"
)

// stage is presence by itself, in a bubble of time.
type stage struct {
	*Core
	t *testing.T
}

func onStage(t *testing.T, f func(s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		b, err := broker.New(broker.Config{Policy: func(string) broker.Policy { return broker.Policy{HistoryTTL: -1} }})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		r := &Relay{sessions: newRegistry(), broker: b}
		r.presence = &presence{relay: r}
		f(&stage{&Core{relay: r}, t})
		r.presence.close()
	})
}

// attend has a user in channel c.
func (s *stage) attend(user, connection string) {
	s.t.Helper()
	if err := s.Attend("c", connection, &auth.Identity{User: user}, Attendance{}); err != nil {
		s.t.Fatal(err)
	}
}

// told says what was told so far.
func (s *stage) told(want string) {
	s.t.Helper()
	synctest.Wait()
	changes, _, _, ok := s.Broker().History("presence:c", 0, 0)
	if !ok {
		changes = []byte("[]")
	}
	var ops []string
	for _, c := range heardIn(s.t, []byte(`{"changes":`+string(append([]byte(nil), changes...))+`}`)).Changes {
		ops = append(ops, c.Op+" "+c.Key)
	}
	if got := strings.Join(ops, ", "); got != want {
		s.t.Fatalf("told %q, want %q", got, want)
	}
}

// A client that dies before its first heartbeat is gone 60 seconds after it has joined, to the moment.
func TestAttendanceEnds(t *testing.T) {
	onStage(t, func(s *stage) {
		s.attend("u1", "a")
		time.Sleep(60*time.Second - time.Nanosecond)
		s.told("set u1")
		time.Sleep(time.Nanosecond)
		s.told("set u1, delete u1")
		if s.Seen("c", "a", "u1") {
			t.Error("who was given up is taken for alive")
		}
		if len(s.relay.presence.part("c").channels) != 0 {
			t.Error("the channel is still known")
		}
	})
}

// Heartbeats renew for 60 seconds each, without a word; of several connections the last one counts.
func TestAttendanceIsRenewed(t *testing.T) {
	onStage(t, func(s *stage) {
		s.attend("u1", "a")
		s.attend("u1", "b")
		for range 10 {
			time.Sleep(59 * time.Second)
			if !s.Seen("c", "b", "u1") {
				t.Fatal("b is given up")
			}
		}
		if s.Seen("c", "a", "u1") {
			t.Error("a is not given up")
		}
		time.Sleep(60*time.Second - time.Nanosecond)
		s.told("set u1")
		time.Sleep(time.Nanosecond)
		s.told("set u1, delete u1")
	})
}

// A connection that has ended leaves its user 5 seconds to come back.
func TestAttendanceGrace(t *testing.T) {
	onStage(t, func(s *stage) {
		s.attend("u1", "a")
		s.attend("u1", "b")
		s.Departed("c", "a", "u1")
		time.Sleep(30 * time.Second)
		s.Departed("c", "b", "u1")
		time.Sleep(presenceGrace - time.Nanosecond)
		s.told("set u1")
		s.attend("u1", "c")
		time.Sleep(59 * time.Second)
		s.told("set u1")
		s.Departed("c", "c", "u1")
		s.Departed("c", "c", "u1") // once too often
		time.Sleep(presenceGrace)
		s.told("set u1, delete u1")
	})
}

// Subscriptions and what clients say are one: a user is there while there is either.
func TestAttendanceBesideSubscriptions(t *testing.T) {
	onStage(t, func(s *stage) {
		x := &session{relay: s.relay, user: "u1", id: "a"}
		x.identity.Store(&auth.Identity{User: "u1"})
		p := s.relay.presence
		p.join("c", x)
		s.attend("u1", "b")
		p.leave("c", x, true)
		time.Sleep(presenceGrace * 2)
		s.told("set u1")
		p.join("c", x)
		time.Sleep(time.Hour)
		s.told("set u1") // b was given up, a is still there
		s.attend("u1", "b")
		p.leave("c", x, false)
		s.told("set u1")
		s.Absent("c", "b", "u1")
		s.told("set u1, delete u1")
	})
}

// Who may no longer be in a channel is not, whatever their clients say; others stay.
func TestAttendanceIsRevoked(t *testing.T) {
	onStage(t, func(s *stage) {
		s.attend("u1", "a")
		s.attend("u1", "b")
		s.attend("u2", "c")
		s.Revoke("u1", "c", "away with you")
		s.told("set u1, set u2, delete u1")
	})
}

// The end of the relay waits for nobody.
func TestAttendanceAtTheEnd(t *testing.T) {
	onStage(t, func(s *stage) {
		s.attend("u1", "a")
		s.relay.presence.close()
		if err := s.Attend("c", "b", &auth.Identity{User: "u2"}, Attendance{}); err == nil {
			t.Error("somebody comes after the end")
		}
		time.Sleep(time.Hour)
		s.told("set u1")
	})
}

// However many there are, a late joiner gets the full set.
func TestPresenceOfACrowd(t *testing.T) {
	g := open(t)
	const crowd = 20000
	for i := range crowd {
		if err := (&Core{relay: g.relay}).Attend("hall:1", "", &auth.Identity{User: fmt.Sprint("m", i), Name: "Somebody"}, Attendance{}); err != nil {
			t.Fatal(i, err)
		}
	}
	reply, ok := g.relay.broker.Read("presence:hall:1", nil)
	if n := strings.Count(string(reply.State), `"joinedAt"`); !ok || n != crowd {
		t.Error("told", n)
	}
	if a := g.api(200, "GET", "/v1/channels/hall:1/presence?count", ""); a.body != `{"channel":"hall:1","count":20000}` {
		t.Error(a.body)
	}
	if h := g.client("u1").subscribe("presence:hall:1", ""); len(h.State["users"]) != crowd {
		t.Error(len(h.State["users"]))
	}
}
