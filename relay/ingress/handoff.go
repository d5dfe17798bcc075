package ingress

import (
	"net"
	"sync"
)

// The acceptor stands between the listener and the HTTP server. A connection that has nothing to say waits at one of
// its event loops, which is an epoll set and one goroutine, so that it costs neither a goroutine nor buffers; fast
// publications are answered there. With the first request that is anything else the connection goes on to the
// HTTP server, with every byte that has come of it, and stays there.

// Handoff leads connections from the acceptor to the HTTP server: it is the listener that the server is given.
type Handoff struct {
	addr   net.Addr
	queue  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewHandoff returns a handoff that has the address of a listener.
func NewHandoff(addr net.Addr) *Handoff {
	return &Handoff{addr: addr, queue: make(chan net.Conn, 256), closed: make(chan struct{})}
}

// put hands a connection over. Once the handoff is closed it closes the connection instead.
func (l *Handoff) put(c net.Conn) {
	select {
	case <-l.closed:
	case l.queue <- c:
		select {
		case <-l.closed:
			_ = l.Close() // which may have looked at the queue before
		default:
		}
		return
	}
	_ = c.Close()
}

// Accept implements net.Listener.
func (l *Handoff) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that nobody has accepted are closed.
func (l *Handoff) Close() error {
	l.once.Do(func() { close(l.closed) })
	for {
		select {
		case c := <-l.queue:
			_ = c.Close()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (l *Handoff) Addr() net.Addr { return l.addr }
