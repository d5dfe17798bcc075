package pool

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/memnet"
)

// Off the raw path everything goes through the queue, so that these tests say what is in it.

// numbered is n frames of about size bytes, each with its number.
func numbered(first, n, size int) []*Frame {
	var fs []*Frame
	for i := first; i < first+n; i++ {
		s := fmt.Sprintf("%d:", i)
		fs = append(fs, frame(uint64(i), s+strings.Repeat("x", max(size-len(s)-1, 0))+";"))
	}
	return fs
}

// numbers are those of the frames in s.
func numbers(s string) []string {
	var ns []string
	for part := range strings.SplitSeq(s, ";") {
		if n, _, ok := strings.Cut(part, ":"); ok {
			ns = append(ns, n)
		}
	}
	return ns
}

func TestDisconnect(t *testing.T) {
	bubble(t, Config{Queue: 1000}, func(t *testing.T, p *Pool) {
		var m Meter
		tp := p.Topic(Disconnect, &m)
		fast := memPeer(p, plain)
		o := &owner{}
		slow := memPeerOf(p, plain, o)
		fast.Join(tp, 0, nil, nil)
		slow.Join(tp, 0, nil, nil)
		slow.block(true)
		for _, f := range numbered(1, 10, 100) {
			tp.Deliver(f)
			synctest.Wait()
		}
		if st := p.Stats(); st.Queued != 1000 || st.Stalled != 1 || o.slows() != 0 {
			t.Errorf("at the bound: %+v, told %d times", st, o.slows())
		}
		for _, f := range numbered(11, 20, 100) {
			tp.Deliver(f)
			synctest.Wait()
		}
		tp.Deliver(frame(31, "31:;")) // would fit in when the queue moves, but comes after a gap
		if got := numbers(fast.read()); len(got) != 31 {
			t.Errorf("the fast reader got %v", got)
		}
		if o.slows() != 1 || p.Stats().Queued != 1000 {
			t.Errorf("told %d times, %d bytes queued", o.slows(), p.Stats().Queued)
		}
		if err := slow.Send([]byte("x")); !errors.Is(err, ErrSlow) {
			t.Errorf("send: %v", err)
		}
		slow.block(false)
		tp.Deliver(frame(32, "32:;"))
		if got := numbers(slow.read()); len(got) != 10 || got[9] != "10" { // everything before the gap, nothing after
			t.Errorf("the slow reader got %v", got)
		}
		slow.Shut([]byte("bye;"), true)
		slow.want(t, "bye;")
		if o.slows() != 1 || m.Dropped.Load() == 0 {
			t.Errorf("told %d times, %d dropped", o.slows(), m.Dropped.Load())
		}
		slow.Remove(nil)
		fast.Remove(nil)
		synctest.Wait()
		idle(t, p, tp)
	})
}

// read is what the peer has read once everything has come to rest.
func (c *peer) read() string {
	synctest.Wait()
	return c.take()
}

func TestShutDropsTheQueue(t *testing.T) {
	for _, drop := range []bool{false, true} {
		bubble(t, Config{Queue: 100 << 10}, func(t *testing.T, p *Pool) {
			tp := p.Topic(Disconnect, nil)
			a := memPeer(p, plain)
			a.Join(tp, 0, nil, nil)
			a.block(true)
			for _, f := range numbered(1, 3, 30_000) { // each more than goes into one write
				tp.Deliver(f)
			}
			synctest.Wait()
			_ = a.Send([]byte("4:;"))
			a.Shut([]byte("bye;"), drop)
			a.Shut([]byte("again;"), drop)
			synctest.Wait()
			want := []string{"1"} // it is being written: half a frame can not be taken back
			if !drop {
				want = append(want, "2", "3", "4")
			}
			if st := p.Stats(); drop && st.Queued != 30_004 || !drop && st.Queued != 90_007 {
				t.Errorf("drop %v: %d bytes queued", drop, st.Queued)
			}
			if err := a.Send([]byte("x")); !errors.Is(err, ErrClosed) {
				t.Errorf("send: %v", err)
			}
			a.block(false)
			got := a.read()
			if ns := numbers(got); !strings.HasSuffix(got, ";bye;") || strings.Join(ns, ",") != strings.Join(want, ",") {
				t.Errorf("drop %v: got %v, %s", drop, ns, shorten(got))
			}
			if !a.over() {
				t.Error("the sending side is open")
			}
			idle(t, p)
		})
	}
}

func TestStall(t *testing.T) {
	bubble(t, Config{Stall: 5 * time.Second}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Disconnect, nil)
		slow, stuck := memPeer(p, plain), memPeer(p, plain)
		slow.Join(tp, 0, nil, nil)
		stuck.Join(tp, 0, nil, nil)
		slow.block(true)
		stuck.block(true)
		tp.Deliver(numbered(1, 1, 100_000)[0])
		time.Sleep(4 * time.Second)
		slow.block(false) // in time
		slow.read()
		if p.Stats().Stalled != 1 || stuck.over() {
			t.Errorf("%+v", p.Stats())
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if st := p.Stats(); !stuck.over() || st.Timeouts != 1 || st.Failed != 0 || st.Queued != 0 || st.Stalled != 0 {
			t.Errorf("over %v, %+v", stuck.over(), st)
		}
		if err := stuck.Send(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("send: %v", err)
		}
		if slow.over() {
			t.Error("the other was closed too")
		}
		tp.Deliver(frame(2, "2;"))
		slow.want(t, "2;")
	})
}

// Progress counts, not the time for the whole queue, nor for one item of it.
func TestSlowLinkIsNotStuck(t *testing.T) {
	bubble(t, Config{Stall: 5 * time.Second}, func(t *testing.T, p *Pool) {
		near, far := memnet.Pipe(1000)
		c := p.Open(near, plain, false, &owner{})
		_ = c.Send([]byte(strings.Repeat("x", 10*len(chunk{}))))
		for range 10 {
			time.Sleep(4 * time.Second)
			if _, err := io.ReadFull(far, make([]byte, len(chunk{}))); err != nil {
				t.Fatalf("%v, %+v", err, p.Stats())
			}
		}
		synctest.Wait()
		idle(t, p)
	})
}

func TestResync(t *testing.T) {
	bubble(t, Config{Queue: 1000}, func(t *testing.T, p *Pool) {
		var m Meter
		soft, soft2, hard := p.Topic(Resync, &m), p.Topic(Resync, nil), p.Topic(Disconnect, nil)
		o := &owner{}
		a := memPeerOf(p, plain, o)
		o.onResync = func(tp *Topic) {
			if tp == soft {
				a.Rejoin(tp, 20, []byte("resynced to 20;"))
			}
		}
		a.Join(soft, 0, nil, nil)
		a.Join(soft2, 0, nil, nil)
		a.Join(hard, 0, nil, nil)
		a.block(true)
		soft.Deliver(numbered(1, 1, 100)[0])
		synctest.Wait() // being written
		hard.Deliver(frame(1, "hard 1;"))
		soft2.Deliver(frame(1, "soft2;"))
		for _, f := range numbered(2, 15, 100) { // more than there is room for
			soft.Deliver(f)
		}
		hard.Deliver(frame(2, "hard 2;"))
		a.Reply([]byte("reply;"), nil)
		synctest.Wait()
		_ = a.Send([]byte("sent;"))
		a.After(soft, 16, []byte("after 16;")) // it will not get there, and needs no longer wait
		synctest.Wait()
		if q := p.Stats().Queued; q != int64(100+len("hard 1;hard 2;reply;sent;after 16;")) {
			t.Errorf("%d bytes queued", q)
		}
		if m.Dropped.Load() == 0 {
			t.Error("nothing was dropped")
		}
		if len(o.resyncs) != 0 || o.slows() != 0 {
			t.Errorf("told before it has drained: %d, %d", len(o.resyncs), o.slows())
		}
		time.Sleep(time.Hour) // it may take its time
		a.block(false)
		got := a.read()
		if i := strings.IndexByte(got, ';'); got[i+1:] != "hard 1;hard 2;reply;sent;after 16;resynced to 20;" {
			t.Errorf("got %q", got)
		}
		if len(o.resyncs) != 2 || !slices.Contains(o.resyncs, soft) || !slices.Contains(o.resyncs, soft2) {
			t.Errorf("told %v", o.resyncs)
		}
		soft2.Deliver(frame(2, "not resynced;"))
		soft.Deliver(frame(20, "20;"))
		soft.Deliver(frame(21, "21;"))
		a.want(t, "21;")
		a.Remove(nil)
		synctest.Wait()
		idle(t, p, soft, soft2, hard)
	})
}

// What a pass holds beyond a frame that was dropped must not be sent: it would come after a gap.
func TestNothingAfterADroppedFrame(t *testing.T) {
	bubble(t, Config{Queue: 1000}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Resync, nil)
		o := &owner{}
		a := memPeerOf(p, plain, o)
		a.Join(tp, 0, nil, nil)
		a.block(true)
		_ = a.Send([]byte("busy;"))
		synctest.Wait()
		a.Reply(nil, func() { // one pass
			tp.Deliver(numbered(1, 1, 900)[0])
			tp.Deliver(numbered(2, 1, 900)[0]) // drops 1 and itself
			tp.Deliver(frame(3, "3:;"))        // would fit
		})
		synctest.Wait()
		a.block(false)
		a.want(t, "busy;")
		if len(o.resyncs) != 1 {
			t.Errorf("told %d times", len(o.resyncs))
		}
	})
}

// Leaving and joining again while frames are dropped: the new subscription is resynced.
func TestResyncAfterLeaveAndJoin(t *testing.T) {
	bubble(t, Config{Queue: 1000}, func(t *testing.T, p *Pool) {
		tp := p.Topic(Resync, nil)
		o := &owner{}
		a := memPeerOf(p, plain, o)
		a.Join(tp, 0, nil, nil)
		a.block(true)
		_ = a.Send([]byte("busy;"))
		synctest.Wait()
		left := 0
		a.Leave(tp, 3, []byte("left;"), func() { left++ })
		a.Join(tp, 1, []byte("joined;"), nil)
		for _, f := range numbered(1, 2, 900) {
			tp.Deliver(f)
		}
		synctest.Wait()
		if left != 0 {
			t.Error("left early")
		}
		tp.Deliver(frame(3, "3:;"))
		synctest.Wait()
		if left != 1 {
			t.Errorf("left %d times", left)
		}
		a.block(false)
		a.want(t, "busy;joined;left;")
		if len(o.resyncs) != 1 || tp.Takers(plain) != 1 {
			t.Fatalf("told %d times, %d takers", len(o.resyncs), tp.Takers(plain))
		}
		a.Rejoin(tp, 3, []byte("resynced;"))
		tp.Deliver(frame(4, "4:;"))
		a.want(t, "resynced;4:;")
		// One that leaves while it lags, or that lags while it leaves, is not told.
		a.block(true)
		_ = a.Send([]byte("busy;"))
		synctest.Wait()
		for _, f := range numbered(5, 3, 600) {
			tp.Deliver(f)
		}
		synctest.Wait()
		a.Leave(tp, 8, []byte("left;"), nil)
		synctest.Wait()
		a.block(false)
		a.want(t, "busy;left;")
		if len(o.resyncs) != 1 {
			t.Errorf("told %d times", len(o.resyncs))
		}
		a.Join(tp, 7, nil, nil)
		a.block(true)
		_ = a.Send([]byte("busy;"))
		synctest.Wait()
		a.Reply(nil, func() { // one pass
			for _, f := range numbered(8, 3, 600) {
				tp.Deliver(f)
			}
			a.Leave(tp, 11, []byte("left;"), nil)
		})
		synctest.Wait()
		tp.Deliver(frame(11, "11:;"))
		a.block(false)
		a.want(t, "busy;left;")
		if len(o.resyncs) != 1 {
			t.Errorf("told %d times", len(o.resyncs))
		}
		idle(t, p, tp)
	})
}

// A snapshot larger than the bound must reach a reader that reads, whatever else waits.
func TestRepliesFindRoom(t *testing.T) {
	bubble(t, Config{Queue: 1000}, func(t *testing.T, p *Pool) {
		soft := p.Topic(Resync, nil)
		o := &owner{}
		a := memPeerOf(p, plain, o)
		a.Join(soft, 0, nil, nil)
		a.block(true)
		_ = a.Send([]byte("busy;"))
		synctest.Wait()
		for _, f := range numbered(1, 9, 100) {
			soft.Deliver(f)
		}
		a.Reply([]byte(strings.Repeat("y", 5000)), nil)
		synctest.Wait()
		if q := p.Stats().Queued; q != 5905 {
			t.Errorf("%d bytes queued", q)
		}
		if err := a.Send([]byte("no room;")); !errors.Is(err, ErrSlow) {
			t.Errorf("send: %v", err)
		}
		soft.Deliver(numbered(10, 1, 100)[0]) // drops what may be dropped, and is dropped
		synctest.Wait()
		if q := p.Stats().Queued; q != 5005 || o.slows() != 0 {
			t.Errorf("%d bytes queued, told %d times", q, o.slows())
		}
		a.Reply([]byte("one too many;"), nil)
		synctest.Wait()
		if o.slows() != 1 {
			t.Errorf("told %d times", o.slows())
		}
		// Replies push frames out that a snapshot can stand in for.
		b := memPeerOf(p, plain, &owner{})
		b.Join(soft, 10, nil, nil)
		b.block(true)
		_ = b.Send([]byte("busy;"))
		synctest.Wait()
		for _, f := range numbered(11, 9, 100) {
			soft.Deliver(f)
		}
		synctest.Wait()
		before := p.Stats().Queued
		b.Reply(make([]byte, 200), nil)
		b.Reply(make([]byte, 200), nil)
		synctest.Wait()
		if d := p.Stats().Queued - before; d != 400-900 {
			t.Errorf("%d bytes more are queued", d)
		}
	})
}

// One that lags may take its time, but not to go.
func TestShutWhileLagging(t *testing.T) {
	p := newPool(t, Config{Queue: 100_000, Stall: 30 * ms, Linger: 30 * ms})
	tp := p.Topic(Resync, nil)
	o := &owner{}
	near, _ := tcpPair(t, true)
	c := p.Open(near, plain, false, o)
	c.Join(tp, 0, nil, nil)
	lags := make(chan bool, 1)
	c.Reply(nil, func() { // one pass: there is no time to be stuck before it lags
		for _, f := range numbered(1, 100, 50_000) {
			tp.Deliver(f)
		}
		c.Reply(nil, func() {
			lags <- len(c.lags) == 1
			c.Shut([]byte("bye;"), false)
		})
	})
	if !<-lags {
		t.Fatal("it does not lag")
	}
	until(t, "it to be closed", func() bool { return p.Stats().Timeouts == 1 && p.Stats().Stalled == 0 })
}

// On a connection that is told its position with each frame, nothing is dropped in between: a position
// would claim that it was sent.
func TestTailed(t *testing.T) {
	bubble(t, Config{Queue: 1000}, func(t *testing.T, p *Pool) {
		soft := p.Topic(Resync, nil)
		o := &owner{}
		at := uint64(0)
		o.tail = func(dst []byte, tp *Topic, f *Frame) []byte {
			if tp != soft {
				t.Error("of another topic")
			}
			at = f.Last
			return fmt.Appendf(dst, "id %d;", f.Last)
		}
		a := memPeerOf(p, plain, o)
		a.Join(soft, 0, []byte("joined;"), nil)
		soft.Deliver(frame(1, "1;"))
		a.Reply([]byte("reply;"), nil)
		f := frame(2, "2;")
		f.Instead = []Instead{{Conn: a.Conn, Bytes: []byte("instead;"), Count: 1}}
		soft.Deliver(f)
		soft.Deliver(&Frame{Last: 3}) // nothing sent, nothing told
		soft.Deliver(frame(4, "4;"))
		a.want(t, "joined;1;id 1;reply;instead;id 2;4;id 4;")
		a.block(true)
		for _, f := range numbered(5, 20, 100) {
			soft.Deliver(f)
		}
		synctest.Wait()
		if o.slows() != 1 || len(o.resyncs) != 0 {
			t.Errorf("slow %d, resync %d times", o.slows(), len(o.resyncs))
		}
		a.block(false)
		got := a.read()
		for n, part := range numbers(got) {
			if part != fmt.Sprint(n+5) {
				t.Fatalf("got %q", got)
			}
		}
		if !strings.HasSuffix(got, fmt.Sprintf("id %d;", 4+len(numbers(got)))) {
			t.Errorf("got %q", got)
		}
		_ = at
	})
}
