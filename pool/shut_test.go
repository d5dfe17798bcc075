package pool

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

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
			want := []string{"1"} // it is being written: half a frame cannot be taken back
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
			lags <- len(c.lagging()) == 1
			c.Shut([]byte("bye;"), false)
		})
	})
	if !<-lags {
		t.Fatal("it does not lag")
	}
	until(t, "it to be closed", func() bool { return p.Stats().Timeouts == 1 && p.Stats().Stalled == 0 })
}

func TestShutOnASocket(t *testing.T) {
	p := newPool(t, Config{Linger: 50 * ms})
	for _, full := range []bool{false, true} {
		near, far := tcpPair(t, true)
		c := p.Open(near, plain, false, &owner{})
		c.Reply([]byte("first;"), nil)
		if full {
			p.Flush()
			fill(t, p, c)
		}
		c.Shut([]byte("last;"), false)
		got, err := io.ReadAll(far) // to the end: the sending side was closed, the connection was not reset
		if err != nil || !strings.HasPrefix(string(got), "first;") || !strings.HasSuffix(string(got), "last;") {
			t.Errorf("full %v: got %s, %v", full, shorten(string(got)), err)
		}
		if !full {
			if _, err := far.Write([]byte("still open")); err != nil {
				t.Errorf("the other direction: %v", err)
			}
			buf := make([]byte, 20)
			if n, err := readOf(t, c, buf); string(buf[:n]) != "still open" {
				t.Errorf("read %q, %v", buf[:n], err)
			}
		}
		// The peer does not close its side: the pool does, after Linger.
		if _, err := readOf(t, c, make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("after Linger: %v", err)
		}
		c.Remove(nil)
	}
	p.Flush()
	idle(t, p)
}

// However much of the queue has left when the rest is given up, what the peer reads is whole frames.
func TestShutWithDropOnASocket(t *testing.T) {
	p := newPool(t, Config{})
	tp := p.Topic(Disconnect, nil)
	body := strings.Repeat("x", 50_000) + "\n"
	for read := range 20 {
		near, far := tcpPair(t, true)
		c := p.Open(near, plain, false, &owner{})
		c.Join(tp, 0, nil, nil)
		for n := range 10 {
			tp.Deliver(frame(uint64(n+1), body))
		}
		p.Flush()
		if p.Stats().Queued == 0 {
			t.Fatal("nothing waits")
		}
		first, err := io.ReadAll(io.LimitReader(far, int64(read*7000)))
		if err != nil {
			t.Fatal(err)
		}
		c.Shut([]byte("bye\n"), true)
		p.Flush() // before the peer reads on
		got, err := io.ReadAll(far)
		got = append(first, got...)
		frames := strings.Count(string(got), "\n") - 1
		if err != nil || frames >= 10 || string(got) != strings.Repeat(body, frames)+"bye\n" {
			t.Fatalf("%d frames, %v: %s", frames, err, shorten(string(got)))
		}
		c.Remove(nil)
	}
	p.Flush()
	idle(t, p, tp)
}
