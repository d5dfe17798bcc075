package relay

import (
	"net"
	"sync"
)

// The front stands between the door and the HTTP server. A connection that has nothing to say waits at one of
// its desks, which is an epoll set and one goroutine, so that it costs neither a goroutine nor buffers; plain
// publications are answered there. With the first request that is anything else the connection goes on to the
// HTTP server, with every byte that has come of it, and stays there.

// lane leads connections from the front to the HTTP server: it is the listener that the server is given.
type lane struct {
	addr   net.Addr
	queue  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newLane(addr net.Addr) *lane {
	return &lane{addr: addr, queue: make(chan net.Conn, 256), closed: make(chan struct{})}
}

// put hands a connection over. Once the lane is closed it closes the connection instead.
func (l *lane) put(c net.Conn) {
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
func (l *lane) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that nobody has accepted are closed.
func (l *lane) Close() error {
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
func (l *lane) Addr() net.Addr { return l.addr }
