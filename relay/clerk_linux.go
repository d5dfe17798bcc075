package relay

import (
	"sync"

	"weir/internal/contain"
	"weir/relay/problem"
)

// clerk waits for the disk on behalf of a desk: one goroutine for all answers that are owed there. They come back in
// the order in which they were pledged, each as soon as it is known; the desk sends them.
type clerk struct {
	// Set once.
	ring    func()        // has the desk look
	bell    chan struct{} // has the clerk look; room for one
	closed  chan struct{} // closed by the desk, when nothing is owed
	once    sync.Once     // of that
	contain contain.Hook

	// Guarded by mu. No more than the desk has pledged, and has under way.
	mu      sync.Mutex
	given   bool // up: see abandon
	pledged []pledge
	settled []pledge
	loaded  []load
}

// load is a channel that was to be loaded for a guest's next request.
type load struct {
	guest *guest
	err   error // why it was not
}

// run waits until the clerk is closed.
func (c *clerk) run() {
	var work []pledge
	for {
		c.mu.Lock()
		work, c.pledged = c.pledged, work[:0]
		c.mu.Unlock()
		known := 0 // from where on it is not known yet
		for i := range work {
			p := &work[i]
			if i > known && !p.known() {
				c.tell(work[known:i])
				known = i
			}
			p.err = problem.Internal
			c.contain.Do("pledge", func() { _, p.err = p.wait() })
		}
		c.tell(work[known:])
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

// known says that it is known how a pledge went.
func (p *pledge) known() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// take takes pledges from the desk.
func (c *clerk) take(list []pledge) {
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

// abandon is the end of a clerk that does nothing but panic: of what is pledged, now or later, it is not known how it went.
func (c *clerk) abandon() {
	c.mu.Lock()
	c.given = true
	left := c.pledged
	c.pledged = nil
	c.mu.Unlock()
	for i := range left {
		left[i].err = problem.Internal
	}
	c.tell(left)
}

// tell tells the desk how pledges went.
func (c *clerk) tell(list []pledge) {
	if len(list) == 0 {
		return
	}
	c.mu.Lock()
	c.settled = append(c.settled, list...)
	c.mu.Unlock()
	c.ring()
}

// bring tells the desk of a load.
func (c *clerk) bring(l load) {
	c.mu.Lock()
	c.loaded = append(c.loaded, l)
	c.mu.Unlock()
	c.ring()
}

// collect answers what there is for the desk, which gives the lists of last time for it.
func (c *clerk) collect(settled []pledge, loaded []load) ([]pledge, []load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	settled, c.settled = c.settled, settled[:0]
	loaded, c.loaded = c.loaded, loaded[:0]
	return settled, loaded
}
