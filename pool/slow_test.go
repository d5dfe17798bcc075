package pool

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/memnet"
)

// Off the raw path everything goes through the queue, so that the tests of slow readers use in-memory
// connections: they say what is in it.

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
