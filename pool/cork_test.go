package pool

import (
	"net"
	"testing"
	"testing/synctest"

	"weir/internal/memnet"
)

func TestCork(t *testing.T) {
	bubble(t, Config{Queue: 1000}, func(t *testing.T, p *Pool) {
		t1, t2 := p.Topic(Disconnect, nil), p.Topic(Resync, nil)
		a := memPeer(p, plain)
		a.Cork()
		a.Join(t1, 0, []byte("joined t1;"), nil)
		t1.Deliver(frame(1, "1;"))
		synctest.Wait()
		_ = a.Send([]byte("sent;"))
		a.Join(t2, 0, []byte("joined t2;"), nil)
		a.want(t, "")
		a.Uncork()
		a.want(t, "joined t1;1;sent;joined t2;")
		a.Uncork() // does nothing
		t2.Deliver(frame(1, "2;"))
		a.want(t, "2;")

		// With nothing kept back.
		b := memPeer(p, plain)
		b.Cork()
		b.Uncork()
		b.Join(t1, 1, []byte("joined;"), nil)
		b.want(t, "joined;")

		// What does not fit is treated as ever.
		o := &owner{}
		c := memPeerOf(p, plain, o)
		c.Cork()
		c.Join(t2, 1, []byte("joined;"), nil)
		for _, f := range numbered(2, 20, 100) {
			t2.Deliver(f)
		}
		c.Uncork()
		synctest.Wait()
		if len(o.resyncs) != 1 || o.slows() != 0 {
			t.Errorf("told %d and %d times", len(o.resyncs), o.slows())
		}

		// The end does not wait.
		d := memPeer(p, plain)
		d.Cork()
		d.Reply([]byte("kept back;"), nil)
		d.Shut([]byte("bye;"), false)
		d.want(t, "kept back;bye;")
		d.Uncork()
		e := memPeer(p, plain)
		e.Cork()
		e.Remove(nil)
		e.Cork()
		e.Uncork()
		e.want(t, "")
		for _, x := range []*peer{a, b, c, d} {
			x.Remove(nil)
		}
		synctest.Wait()
		idle(t, p, t1, t2)
	})
}

func TestCorkOnASocket(t *testing.T) {
	p := newPool(t, Config{})
	near, far := tcpPair(t, false)
	c := newPeer(p, near, far, plain, &owner{})
	c.Cork()
	_ = c.Send([]byte("one;"))
	c.Reply([]byte("two;"), nil)
	p.Flush()
	if st := p.Stats(); st.Bytes != 0 || st.Queued != 8 {
		t.Errorf("%+v", st)
	}
	c.Uncork()
	until(t, "what was kept back", func() bool { return c.len() == 8 })
	_ = c.Send([]byte("three;"))
	c.Shut([]byte("bye;"), false)
	until(t, "the end", c.over)
	if got := c.take(); got != "one;two;three;bye;" {
		t.Errorf("got %q", got)
	}
	c.Remove(nil)
	p.Flush()
	idle(t, p)

	// In a closed pool nothing is kept, nor counted.
	p.Close()
	var nc net.Conn
	nc, _ = memnet.Pipe(0)
	late := p.Open(nc, plain, false, &owner{})
	late.Cork()
	late.Uncork()
	idle(t, p)
}
