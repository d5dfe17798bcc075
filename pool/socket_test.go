package pool

import (
	"bufio"
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"weir/internal/rawsock"
)

// tcpPair is a loopback connection: the pool's end and the peer's. Small buffers make writes short.
func tcpPair(t testing.TB, small bool) (near, far *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	d := net.Dialer{Control: func(_, _ string, rc syscall.RawConn) error {
		var err error
		if small {
			_ = rc.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(socketHandle(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
			})
		}
		return err
	}}
	f, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	near, far = n.(*net.TCPConn), f.(*net.TCPConn)
	if small {
		_ = near.SetWriteBuffer(4096)
	}
	t.Cleanup(func() {
		_ = near.Close()
		_ = far.Close()
	})
	return near, far
}

func tcpPeer(t *testing.T, p *Pool, o *owner) *peer {
	near, far := tcpPair(t, false)
	return newPeer(p, near, far, plain, o)
}

func newPool(t *testing.T, cfg Config) *Pool {
	p := New(cfg)
	t.Cleanup(p.Close)
	return p
}

func TestReaderThatNeverReadsDelaysNobody(t *testing.T) {
	const frames, size = 150, 16 << 10
	for _, policy := range []Slow{Disconnect, Resync} {
		p := newPool(t, Config{Shards: 1, Stall: time.Minute}) // a slow machine may be at it for long
		var m Meter
		tp := p.Topic(policy, &m)
		so := &owner{}
		near, far := tcpPair(t, true)
		stalled := p.Open(near, plain, false, so)
		so.onSlow = func() { stalled.Shut([]byte("slow\n"), true) }
		so.onResync = func(tp *Topic) { stalled.Rejoin(tp, frames, []byte("resynced\n")) }
		stalled.Join(tp, 0, nil, nil)
		var readers []*peer
		for range 8 {
			r := tcpPeer(t, p, &owner{})
			r.Join(tp, 0, nil, nil)
			readers = append(readers, r)
		}
		p.Flush()
		body := strings.Repeat("x", size)
		for n := range frames { // 2.4 MB: more than the stalled one may have
			tp.Deliver(frame(uint64(n+1), body))
			if n%10 == 9 {
				// Each reader has all of it though one never reads: nothing waits for that one.
				for _, r := range readers {
					until(t, "the others", func() bool { return r.len() == size*(n+1) })
				}
				if q := p.Stats().Queued; q > 1<<20 {
					t.Fatalf("%d bytes queued", q)
				}
			}
		}
		if slows := so.slows(); policy == Disconnect && slows != 1 || policy == Resync && slows != 0 {
			t.Errorf("policy %d: told %d times", policy, slows)
		}
		if m.Dropped.Load() == 0 {
			t.Error("nothing was dropped")
		}
		if policy == Resync { // it comes back
			_ = far.SetReadBuffer(1 << 20)
			go func() { tp.Deliver(frame(frames+1, "last\n")) }()
			in := bufio.NewReader(far)
			line := ""
			for line != "resynced\n" {
				var err error
				if line, err = in.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				if i := strings.LastIndex(line, "x"); i >= 0 {
					line = line[i+1:]
				}
			}
			tp.Deliver(frame(frames+2, "on\n"))
			for line != "on\n" {
				var err error
				if line, err = in.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
		}
		stalled.Remove(nil)
		for _, r := range readers {
			r.Remove(nil)
		}
		p.Flush()
		until(t, "queues to go", func() bool { return p.Stats().Stalled == 0 })
		idle(t, p, tp)
		p.Close()
	}
}

// readOf reads from a connection, for as long as nothing comes.
func readOf(t *testing.T, c *Conn, b []byte) (n int, err error) {
	until(t, "something to read", func() bool {
		n, err = c.TryRead(b)
		return !errors.Is(err, syscall.EAGAIN)
	})
	return n, err
}

// fill makes a connection's socket full and its queue hold something, with the flusher waiting.
func fill(t *testing.T, p *Pool, c *Conn) {
	t.Helper()
	for p.Stats().Queued == 0 {
		if err := c.Send(make([]byte, 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	before, same := uint64(0), 0
	until(t, "the flusher to find the socket full", func() bool {
		if now := p.Stats().Bytes; now != before {
			before, same = now, 0
		}
		same++
		return same > 10
	})
}

func TestStallOnASocket(t *testing.T) {
	p := newPool(t, Config{Stall: 30 * ms})
	near, far := tcpPair(t, true)
	c := p.Open(near, plain, false, &owner{})
	for p.Stats().Queued == 0 {
		_ = c.Send(make([]byte, 64<<10))
	}
	until(t, "it to be closed", func() bool { return p.Stats().Timeouts == 1 })
	idle(t, p)
	if err := c.Send(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("send: %v", err)
	}
	_, _ = io.Copy(io.Discard, far) // ends
}

// The peer resets the connection while the flusher writes: neither the flusher nor the loop may be left
// waiting for each other.
func TestResetWhileFlushing(t *testing.T) {
	p := newPool(t, Config{Shards: 1})
	tp := p.Topic(Disconnect, nil)
	for range 20 {
		near, far := tcpPair(t, true)
		c := p.Open(near, plain, false, &owner{})
		c.Join(tp, 0, nil, nil)
		fill(t, p, c)
		_ = far.SetLinger(0)
		_ = far.Close()
		until(t, "the error to be seen", func() bool {
			tp.Deliver(&Frame{Last: 1})
			return p.Stats().Stalled == 0
		})
		p.Flush()
		if _, err := readOf(t, c, make([]byte, 1)); err == nil {
			t.Error("the reader is not told")
		}
		c.Remove(nil)
	}
	p.Flush()
	idle(t, p, tp)
	if st := p.Stats(); st.Failed != 20 || st.Timeouts != 0 {
		t.Errorf("%+v", st)
	}
}

func TestAbortWhileFlusherWaits(t *testing.T) {
	p := newPool(t, Config{})
	for i := range 20 {
		near, far := tcpPair(t, true)
		c := p.Open(near, plain, false, &owner{})
		fill(t, p, c)
		reading := make(chan error, 1)
		go func() {
			_, err := readOf(t, c, make([]byte, 1))
			reading <- err
		}()
		if i%2 == 0 {
			c.Abort()
		} else {
			go func() { _, _ = io.Copy(io.Discard, far) }() // the socket drains at that moment
			c.Remove(nil)
		}
		if err := <-reading; err == nil {
			t.Error("reads go on")
		}
		if err := c.Send([]byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("send: %v", err)
		}
		idle(t, p)
		c.Remove(nil)
	}
}

// A descriptor number is given out again as soon as it is closed: what is sent to the old connection at
// that moment must never reach the new one.
func TestNothingIsSentToAReusedDescriptor(t *testing.T) {
	p := newPool(t, Config{Shards: 2})
	var current atomic.Pointer[Conn]
	done := make(chan struct{})
	var senders sync.WaitGroup
	for range 2 {
		senders.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if c := current.Load(); c != nil {
					_ = c.Send([]byte("old"))
				}
				runtime.Gosched()
			}
		})
	}
	for range 300 {
		near, far := tcpPair(t, false)
		c := p.Open(near, plain, false, &owner{})
		current.Store(c)
		go func() { _, _ = io.Copy(io.Discard, far) }()
		go c.Remove(nil)
		// These get the number of near if it is free by now. Nothing is ever sent to them.
		a, b := tcpPair(t, false)
		_ = a.SetReadDeadline(time.Now().Add(200 * time.Microsecond))
		_ = b.SetReadDeadline(time.Now().Add(200 * time.Microsecond))
		for _, fresh := range []*net.TCPConn{a, b} {
			if n, _ := fresh.Read(make([]byte, 10)); n > 0 {
				t.Fatal("bytes for another connection")
			}
			_ = fresh.Close()
		}
	}
	close(done)
	senders.Wait()
}

// wrapped is a connection whose socket can be taken over.
type wrapped struct {
	net.Conn
	tcp *net.TCPConn
}

func (w wrapped) Detach() (int, func(int), error) {
	fd, err := rawsock.Take(w.tcp)
	return fd, rawsock.Close, err
}

func TestSocketOfAWrapper(t *testing.T) {
	p := newPool(t, Config{})
	near, far := tcpPair(t, true)
	o := &owner{}
	c := p.Open(wrapped{near, near}, plain, false, o)
	if rawsock.Supported && c.fd < 0 {
		t.Error("its socket is not used")
	}
	go func() { _ = c.Send(make([]byte, 500_000)) }()
	if n, err := io.ReadFull(far, make([]byte, 500_000)); err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	c.Remove(nil)
	// A socket that is closed already is found out by writing.
	near, _ = tcpPair(t, false)
	_ = near.Close()
	c = p.Open(near, plain, false, o)
	_ = c.Send([]byte("x"))
	until(t, "the error", func() bool { return errors.Is(c.Send(nil), ErrClosed) })
	c.Remove(nil)
}
