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
				c.ready()
			}
		}
	}
}

// close ends run. No connection is watched any more.
func (p *poller) close() { _ = p.set.Close() }

// watch arms the set for one event of c. The caller holds c.mu, so that the descriptor is c's.
func (p *poller) watch(c *Conn) error {
	e := epoll.Event{Events: epoll.Read | epoll.Once, Fd: int32(c.fd)}
	if c.watched {
		return p.set.Rearm(c.fd, e)
	}
	c.watched = true
	p.mu.Lock()
	if c.fd >= len(p.conns) {
		p.conns = append(p.conns, make([]*Conn, c.fd+1-len(p.conns))...)
	}
	p.conns[c.fd] = c
	p.mu.Unlock()
	return p.set.Add(c.fd, e)
}

// forget takes c out before its descriptor is closed, which takes it out of the set. The caller holds c.mu.
func (p *poller) forget(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[c.fd] == c {
		p.conns[c.fd] = nil
	}
}

// TryRead reads what has arrived, without waiting. Errors: EAGAIN if nothing has, io.EOF at the end, those
// of a connection that has failed or was closed. Only for connections that are awaitable.
func (c *Conn) TryRead(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	// Inside RawConn the descriptor cannot be closed, and its number not be given to another connection.
	cerr := c.rc.Read(func(fd uintptr) bool {
		n, err = rawsock.Receive(int(fd), b)
		return true
	})
	if cerr != nil {
		err = cerr
	}
	return n, err
}
