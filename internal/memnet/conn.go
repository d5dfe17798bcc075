package memnet

import (
	"net"
	"time"
)

// errClosed is what an operation on an end that was closed returns.
var errClosed = net.ErrClosed

// Conn is one end of a connection. All methods may be called concurrently.
type Conn struct {
	in, out       *buffer
	local, remote net.Addr
}

// Pipe makes two connected ends. Each direction buffers limit bytes; 0: 64 KiB.
func Pipe(limit int) (*Conn, *Conn) {
	return pipe(limit, addr("client"), addr("server"))
}

func pipe(limit int, a, b net.Addr) (*Conn, *Conn) {
	if limit <= 0 {
		limit = 64 << 10
	}
	x, y := newBuffer(limit), newBuffer(limit)
	return &Conn{in: x, out: y, local: a, remote: b}, &Conn{in: y, out: x, local: b, remote: a}
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) { return c.in.read(p) }

// Write implements net.Conn. It returns when all of p is buffered.
func (c *Conn) Write(p []byte) (int, error) { return c.out.write(p) }

// CloseWrite ends what is written: the other end reads what is buffered, then io.EOF.
func (c *Conn) CloseWrite() error {
	c.out.change(func() { c.out.ended = true })
	return nil
}

// Close implements net.Conn. The other end reads what is buffered, then io.EOF; its writes fail.
func (c *Conn) Close() error {
	c.out.change(func() { c.out.ended, c.out.writers.closed = true, true })
	c.in.change(func() { c.in.broken, c.in.readers.closed = true, true })
	return nil
}

// Cut breaks the connection as a network does. Of what is under way in each direction the first keep bytes
// arrive, though they may be a part of what one write was given; after them both ends fail with
// syscall.ECONNRESET. Reads that were blocked go on. Both ends are still to be closed.
func (c *Conn) Cut(keep int) {
	for _, b := range []*buffer{c.in, c.out} {
		b.change(func() {
			if !b.cut {
				b.cut, b.b = true, b.b[:min(len(b.b), keep)]
			}
		})
	}
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.in.set(&c.in.readers, t) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.out.set(&c.out.writers, t) }

// BlockReads makes reads of this end wait, whatever there is to read, until it is called with false.
func (c *Conn) BlockReads(block bool) {
	c.in.change(func() { c.in.readers.blocked = block })
}

// BlockPeer is BlockReads of the other end, as if its process were stopped.
func (c *Conn) BlockPeer(block bool) {
	c.out.change(func() { c.out.readers.blocked = block })
}

// BlockWrites makes writes of this end wait, however much fits, until it is called with false.
func (c *Conn) BlockWrites(block bool) {
	c.out.change(func() { c.out.writers.blocked = block })
}

// addr is the address of an end.
type addr string

// Network implements net.Addr.
func (addr) Network() string { return "mem" }

// String implements net.Addr.
func (a addr) String() string { return string(a) }
