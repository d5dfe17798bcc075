package relay

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

// lobby is the guests that speak HTTP. Those that are upgraded leave it.
type lobby struct {
	// Guarded by mu.
	mu   sync.Mutex
	head guest // of the ring
}

func (l *lobby) enter(g *guest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.head.next == nil {
		l.head.next, l.head.previous = &l.head, &l.head
	}
	g.since = time.Now()
	g.previous, g.next = l.head.previous, &l.head
	g.previous.next, g.next.previous = g, g
}

// leave takes a guest out. Calls after the first do nothing.
func (l *lobby) leave(g *guest) {
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

// watch closes guests that take too long, until ctx is done.
func (l *lobby) watch(ctx context.Context, w Timeouts, hook contain.Hook) {
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

// sweep closes the guests that have been at what they are for as long as they may. A change is seen up to one
// interval late, which is made up for: nobody gets more than the time that is said.
func (l *lobby) sweep(now time.Time, every time.Duration, w Timeouts, hook contain.Hook) {
	limits := [...]time.Duration{arriving: w.Request, reading: w.Request, answering: 0, writing: answerPatience, waiting: KeepAlive}
	l.mu.Lock()
	defer l.mu.Unlock()
	for g := l.head.next; g != nil && g != &l.head; g = g.next {
		phase := g.phase.Load()
		if phase != g.seen {
			g.seen, g.since = phase, now
			continue
		}
		phase &= 1<<phaseBits - 1
		limit := limits[phase]
		if phase == waiting && !g.known.Load() {
			limit = min(limit, w.Stranger)
		}
		if limit > 0 && now.Sub(g.since)+every > limit {
			hook.Do("dismissal of a guest", g.dismiss)
		}
	}
}

// Each calls f with every connection that speaks HTTP.
func (g *Gate) Each(f func(c *guest)) {
	l := &g.door.lobby
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := l.head.next; c != nil && c != &l.head; c = c.next {
		f(c)
	}
}

// serving notes that a request of the connection is being answered.
func (g *guest) serving() { g.at(answering) }

// Reading reports whether a request has begun to come.
func (g *guest) Reading() bool { return g.phase.Load()&(1<<phaseBits-1) == reading }
