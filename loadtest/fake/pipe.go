package fake

import (
	"io"
	"net"
	"sync"
	"time"
)

// Pipe returns two ends of a connection in memory, with unlimited room in both directions: a write
// never waits. Deadlines do nothing.
func Pipe() (net.Conn, net.Conn) {
	a, b := newHalf(), newHalf()
	return &end{in: a, out: b}, &end{in: b, out: a}
}

// half is one direction.
type half struct {
	mu     sync.Mutex
	more   sync.Cond
	buf    []byte // guarded by mu
	closed bool   // guarded by mu
}

func newHalf() *half {
	h := &half{}
	h.more.L = &h.mu
	return h
}

func (h *half) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.more.Broadcast()
}

type end struct{ in, out *half }

func (e *end) Read(b []byte) (int, error) {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	for len(e.in.buf) == 0 && !e.in.closed {
		e.in.more.Wait()
	}
	if len(e.in.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(b, e.in.buf)
	e.in.buf = append(e.in.buf[:0], e.in.buf[n:]...)
	return n, nil
}

func (e *end) Write(b []byte) (int, error) {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	if e.out.closed {
		return 0, net.ErrClosed
	}
	e.out.buf = append(e.out.buf, b...)
	e.out.more.Broadcast()
	return len(b), nil
}

// Close ends both directions.
func (e *end) Close() error {
	e.in.close()
	e.out.close()
	return nil
}

type address struct{}

func (address) Network() string { return "memory" }
func (address) String() string  { return "memory" }

func (e *end) LocalAddr() net.Addr              { return address{} }
func (e *end) RemoteAddr() net.Addr             { return address{} }
func (e *end) SetDeadline(time.Time) error      { return nil }
func (e *end) SetReadDeadline(time.Time) error  { return nil }
func (e *end) SetWriteDeadline(time.Time) error { return nil }
