package pool

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/contain"
	"weir/internal/memnet"
)

// brittle is an owner that panics.
type brittle struct {
	owner
	in string
}

func (b *brittle) fall(where string) {
	if b.in == where {
		panic(where)
	}
}
func (b *brittle) Tail(dst []byte, _ *Topic, _ *Frame) []byte { b.fall("tail"); return dst }
func (b *brittle) Slow()                                      { b.fall("slow") }
func (b *brittle) Missed()                                    { b.fall("missed") }
func (b *brittle) Resync(*Topic)                              { b.fall("resync") }
func (b *brittle) Heartbeat(time.Time)                        { b.fall("heartbeat") }
func (b *brittle) Check(time.Time)                            { b.fall("check") }

// A panic in what an owner does on the loop, wherever that is, costs its connection, and nobody else misses a frame.
func TestPanicCostsItsConnection(t *testing.T) {
	for _, where := range []string{"tail", "slow", "missed", "resync", "heartbeat", "check", "then"} {
		var told []string
		bubble(t, Config{Shards: 1, Queue: 1000, Panic: func(_ string, v any) { told = append(told, fmt.Sprint(v)) }}, func(t *testing.T, p *Pool) {
			policy := Disconnect
			if where == "resync" {
				policy = Resync
			}
			tp := p.Topic(policy, nil)
			before := memPeer(p, plain)
			o := &brittle{in: where}
			victim, far := memnet.Pipe(0)
			c := p.Open(victim, plain, where == "tail", o)
			after := memPeer(p, plain)
			before.Join(tp, 0, nil, nil)
			c.Join(tp, 0, nil, func() { o.fall("then") })
			after.Join(tp, 0, nil, nil)
			switch where {
			case "slow", "resync":
				victim.BlockWrites(true)
				synctest.Wait()
				for _, f := range numbered(1, 3, 900) {
					tp.Deliver(f)
					synctest.Wait()
				}
				victim.BlockWrites(false)
			case "missed":
				tp.Deliver(&Frame{Last: 1, Missing: true})
			case "heartbeat", "check":
				time.Sleep(80 * time.Second)
			default:
				tp.Deliver(frame(1, "1;"))
			}
			synctest.Wait()
			if len(told) == 0 || told[0] != where {
				t.Errorf("%s: told %q", where, told)
			}
			if where != "then" { // nobody knows whose that was
				if err := c.Send([]byte("x")); err == nil {
					t.Errorf("%s: the connection lives", where)
				}
			}
			before.take()
			after.take()
			tp.Deliver(frame(9, "9;"))
			if where == "missed" { // and so they have
				before.want(t, "")
				after.want(t, "")
			} else {
				before.want(t, "9;")
				after.want(t, "9;")
			}
			_ = far.Close()
			for _, x := range []*peer{before, after} {
				x.Remove(nil)
			}
			c.Remove(nil)
			synctest.Wait()
			idle(t, p, tp)
		})
	}
}

// A frame that could not be built costs those who lack it, and nobody else: they get nothing later, and their last bytes.
func TestMissingFrame(t *testing.T) {
	bubble(t, Config{Shards: 2}, func(t *testing.T, p *Pool) {
		tp, else_ := p.Topic(Disconnect, nil), p.Topic(Resync, nil)
		var peers []*peer
		join := func(t *Topic, from uint64) *peer {
			o := &owner{}
			x := memPeerOf(p, plain, o)
			o.onMissed = func() { x.Shut([]byte("come back;"), true) }
			x.Join(t, from, nil, nil)
			peers = append(peers, x)
			return x
		}
		a, b, later, apart := join(tp, 0), join(tp, 1), join(tp, 3), join(else_, 0)
		leaving, left := join(tp, 0), false
		tp.Deliver(frame(2, "2;"))
		tp.Deliver(&Frame{Last: 2, Missing: true}) // it is there: nobody lacks it
		for _, x := range []*peer{a, b, leaving} {
			x.want(t, "2;")
		}
		leaving.Leave(tp, 3, []byte("left;"), func() { left = true })
		tp.Deliver(&Frame{Last: 3, Missing: true})
		tp.Deliver(frame(4, "4;"))
		a.After(tp, 4, []byte("answer;"))
		else_.Deliver(frame(1, "1;"))
		for _, x := range []*peer{a, b, leaving} {
			x.want(t, "come back;")
			if x.owner.missed != 1 || x.owner.slow != 0 {
				t.Errorf("told %d times that something is missing, %d times that it is slow", x.owner.missed, x.owner.slow)
			}
		}
		later.want(t, "4;")
		apart.want(t, "1;")
		if !left {
			t.Error("who waits for the end of a subscription waits for ever")
		}
		for _, x := range peers {
			_ = x.far.Close()
			x.Remove(nil)
		}
		synctest.Wait()
		idle(t, p, tp, else_)
	})
}

// moody is a scheduler that panics when it is asked to.
type moody struct {
	noScheduler
	panics int  // in that many calls of Run
	flush  bool // in FlushAll
	runs   int
}

func (m *moody) Run(time.Time) time.Time {
	m.runs++
	if m.panics > 0 {
		m.panics--
		panic("run")
	}
	return time.Time{}
}

func (m *moody) FlushAll(time.Time) {
	if m.flush {
		panic("flush")
	}
}

// A panic in the scheduler or in Observe costs nobody anything here: all goes on, the scheduler is called again, and who waits
// for a flush does not wait for ever.
func TestPanicInScheduler(t *testing.T) {
	var told []string
	m := &moody{panics: 3, flush: true}
	cfg := Config{Scheduler: func(*Shard) Scheduler { return m }, Panic: func(_ string, v any) { told = append(told, fmt.Sprint(v)) },
		Observe: func(*Frame, time.Time) { panic("observe") }}
	bubble(t, cfg, func(t *testing.T, p *Pool) {
		tp := p.Topic(Disconnect, nil)
		x := memPeer(p, plain)
		x.Join(tp, 0, nil, nil)
		time.Sleep(10 * schedulerPause)
		synctest.Wait()
		if m.panics != 0 || m.runs < 4 {
			t.Errorf("called %d times", m.runs)
		}
		f := frame(1, "1;")
		f.Since = time.Now()
		tp.Deliver(f)
		x.want(t, "1;")
		p.Flush()
		tp.Deliver(frame(2, "2;"))
		x.want(t, "2;")
		if got := fmt.Sprint(told); got != "[run run run observe flush flush]" {
			t.Errorf("told %s", got)
		}
		_ = x.far.Close()
		x.Remove(nil)
		synctest.Wait()
		idle(t, p, tp)
	})
}

// A panic while mail is handled costs the connection that it is about, or those that the frame is for, and what is to be
// called after it is called.
func TestPanicOverMail(t *testing.T) {
	var told []string
	bubble(t, Config{Panic: func(_ string, v any) { told = append(told, fmt.Sprint(v)) }}, func(t *testing.T, p *Pool) {
		tp, else_ := p.Topic(Disconnect, nil), p.Topic(Disconnect, nil)
		tail := &brittle{in: "tail"}
		near, far := memnet.Pipe(0)
		victim := p.Open(near, plain, true, tail)
		victim.Join(else_, 0, nil, nil)
		reader, other := memPeer(p, plain), memPeer(p, plain)
		reader.Join(tp, 0, nil, nil)
		other.Join(else_, 0, nil, nil)
		synctest.Wait()
		hold := make(chan struct{})
		other.Reply(nil, func() { <-hold }) // so that what comes is handled together
		synctest.Wait()
		else_.Deliver(frame(1, "1;"))
		victim.Shut([]byte("bye"), false) // writes first what is due
		tp.Deliver(&Frame{Last: 1, Overrides: []Override{{Conn: other.Conn}, {}}})
		else_.Deliver(frame(2, "2;"))
		close(hold)
		other.want(t, "1;2;")
		if len(told) != 3 || told[0] != "tail" || told[2] != "tail" { // it gets what comes until it is removed
			t.Errorf("told %q", told)
		}
		for _, c := range []*Conn{victim, reader.Conn} {
			if err := c.Send([]byte("x")); err == nil {
				t.Error("the connection lives")
			}
		}
		removed := false
		victim.Remove(func() { removed = true })
		for _, x := range []*peer{reader, other} {
			_ = x.far.Close()
			x.Remove(nil)
		}
		_ = far.Close()
		synctest.Wait()
		if !removed {
			t.Error("the victim is not removed")
		}
		idle(t, p, tp, else_)
	})
}

// thrown panics once at a place, and answers how often it has.
func thrown(t *testing.T, at string) (times func() int) {
	t.Helper()
	var mu sync.Mutex
	n := 0
	contain.Throw(func(where string) {
		mu.Lock()
		fire := where == at && n == 0
		if fire {
			n++
		}
		mu.Unlock()
		if fire {
			panic("thrown by the test at " + where)
		}
	})
	t.Cleanup(func() { contain.Throw(nil) })
	return func() int { mu.Lock(); defer mu.Unlock(); return n }
}

// Each goroutine of a pool goes on after a panic, or what it was for is done: a connection that was to be closed is, and its
// owner is told.
func TestPanicOfAGoroutine(t *testing.T) {
	for _, at := range []string{"pool shard", "connection's goroutine", "linger", "close"} {
		t.Run(at, func(t *testing.T) {
			times := thrown(t, at)
			var mu sync.Mutex
			told := 0
			bubble(t, Config{Panic: func(string, any) { mu.Lock(); defer mu.Unlock(); told++ }}, func(t *testing.T, p *Pool) {
				tp := p.Topic(Disconnect, nil)
				stays := memPeer(p, plain)
				stays.Join(tp, 0, nil, nil)
				shut := memPeer(p, plain)
				shut.Join(tp, 0, nil, nil)
				time.Sleep(time.Second)
				shut.Shut([]byte("bye"), false)
				time.Sleep(10 * time.Second) // its peer does not close
				synctest.Wait()
				if err := shut.Send([]byte("x")); err == nil {
					t.Error("the connection lives")
				}
				tp.Deliver(frame(1, "1;"))
				if at != "connection's goroutine" { // it may have been this one's
					stays.want(t, "1;")
				}
				shut.Remove(nil)
				stays.Remove(nil)
				synctest.Wait()
				p.Close()
				late := memPeer(p, plain) // of a pool that is closed
				synctest.Wait()
				if err := late.Send([]byte("x")); err == nil {
					t.Error("a connection of a pool that is closed lives")
				}
			})
			if times() != 1 || told != 1 {
				t.Errorf("%d panics, of which %d were told", times(), told)
			}
		})
	}
}
