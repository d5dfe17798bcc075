package memnet

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
)

// Listener is a net.Listener whose connections come from its Dial.
type Listener struct {
	// Set once by Listen.
	addr  addr
	limit int
	conns chan *Conn
	done  chan struct{} // closed by Close

	once  sync.Once
	dials atomic.Int64
}

// Listen makes a listener. Its connections buffer limit bytes in each direction; 0: 64 KiB.
func Listen(name string, limit int) *Listener {
	return &Listener{addr: addr(name), limit: limit, conns: make(chan *Conn), done: make(chan struct{})}
}

// Dial connects to the listener. It waits until the connection is accepted. Errors: the context's, and
// net.ErrClosed once the listener is closed.
func (l *Listener) Dial(ctx context.Context) (*Conn, error) {
	name := addr("client-" + strconv.FormatInt(l.dials.Add(1), 10))
	client, server := pipe(l.limit, name, l.addr)
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, fmt.Errorf("dial %s: %w", l.addr, net.ErrClosed)
	case <-ctx.Done():
		return nil, fmt.Errorf("dial %s: %w", l.addr, ctx.Err())
	}
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, fmt.Errorf("accept on %s: %w", l.addr, net.ErrClosed)
	}
}

// Close implements net.Listener. Connections that were accepted live on.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return l.addr }
