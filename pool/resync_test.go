package pool

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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

// On a connection that is told its position with each frame, nothing is dropped in between: a position
// would claim that it was sent.
func TestTailed(t *testing.T) {
	bubble(t, Config{Queue: 1000}, func(t *testing.T, p *Pool) {
		soft := p.Topic(Resync, nil)
		o := &owner{}
		o.tail = func(dst []byte, tp *Topic, f *Frame) []byte {
			if tp != soft {
				t.Error("of another topic")
			}
			return fmt.Appendf(dst, "id %d;", f.Last)
		}
		a := memPeerOf(p, plain, o)
		a.Join(soft, 0, []byte("joined;"), nil)
		soft.Deliver(frame(1, "1;"))
		a.Reply([]byte("reply;"), nil)
		f := frame(2, "2;")
		f.Overrides = []Override{{Conn: a.Conn, Bytes: []byte("instead;"), Count: 1}}
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
	})
}
