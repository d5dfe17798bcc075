package pool

import (
	"sync"

	"weir/internal/epoll"
	"weir/internal/rawsock"
)

// poller calls owners when their connections have something to read, so that an idle connection needs no goroutine:
// each Await is reported once.
type poller struct {
	// Set once.
	set *epoll.Waiter

	mu    sync.Mutex
	conns []*Conn // by descriptor; guarded by mu
}

// maxEvents is how many connections are reported at once.
const maxEvents = 128

func newPoller() (*poller, error) {
	set, err := epoll.NewWaiter("poller", maxEvents)
	if err != nil {
		return nil, err
	}
	return &poller{set: set}, nil
}

// run calls owners until close is called.
func (p *poller) run() {
	for {
		events, err := p.set.Wait()
		if err != nil {
			return
		}
		for i := range events {
			fd := int(events[i].Fd)
			p.mu.Lock()
			var c *Conn
			if fd < len(p.conns) {
				c = p.conns[fd]
			}
			p.mu.Unlock()
			if c != nil { // a connection that has taken over the number looks once in vain
				c.ready(events[i].Events)
			}
		}
	}
}

// close ends run. No connection is watched any more.
func (p *poller) close() { _ = p.set.Close() }

// arm has the poller report once what is waited for: something to read, and room to write. The caller holds c.mu, so that the
// descriptor is c's.
func (c *Conn) arm() error {
	p, e := c.shard.pool.poller, epoll.Event{Events: epoll.Once, Fd: c.fd}
	if c.awaiting {
		e.Events |= epoll.Read
	}
	if c.queue != nil && c.queue.full {
		e.Events |= epoll.Write
	}
	if c.watched {
		return p.set.Rearm(int(c.fd), e)
	}
	c.watched = true
	p.mu.Lock()
	if int(c.fd) >= len(p.conns) {
		p.conns = append(p.conns, make([]*Conn, int(c.fd)+1-len(p.conns))...)
	}
	p.conns[c.fd] = c
	p.mu.Unlock()
	return p.set.Add(int(c.fd), e)
}

// forget takes c out before its descriptor is closed, which takes it out of the set. The caller holds c.mu.
func (p *poller) forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[c.fd] == c {
		p.conns[c.fd] = nil
	}
}

// TryRead reads what has arrived, without waiting. Errors: EAGAIN if nothing has, io.EOF at the end, ErrClosed, those
// of a connection that has failed. Only for connections that are awaitable.
func (c *Conn) TryRead(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.mu.Lock() // or the descriptor could be closed, and its number be given to another connection
	defer c.mu.Unlock()
	if c.state == dead {
		return 0, ErrClosed
	}
	return rawsock.Receive(int(c.fd), b)
}
