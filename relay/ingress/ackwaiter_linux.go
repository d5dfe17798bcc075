package ingress

import (
	"sync"

	"weir/internal/contain"
	"weir/relay/problem"
)

// ackWaiter waits for the disk on behalf of an event loop: one goroutine for all answers that are owed there. They come back in
// the order in which they were pending, each as soon as it is known; the event loop sends them.
type ackWaiter struct {
	// Set once.
	wake    func()        // has the event loop look
	bell    chan struct{} // has the ack waiter look; room for one
	closed  chan struct{} // closed by the event loop, when nothing is owed
	once    sync.Once     // of that
	contain contain.Hook

	// Guarded by mu. No more than the event loop has pending, and has under way.
	mu       sync.Mutex
	given    bool // up: see abandon
	pledged  []pendingAck
	resolved []pendingAck
	loaded   []load
}

// load is a channel that was to be loaded for a connection's next request.
type load struct {
	conn *Conn
	err  error // why it was not
}

// run waits until the ack waiter is closed.
func (c *ackWaiter) run() {
	var work []pendingAck
	for {
		c.mu.Lock()
		work, c.pledged = c.pledged, work[:0]
		c.mu.Unlock()
		known := 0 // from where on it is not known yet
		for i := range work {
			p := &work[i]
			if i > known && !p.receipt.Settled() {
				c.resolve(work[known:i])
				known = i
			}
			p.err = problem.Internal
			c.contain.Do("pending ack", func() { p.at, p.err = p.receipt.Settle() })
		}
		c.resolve(work[known:])
		if len(work) > 0 {
			clear(work)
			continue
		}
		select {
		case <-c.bell:
		case <-c.closed:
			return
		}
	}
}

// add takes pending acks from the event loop.
func (c *ackWaiter) add(list []pendingAck) {
	c.mu.Lock()
	c.pledged = append(c.pledged, list...)
	given := c.given
	c.mu.Unlock()
	if given {
		c.abandon()
		return
	}
	select {
	case c.bell <- struct{}{}:
	default: // it is about to look anyway
	}
}

// abandon is the end of an ack waiter that does nothing but panic: of what is pending, now or later, it is not known how it went.
func (c *ackWaiter) abandon() {
	c.mu.Lock()
	c.given = true
	left := c.pledged
	c.pledged = nil
	c.mu.Unlock()
	for i := range left {
		left[i].err = problem.Internal
	}
	c.resolve(left)
}

// resolve tells the event loop how pending acks went.
func (c *ackWaiter) resolve(list []pendingAck) {
	if len(list) == 0 {
		return
	}
	c.mu.Lock()
	c.resolved = append(c.resolved, list...)
	c.mu.Unlock()
	c.wake()
}

// settled tells the event loop how one went that was not waited for here.
func (c *ackWaiter) settled(p *pendingAck) {
	c.mu.Lock()
	c.resolved = append(c.resolved, *p)
	c.mu.Unlock()
	c.wake()
}

// done tells the event loop of a load.
func (c *ackWaiter) done(l load) {
	c.mu.Lock()
	c.loaded = append(c.loaded, l)
	c.mu.Unlock()
	c.wake()
}

// drain returns what there is for the event loop, which gives the lists of last time for it.
func (c *ackWaiter) drain(settled []pendingAck, loaded []load) ([]pendingAck, []load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	settled, c.resolved = c.resolved, settled[:0]
	loaded, c.loaded = c.loaded, loaded[:0]
	return settled, loaded
}
