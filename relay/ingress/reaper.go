package ingress

import (
	"context"
	"sync"
	"time"

	"weir/internal/contain"
)

// Timeouts are how long the gate waits for others. Tests wait less.
type Timeouts struct {
	Request  time.Duration // for a request, from its first byte on, or from when the connection was accepted
	Stranger time.Duration // for the next request of a client that has shown no API key
	Reload   time.Duration // between two looks at the files of the certificate
}

// DefaultTimeouts are those outside of tests.
func DefaultTimeouts() Timeouts {
	return Timeouts{Request: 5 * time.Second, Stranger: 10 * time.Second, Reload: 5 * time.Second}
}

// reaper is the connections that speak HTTP. Those that are upgraded leave it.
type reaper struct {
	// Guarded by mu.
	mu   sync.Mutex
	head Conn // of the ring
}

func (l *reaper) add(g *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head.next == nil {
		l.head.next, l.head.previous = &l.head, &l.head
	}
	g.since = time.Now()
	g.previous, g.next = l.head.previous, &l.head
	g.previous.next, g.next.previous = g, g
}

// remove takes a connection out. Calls after the first do nothing.
func (l *reaper) remove(g *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.next == nil {
		return
	}
	g.previous.next, g.next.previous = g.next, g.previous
	g.previous, g.next = nil, nil
}

// answerPatience is how long a peer may take to read an answer, and KeepAlive how long one that has shown an API key may
// wait with its next request.
const (
	answerPatience = 10 * time.Second
	KeepAlive      = 75 * time.Second
)

// watch closes connections that take too long, until ctx is done.
func (l *reaper) watch(ctx context.Context, w Timeouts, hook contain.Hook) {
	every := min(w.Request, w.Stranger) / 20
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.sweep(now, every, w, hook)
		}
	}
}

// sweep closes the connections that have been at what they are for as long as they may. A change is seen up to one
// interval late, which is made up for: nobody gets more than the time that is said.
func (l *reaper) sweep(now time.Time, every time.Duration, w Timeouts, hook contain.Hook) {
	limits := [...]time.Duration{arriving: w.Request, reading: w.Request, answering: 0, writing: answerPatience, waiting: KeepAlive}
	l.mu.Lock()
	defer l.mu.Unlock()
	for g := l.head.next; g != nil && g != &l.head; g = g.next {
		phase := g.phase.Load()
		at := phase & phaseMask
		switch {
		case phase&claimed != 0:
			continue
		case at == expired: // and is still there
			hook.Do("expiry of a connection", g.expire)
			continue
		case phase != g.seen:
			g.seen, g.since = phase, now
			continue
		}
		limit := limits[at]
		if at == waiting && !g.known.Load() {
			limit = min(limit, w.Stranger)
		}
		// A request that was taken up before is answered, and one that has come and was not taken up is not carried out.
		if limit > 0 && now.Sub(g.since)+every > limit && g.phase.CompareAndSwap(phase, phase&^phaseMask|expired) {
			hook.Do("expiry of a connection", g.expire)
		}
	}
}

// Each calls f with every connection that speaks HTTP.
func (g *Gate) Each(f func(c *Conn)) {
	l := &g.listener.reaper
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := l.head.next; c != nil && c != &l.head; c = c.next {
		f(c)
	}
}

// Serving notes that a request of the connection is being answered. It returns false if the connection has expired: the request
// is not to be carried out, since nobody would hear of it.
func (g *Conn) Serving() bool { return g.setPhase(answering) }

// Reading reports whether a request has begun to come.
func (g *Conn) Reading() bool { return g.at() == reading }
