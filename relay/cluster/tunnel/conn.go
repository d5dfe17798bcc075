package tunnel

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// Conn writes to a tunnel as to a connection: what is written are messages of one kind. It is not read. It implements net.Conn.
type Conn struct {
	// Set once.
	tunnel *Tunnel
	kind   byte

	until atomic.Int64 // Unix nanoseconds, until which a Write waits; 0: without a limit
}

// NewConn returns what writes messages of a kind to a tunnel.
func NewConn(n *Tunnel, kind byte) *Conn { return &Conn{tunnel: n, kind: kind} }

// Write implements net.Conn. It waits while the tunnel is full.
func (c *Conn) Write(b []byte) (int, error) {
	var late <-chan time.Time
	if until := c.until.Load(); until != 0 {
		timer := time.NewTimer(time.Until(time.Unix(0, until)))
		defer timer.Stop()
		late = timer.C
	}
	for {
		err := c.tunnel.Send(c.kind, b)
		switch {
		case err == nil:
			return len(b), nil
		case !errors.Is(err, ErrFull):
			return 0, err
		}
		select {
		case <-c.tunnel.vacant():
		case <-late:
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// Read implements net.Conn.
func (c *Conn) Read([]byte) (int, error) { return 0, io.EOF }

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.tunnel.Close()
	return nil
}

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(at time.Time) error {
	until := int64(0)
	if !at.IsZero() {
		until = at.UnixNano()
	}
	c.until.Store(until)
	return nil
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(at time.Time) error { return c.SetWriteDeadline(at) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return address{} }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return address{} }

// address is that of a Conn, which has none.
type address struct{}

func (address) Network() string { return "tunnel" }
func (address) String() string  { return "tunnel" }
