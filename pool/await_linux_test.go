package pool

import (
	"errors"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"

	"weir/internal/memnet"
)

// reads collects what TryRead gives until there is no more.
func reads(c *Conn) (string, error) {
	var got []byte
	buf := make([]byte, 3)
	for {
		n, err := c.TryRead(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			return string(got), err
		}
	}
}

func TestAwait(t *testing.T) {
	p := newPool(t, Config{})
	near, far := tcpPair(t, false)
	told := make(chan struct{}, 100)
	o := &owner{onRead: func() { told <- struct{}{} }}
	c := p.Open(near, plain, false, o)
	mem, _ := memnet.Pipe(0)
	if !c.Awaitable() || p.Open(mem, plain, false, o).Awaitable() {
		t.Error("only sockets are awaitable")
	}
	if n, err := c.TryRead(nil); n != 0 || err != nil {
		t.Errorf("reading nothing: %d, %v", n, err)
	}
	if got, err := reads(c); got != "" || !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("read %q, %v", got, err)
	}
	for _, s := range []string{"hello", "again"} {
		c.Await()
		_, _ = far.Write([]byte(s))
		<-told
		if got, err := reads(c); got != s || !errors.Is(err, syscall.EAGAIN) {
			t.Fatalf("read %q, %v", got, err)
		}
	}
	_, _ = far.Write([]byte("before"))
	until(t, "it to arrive", func() bool {
		n, err := c.TryRead(make([]byte, 1))
		return n == 1 && err == nil
	})
	c.Await() // there is something already
	<-told
	if got, err := reads(c); got != "efore" || !errors.Is(err, syscall.EAGAIN) {
		t.Fatalf("read %q, %v", got, err)
	}
	c.Await()
	_ = far.CloseWrite()
	<-told
	if _, err := reads(c); !errors.Is(err, io.EOF) {
		t.Fatalf("at the end: %v", err)
	}
	c.Await()
	<-told // again, if asked again
	c.Remove(nil)
	c.Await()
	<-told
	if _, err := reads(c); err == nil || errors.Is(err, syscall.EAGAIN) || errors.Is(err, io.EOF) {
		t.Fatalf("of a closed connection: %v", err)
	}
	if len(told) > 0 {
		t.Errorf("told %d times too often", len(told))
	}
}

// Whatever ends a connection tells who awaits, once.
func TestAwaitIsToldOfTheEnd(t *testing.T) {
	ends := map[string]func(p *Pool, c *Conn, far *net.TCPConn){
		"abort":  func(_ *Pool, c *Conn, _ *net.TCPConn) { c.Abort() },
		"remove": func(_ *Pool, c *Conn, _ *net.TCPConn) { c.Remove(nil) },
		"close":  func(p *Pool, _ *Conn, _ *net.TCPConn) { p.Close() },
		"linger": func(_ *Pool, c *Conn, _ *net.TCPConn) { c.Shut([]byte("bye"), false) },
		"reset": func(_ *Pool, _ *Conn, far *net.TCPConn) {
			_ = far.SetLinger(0)
			_ = far.Close()
		},
		"write error": func(_ *Pool, c *Conn, far *net.TCPConn) {
			_ = far.Close()
			for c.Send([]byte("x")) == nil { // until the kernel has heard of it
				runtime.Gosched()
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			p := newPool(t, Config{Linger: 10 * ms})
			near, far := tcpPair(t, false)
			told := make(chan struct{}, 10)
			c := p.Open(near, plain, false, &owner{onRead: func() { told <- struct{}{} }})
			c.Await()
			end(p, c, far)
			<-told
			until(t, "an error", func() bool {
				_, err := c.TryRead(make([]byte, 1))
				return err != nil && !errors.Is(err, syscall.EAGAIN)
			})
			c.Remove(nil)
			p.Flush()
			p.Close()
			if len(told) > 0 {
				t.Errorf("told %d times too often", len(told))
			}
			c.Await() // of what has ended long ago
			<-told
		})
	}
}

// Connections come and go on the same descriptor numbers, and each is told of its own.
func TestAwaitOnReusedDescriptors(t *testing.T) {
	p := newPool(t, Config{})
	for range 200 {
		near, far := tcpPair(t, false)
		told := make(chan struct{}, 10)
		c := p.Open(near, plain, false, &owner{onRead: func() { told <- struct{}{} }})
		c.Await()
		_, _ = far.Write([]byte("x"))
		<-told
		until(t, "the byte", func() bool {
			n, err := c.TryRead(make([]byte, 1))
			if errors.Is(err, syscall.EAGAIN) { // told in vain, for the one before
				c.Await()
				<-told
			}
			return n == 1
		})
		c.Await()
		c.Remove(nil)
		<-told
	}
	p.poller.mu.Lock()
	defer p.poller.mu.Unlock()
	for fd, c := range p.poller.conns {
		if c != nil {
			t.Errorf("descriptor %d is not forgotten", fd)
		}
	}
}
