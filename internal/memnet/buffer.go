package memnet

import (
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// buffer is one direction of a connection.
type buffer struct {
	limit int

	mu   sync.Mutex
	cond sync.Cond
	// Guarded by mu.
	b       []byte
	ended   bool // no more is written: readers get what is left, then io.EOF
	broken  bool // the reading end is closed: writes fail
	cut     bool // the network has broken: what is left may be read, then everything fails
	readers gate
	writers gate
}

// gate is what lets one side of a buffer pass.
type gate struct {
	closed   bool        // this end was closed
	blocked  bool        // nothing passes for now
	deadline time.Time   // from when on nothing passes; zero: never
	timer    *time.Timer // wakes at the deadline; nil: there was none
}

func newBuffer(limit int) *buffer {
	b := &buffer{limit: limit}
	b.cond.L = &b.mu
	return b
}

// err is why a gate is shut for good or its time is up. The caller holds mu.
func (g *gate) err() error {
	switch {
	case g.closed:
		return errClosed
	case !g.deadline.IsZero() && time.Until(g.deadline) <= 0:
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (b *buffer) read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		switch err := b.readers.err(); {
		case err != nil:
			return 0, err
		case len(p) == 0:
			return 0, nil
		case b.readers.blocked && !b.cut:
		case len(b.b) > 0:
			n := copy(p, b.b)
			b.b = b.b[:copy(b.b, b.b[n:])]
			b.cond.Broadcast()
			return n, nil
		case b.cut:
			return 0, syscall.ECONNRESET
		case b.ended:
			return 0, io.EOF
		}
		b.cond.Wait()
	}
}

func (b *buffer) write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := 0
	for {
		switch err := b.writers.err(); {
		case err != nil:
			return done, err
		case b.ended:
			return done, errClosed
		case b.broken:
			return done, syscall.EPIPE
		case b.cut:
			return done, syscall.ECONNRESET
		}
		if !b.writers.blocked {
			n := min(b.limit-len(b.b), len(p)-done)
			b.b = append(b.b, p[done:done+n]...)
			b.cond.Broadcast()
			if done += n; done == len(p) {
				return done, nil
			}
		}
		b.cond.Wait()
	}
}

// change calls f, which changes the state, and wakes all who wait for it.
func (b *buffer) change(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
	b.cond.Broadcast()
}

// set sets the time at which what passes through g, a gate of b, fails; never if it is zero.
func (b *buffer) set(g *gate, t time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g.closed {
		return errClosed
	}
	if g.timer != nil {
		g.timer.Stop()
	}
	if g.deadline = t; !t.IsZero() {
		d := time.Until(t)
		g.deadline = time.Now().Add(d) // by the clock of the timer
		g.timer = time.AfterFunc(d, func() { b.change(func() {}) })
	}
	b.cond.Broadcast()
	return nil
}
