package loadtest

import (
	"errors"
	"math"
	"net/netip"
	"sync"
	"time"
)

// readBuffer is how much is read, or thrown away, at once.
const readBuffer = 256 << 10

// clock is the time in nanoseconds since the test began, monotonic.
type clock struct{ start time.Time }

func (c clock) now() int64 { return int64(time.Since(c.start)) }

// at is the wall time of a moment.
func (c clock) at(ns int64) time.Time { return c.start.Add(time.Duration(ns)) }

// never is later than any moment.
const never = math.MaxInt64

// loop drives many connections. Everything that belongs to a connection happens on its loop: handlers
// are called there one at a time, and only there may socket's methods be called.
type loop interface {
	// post runs f on the loop soon. It never blocks and may be called from anywhere; after stop it
	// does nothing.
	post(f func())
	// dial starts connecting h's socket, from the given source address when it is valid. On the loop
	// only. The outcome is h.opened or h.ended.
	dial(h handler, source netip.Addr) socket
	// stop ends the loop and closes what it holds, without calling handlers. It returns when the
	// loop's goroutines have exited.
	stop()
}

// handler is what a loop calls.
type handler interface {
	opened()
	// received takes bytes that were read, which are valid during the call only. An error ends the
	// connection.
	received(b []byte) error
	// skips is how many of the next bytes may be thrown away unread, discarded how many were.
	skips() int
	discarded(n int)
	// drained is called when everything that was sent had to wait and has left now.
	drained()
	// ended is called once, whichever side ended it, except after close.
	ended(err error)
}

// socket is the loop's side of a connection.
type socket interface {
	send(b []byte) // b is copied as far as it does not leave at once
	waiting() int  // bytes that have not left
	pause()        // reads no more, for good
	close()        // resets the connection; no handler method is called afterwards
}

// ticker is called by its loop after everything else that was due, and returns when it wants to be
// called again at the latest: a moment, or never.
type ticker func(now int64) (next int64)

// loopConfig is how a loop treats its connections. Set once.
type loopConfig struct {
	clock   clock
	tick    ticker
	nap     time.Duration            // rest between two passes, so that more than one connection is due; latency does not matter then
	slice   time.Duration            // how long it may be kept waiting for the processor, as a wish; 0: as the system does
	busy    func(pass time.Duration) // how long a pass took; nil
	dial    connector                // goroutine loops: how to connect
	targets []netip.AddrPort         // epoll loops: where to, in turn
}

// errReset is a connection reset by the target.
var errReset = errors.New("connection reset")

// inbox is a list of functions to run on a loop. Any goroutine adds, the loop takes.
type inbox struct {
	mu     sync.Mutex
	list   []func() // guarded by mu
	closed bool     // guarded by mu
}

// add reports whether the loop has to be woken up.
func (q *inbox) add(f func()) (first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.list = append(q.list, f)
	return len(q.list) == 1
}

// take swaps the list for an empty one.
func (q *inbox) take(empty []func()) []func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = empty[:0]
	return list
}

func (q *inbox) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
}
