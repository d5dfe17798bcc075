package pool

import (
	"testing"
	"testing/synctest"
)

func TestJoinAndLeave(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, p *Pool) {
		var m Meter
		tp := p.Topic(Disconnect, &m)
		a, b := memPeer(p, plain), memPeer(p, other)
		tp.Deliver(frame(1, "nobody;")) // posted to no one
		joined := 0
		a.Join(tp, 1, []byte("joined at 1;"), func() { joined++ })
		b.Join(tp, 2, []byte("joined at 2;"), nil)
		if tp.Takers(plain) != 1 || tp.Takers(other) != 1 || tp.Takers(2) != 0 {
			t.Errorf("takers: %d, %d", tp.Takers(plain), tp.Takers(other))
		}
		tp.Deliver(frame(2, "x;")) // b has it
		tp.Deliver(frame(3, "y;"))
		a.want(t, "joined at 1;x;y;")
		b.want(t, "joined at 2;Y;")
		if joined != 1 {
			t.Errorf("then was called %d times", joined)
		}
		left := 0
		a.Leave(tp, 5, []byte("left at 5;"), func() { left++ })
		a.want(t, "")
		tp.Deliver(frame(4, "4;"))
		a.want(t, "4;")
		if left != 0 {
			t.Error("left before everything was sent")
		}
		tp.Deliver(frame(5, "5;"))
		tp.Deliver(frame(6, "6;"))
		a.want(t, "5;left at 5;")
		if left != 1 || tp.Takers(plain) != 0 {
			t.Errorf("left %d times, %d takers", left, tp.Takers(plain))
		}
		b.Leave(tp, 6, []byte("left at once;"), nil)
		b.want(t, "4;5;6;left at once;")
		if m.Frames.Load() != 8 || m.Messages.Load() != 8 || m.Dropped.Load() != 0 {
			t.Errorf("meter: %d frames, %d messages", m.Frames.Load(), m.Messages.Load())
		}
		idle(t, p, tp)
	})
}

func TestFramesReachOnlyWhoLacksThem(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Disconnect, nil)
		a, b, c := memPeer(p, plain), memPeer(p, plain), memPeer(p, other)
		for _, x := range []*peer{a, b, c} {
			x.Join(tp, 0, nil, nil)
		}
		f := frame(1, "one;")
		f.Bytes[other] = nil // nothing for those
		f.Overrides = []Override{{Conn: a.Conn}, {Conn: b.Conn, Bytes: []byte("for b;"), Count: 1}}
		tp.Deliver(f)
		a.want(t, "")
		b.want(t, "for b;")
		c.want(t, "")
		tp.Deliver(frame(2, "two;")) // what was instead is forgotten
		a.want(t, "two;")
		b.want(t, "two;")
		c.want(t, "TWO;")
		// One that is not subscribed may be named: it has left meanwhile.
		b.Leave(tp, 2, nil, nil)
		f = frame(3, "three;")
		f.Overrides = []Override{{Conn: b.Conn, Bytes: []byte("for b;"), Count: 1}}
		tp.Deliver(f)
		a.want(t, "three;")
		b.want(t, "")
	})
}

func TestLeaveAndJoinAtOnce(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Disconnect, nil)
		a := memPeer(p, plain)
		a.Join(tp, 0, []byte("joined;"), nil)
		tp.Deliver(frame(1, "1;"))
		a.Leave(tp, 3, []byte("left at 3;"), nil)
		a.Join(tp, 4, []byte("joined at 4;"), nil) // 4 is in its snapshot
		if tp.Takers(plain) != 2 {
			t.Errorf("%d takers", tp.Takers(plain))
		}
		a.After(tp, 5, []byte("after 5;"))
		for n, s := range []string{"2;", "3;", "4;", "5;", "6;"} {
			tp.Deliver(frame(uint64(n+2), s))
		}
		// The answer to the join does not wait for that to the leave, and frames come once each.
		a.want(t, "joined;1;joined at 4;2;3;left at 3;5;after 5;6;")
		if tp.Takers(plain) != 1 {
			t.Errorf("%d takers", tp.Takers(plain))
		}
		a.Leave(tp, 6, nil, nil)
		a.Join(tp, 6, nil, nil)
		a.Leave(tp, 6, nil, nil)
		a.Remove(nil)
		synctest.Wait()
		idle(t, p, tp)
	})
}

func TestAfter(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Disconnect, nil)
		a := memPeer(p, plain)
		a.After(tp, 9, []byte("not joined;")) // nothing to wait for
		a.Join(tp, 4, nil, nil)
		a.After(tp, 4, []byte("has it;"))
		a.After(tp, 6, []byte("after 6;"))
		a.Reply([]byte("reply;"), nil) // does not wait
		a.want(t, "not joined;has it;reply;")
		tp.Deliver(frame(5, "5;"))
		tp.Deliver(&Frame{Last: 6}) // nothing to send, but a position
		a.want(t, "5;after 6;")
		a.After(tp, 8, nil) // without an answer it is nothing at all
		tp.Deliver(frame(10, "10;"))
		a.want(t, "10;")
	})
}

func TestRejoinNeedsAMember(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Resync, nil)
		a := memPeer(p, plain)
		a.Rejoin(tp, 1, []byte("too early;"))
		a.Join(tp, 0, nil, nil)
		a.Rejoin(tp, 3, []byte("as of 3;"))
		tp.Deliver(frame(3, "3;"))
		tp.Deliver(frame(4, "4;"))
		a.Leave(tp, 4, []byte("left;"), nil)
		a.Rejoin(tp, 9, []byte("too late;"))
		a.want(t, "as of 3;4;left;")
		idle(t, p, tp)
	})
}

func TestRemovedConnection(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, p *Pool) {
		t1, t2 := p.Topic(Disconnect, nil), p.Topic(Disconnect, nil)
		a, b := memPeer(p, plain), memPeer(p, plain)
		for _, c := range []*peer{a, b} {
			c.Join(t1, 0, nil, nil)
			c.Join(t2, 0, nil, nil)
		}
		calls := make(map[string]int)
		call := func(name string) func() { return func() { calls[name]++ } }
		a.Leave(t1, 7, []byte("left;"), call("leave")) // will not come that far
		a.After(t2, 7, []byte("after;"))
		a.Remove(call("remove"))
		a.Remove(call("remove"))
		a.Join(t1, 0, []byte("joined;"), call("join"))
		a.Leave(t1, 9, []byte("left;"), call("leave again"))
		a.Reply([]byte("reply;"), call("reply"))
		a.After(t2, 9, []byte("after;"))
		a.Rejoin(t2, 9, []byte("again;"))
		a.Shut([]byte("bye;"), false)
		tp := p.Topic(Disconnect, nil)
		f := frame(1, "1;")
		f.Overrides = []Override{{Conn: a.Conn, Bytes: []byte("for a;")}}
		t1.Deliver(f)
		tp.Deliver(f)
		b.want(t, "1;")
		a.want(t, "")
		for name, n := range map[string]int{"leave": 1, "remove": 2, "join": 1, "leave again": 1, "reply": 1} {
			if calls[name] != n {
				t.Errorf("%s: then was called %d times, want %d", name, calls[name], n)
			}
		}
		if a.Send([]byte("x")) != ErrClosed {
			t.Error("sent to a removed connection")
		}
		if !a.over() {
			t.Error("still open")
		}
		if len(a.memberships)+len(a.lagging()) > 0 || t1.Takers(plain) != 1 || t2.Takers(plain) != 1 {
			t.Errorf("memberships %v, takers %d, %d", a.memberships, t1.Takers(plain), t2.Takers(plain))
		}
		b.Remove(nil)
		synctest.Wait()
		idle(t, p, t1, t2, tp)
		for i := range p.shards[0].conns {
			if len(p.shards[0].conns[i]) > 0 {
				t.Errorf("connections are left in part %d", i)
			}
		}
	})
}

// A channel's log is lost: what was not sent is dropped, and one frame stands for it.
func TestFrameThatStandsForOthers(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Disconnect, nil)
		a, b, c := memPeer(p, plain), memPeer(p, plain), memPeer(p, plain)
		a.Join(tp, 0, nil, nil)
		b.Join(tp, 0, nil, nil)
		b.Leave(tp, 3, []byte("left;"), nil) // 1 to 3 are dropped
		c.Join(tp, 5, []byte("joined;"), nil)
		c.After(tp, 6, []byte("after 6;"))
		tp.Deliver(frame(4, "lost;"))
		tp.Deliver(frame(5, "5;"))
		tp.Deliver(frame(6, "6;"))
		a.want(t, "lost;5;6;")
		b.want(t, "left;")
		c.want(t, "joined;6;after 6;") // joined after that: not told, and nothing is early
	})
}

func TestSubscribersKeepTheirOrder(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Disconnect, nil)
		var peers []*peer
		for range 200 {
			c := memPeer(p, plain)
			c.Join(tp, 0, nil, nil)
			peers = append(peers, c)
		}
		for i := 0; i < len(peers); i += 3 { // swap-delete shuffles
			peers[i].Leave(tp, 0, nil, nil)
		}
		tp.Deliver(frame(1, "1;"))
		synctest.Wait()
		sl := tp.slots[0].Load()
		for i := 1; i < len(sl.subs); i++ {
			if sl.subs[i-1].conn.order >= sl.subs[i].conn.order {
				t.Fatalf("out of order at %d", i)
			}
		}
		for i := range sl.subs {
			if m := sl.subs[i].conn.memberships[sl.subs[i].at]; m.slot != sl || int(m.at) != i {
				t.Fatalf("the way back from %d leads to %d", i, m.at)
			}
		}
		for i, c := range peers {
			want := "1;"
			if i%3 == 0 {
				want = ""
			}
			c.want(t, want)
			c.Remove(nil)
		}
		synctest.Wait()
		idle(t, p, tp)
	})
}

func TestSeveralTopicsOneWrite(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, p *Pool) {
		t1, t2 := p.Topic(Disconnect, nil), p.Topic(Disconnect, nil)
		a := memPeer(p, plain)
		a.Join(t1, 0, nil, nil)
		a.Join(t2, 0, nil, nil)
		synctest.Wait()
		before := p.Stats().Writes
		a.Reply(nil, func() { // on the loop: what is posted here is one pass
			t1.Deliver(frame(1, "a1;"))
			t2.Deliver(frame(1, "b1;"))
			t1.Deliver(frame(2, "a2;"))
			a.Reply([]byte("reply;"), nil)
		})
		a.want(t, "a1;b1;a2;reply;")
		if n := p.Stats().Writes - before; n != 1 {
			t.Errorf("%d writes", n)
		}
	})
}
