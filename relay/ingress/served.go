package ingress

import (
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// served is a connection as the HTTP server sees it. The server closes a connection when its upgrade is done, and only so takes
// the 8 KiB that it read the request with back for the next one: that Close is not for the connection.
type served struct {
	net.Conn
	kept   atomic.Bool // an upgrade has taken the connection over
	unread atomic.Bool // the last request was refused before all of it was read
}

// lingerFor is how long a client may go on sending what is refused.
const lingerFor = 2 * time.Second

// Close implements net.Conn.
func (s *served) Close() error {
	if s.kept.Load() {
		return nil
	}
	if half, ok := s.Conn.(interface{ CloseWrite() error }); ok && s.unread.Load() && half.CloseWrite() == nil {
		_ = s.Conn.SetReadDeadline(time.Now().Add(lingerFor))
		_, _ = io.Copy(io.Discard, s.Conn) // reads to the client's end, or to the deadline
	}
	return s.Conn.Close()
}

// Unread notes of a connection that the HTTP server serves that it refuses a request of which more is to come. What comes is
// read away before the connection is closed: a reset would overtake the answer (RFC 9112, section 9.6).
func Unread(c net.Conn) {
	if s, ok := c.(interface{ refusedEarly() }); ok {
		s.refusedEarly()
	}
}

func (s *served) refusedEarly() { s.unread.Store(true) }

// NetConn is the connection behind it.
func (s *served) NetConn() net.Conn { return s.Conn }

// servedTLS is a served connection by which the server knows TLS.
type servedTLS struct {
	served
	tls *tls.Conn
}

func (s *servedTLS) Handshake() error                     { return s.tls.Handshake() }
func (s *servedTLS) ConnectionState() tls.ConnectionState { return s.tls.ConnectionState() }

// Serve is what the HTTP server is given to serve a connection.
func Serve(nc net.Conn) net.Conn {
	if t, ok := nc.(*tls.Conn); ok {
		return &servedTLS{served: served{Conn: nc}, tls: t}
	}
	return &served{Conn: nc}
}

// Keep takes a connection over from the HTTP server, in the handler of its upgrade, which c was given to. It is closed by its
// user from then on.
func Keep(c net.Conn) net.Conn {
	if u, ok := c.(interface{ UnsafeConn() net.Conn }); ok {
		c = u.UnsafeConn()
	}
	switch s := c.(type) {
	case *served:
		s.kept.Store(true)
		return s.Conn
	case *servedTLS:
		s.kept.Store(true)
		return s.Conn
	}
	return c
}
