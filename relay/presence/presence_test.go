package presence

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"weir/broker"
	"weir/relay/auth"
)

// stage is presence by itself, in a bubble of time.
type stage struct {
	p *Presence
	b *broker.Broker
	t *testing.T
}

func onStage(t *testing.T, f func(s *stage)) {
	synctest.Test(t, func(t *testing.T) {
		b, err := broker.New(broker.Config{Policy: func(string) broker.Policy { return broker.Policy{HistoryTTL: -1} }})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		p := New(nil)
		p.Start(b)
		f(&stage{p, b, t})
		p.Close()
	})
}

// attend has a user in channel c.
func (s *stage) attend(user, connection string) {
	s.t.Helper()
	if err := s.p.Attend("c", connection, &auth.Identity{User: user}, Attendance{}, true); err != nil {
		s.t.Fatal(err)
	}
}

// told says what was told so far.
func (s *stage) told(want string) {
	s.t.Helper()
	synctest.Wait()
	changes, _, _, ok := s.b.History("presence:c", 0, 0)
	if !ok {
		changes = []byte("[]")
	}
	var ops []string
	var list []struct{ Op, Key string }
	if err := json.Unmarshal(changes, &list); err != nil {
		s.t.Fatal(err)
	}
	for _, c := range list {
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
		if s.p.Heartbeat("c", "a", "u1") {
			t.Error("who was given up is taken for alive")
		}
		if len(s.p.part("c").channels) != 0 {
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
			if !s.p.Heartbeat("c", "b", "u1") {
				t.Fatal("b is given up")
			}
		}
		if s.p.Heartbeat("c", "a", "u1") {
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
		s.p.Detach("c", "a", "u1", true)
		time.Sleep(30 * time.Second)
		s.p.Detach("c", "b", "u1", true)
		time.Sleep(presenceGrace - time.Nanosecond)
		s.told("set u1")
		s.attend("u1", "c")
		time.Sleep(59 * time.Second)
		s.told("set u1")
		s.p.Detach("c", "c", "u1", true)
		s.p.Detach("c", "c", "u1", true) // once too often
		time.Sleep(presenceGrace)
		s.told("set u1, delete u1")
	})
}

// Subscriptions and what clients say are one: a user is there while there is either.
func TestAttendanceBesideSubscriptions(t *testing.T) {
	onStage(t, func(s *stage) {
		id := &auth.Identity{User: "u1"}
		p := s.p
		p.Join("c", "a", id)
		s.attend("u1", "b")
		p.Leave("c", "a", "u1", true)
		time.Sleep(presenceGrace * 2)
		s.told("set u1")
		p.Join("c", "a", id)
		time.Sleep(time.Hour)
		s.told("set u1") // b was given up, a is still there
		s.attend("u1", "b")
		p.Leave("c", "a", "u1", false)
		s.told("set u1")
		s.p.Detach("c", "b", "u1", false)
		s.told("set u1, delete u1")
	})
}

// Who may no longer be in a channel is not, whatever their clients say; others stay.
func TestAttendanceIsRevoked(t *testing.T) {
	onStage(t, func(s *stage) {
		s.attend("u1", "a")
		s.attend("u1", "b")
		s.attend("u2", "c")
		s.p.Expel("c", "u1")
		s.told("set u1, set u2, delete u1")
	})
}

// The end of the relay waits for nobody.
func TestAttendanceAtTheEnd(t *testing.T) {
	onStage(t, func(s *stage) {
		s.attend("u1", "a")
		s.p.Close()
		if err := s.p.Attend("c", "b", &auth.Identity{User: "u2"}, Attendance{}, true); err == nil {
			t.Error("somebody comes after the end")
		}
		time.Sleep(time.Hour)
		s.told("set u1")
	})
}

// A user whose last connection broke off is told gone after the grace, to the moment; one who comes back
// within it never was.
func TestPresenceGrace(t *testing.T) {
	onStage(t, func(s *stage) {
		p, id := s.p, &auth.Identity{User: "u1"}
		p.Join("c", "1", id)
		p.Join("c", "2", id)
		p.Leave("c", "1", "u1", true)
		time.Sleep(time.Hour)
		s.told("set u1")
		p.Leave("c", "2", "u1", true)
		time.Sleep(presenceGrace - time.Nanosecond)
		synctest.Wait()
		s.told("set u1")
		p.Join("c", "2", id)
		time.Sleep(time.Minute)
		if got := string(p.AppendUsers(nil, "c", true)); got != `,"count":1` {
			t.Fatal(got)
		}
		s.told("set u1")
		p.Leave("c", "2", "u1", true)
		time.Sleep(presenceGrace)
		synctest.Wait()
		s.told("set u1, delete u1")
		if len(p.part("c").channels) != 0 {
			t.Error("the channel is still known")
		}
		p.Leave("c", "2", "u1", true) // once too often

		p.Join("c", "1", id) // the end of the relay waits for nobody
		p.Leave("c", "1", "u1", true)
		p.Close()
		p.Join("d", "2", id)
		p.Leave("d", "2", "u1", true)
		time.Sleep(time.Minute)
		if got := string(p.AppendUsers(nil, "d", true)); got != `,"count":0` {
			t.Error(got)
		}
	})
}

// TestPresentIsSmall: a user who says nothing of themselves is one object of the allocator's class of 112 bytes.
func TestPresentIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(present{}); size > 112 {
		t.Errorf("a user has %d bytes", size)
	}
}
