package contain

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Hook is called with where a panic was and what its value was, from within the deferred call: the stack is that of the
// panic. It may be called by many goroutines at once, and must not block. With a nil Hook nothing is contained: panics
// go on.
type Hook func(where string, v any)

// End ends a panic of the function that defers it, if there is one. Then fail is called, unless it is nil, which fails
// what was being worked on; it may panic in turn.
func (h Hook) End(where string, fail func()) {
	if h == nil {
		return
	}
	if v := recover(); v != nil {
		h.Tell(where, v)
		if fail != nil {
			defer h.End(where, nil)
			fail()
		}
	}
}

// Tell reports a panic that the caller has ended. A Hook that panics over that is not called again.
func (h Hook) Tell(where string, v any) {
	defer func() { _ = recover() }() // there is nothing left to call
	h(where, v)
}

// Do calls f, and returns false if it has panicked.
func (h Hook) Do(where string, f func()) (done bool) {
	defer h.End(where, nil)
	thrown(where)
	f()
	return true
}

// Go starts f on a goroutine of its own, which done counts; it may be nil. After a panic it has ended, and fail was called,
// unless that is nil.
func (h Hook) Go(done *sync.WaitGroup, where string, f, fail func()) {
	if done != nil {
		done.Add(1)
	}
	go func() {
		if done != nil {
			defer done.Done()
		}
		h.Run(where, f, fail)
	}()
}

// Run is the work of Go on the caller's goroutine.
func (h Hook) Run(where string, f, fail func()) {
	defer h.End(where, fail)
	thrown(where)
	f()
}

// The pauses of a loop between a panic and its next turn: they double from the first to the last, and begin anew when
// it has run for longer than the last.
const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

// lastTries is how often a loop that is to end may panic before it is given up: it may have something to finish, and one
// panic is no reason to leave that undone.
const lastTries = 5

// Loop starts a loop on another goroutine, which done counts; it may be nil. f is the loop: it returns once ended
// reports true. After a panic it is called again, a little later, so that its end comes up to lastPause late. After
// lastTries panics since it was to end it is not: then giveUp, unless it is nil, releases those who wait for the loop.
func (h Hook) Loop(done *sync.WaitGroup, where string, ended func() bool, f, giveUp func()) {
	h.Go(done, where+" loop", func() {
		pause, tries := firstPause, 0
		for {
			begun := time.Now()
			if h.Do(where, f) {
				return
			}
			switch {
			case ended():
				if tries++; tries == lastTries {
					h.Run("end of "+where, func() {
						if giveUp != nil {
							giveUp()
						}
					}, nil)
					return
				}
				pause = firstPause << tries
			case time.Since(begun) > lastPause:
				pause = firstPause
			}
			time.Sleep(pause)
			pause = min(2*pause, lastPause)
		}
	}, giveUp)
}

// Done returns what reports whether a context is done, for [Hook.Loop].
func Done(ctx context.Context) func() bool { return func() bool { return ctx.Err() != nil } }

// Closed returns what reports whether a channel is closed on which nothing is sent, for [Hook.Loop].
func Closed(c <-chan struct{}) func() bool {
	return func() bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
}

// After is [time.AfterFunc]. After a panic fail was called, unless it is nil: it releases those who wait for what f was
// to do.
func (h Hook) After(d time.Duration, where string, f, fail func()) *time.Timer {
	return time.AfterFunc(d, func() { h.Run(where, f, fail) })
}

// Upon is [context.AfterFunc], with fail as in After.
func (h Hook) Upon(ctx context.Context, where string, f, fail func()) (stop func() bool) {
	return context.AfterFunc(ctx, func() { h.Run(where, f, fail) })
}

// throw is what tests have put in the way of work; nil: nothing. Production pays one load for each unit of work.
var throw atomic.Pointer[func(where string)]

// Throw has f called where work under a name begins, until it is called with nil: for tests, whose f panics.
func Throw(f func(where string)) {
	if f == nil {
		throw.Store(nil)
		return
	}
	throw.Store(&f)
}

// Worker is the panic handler of a pool of workers, for what is submitted to it and not contained by itself.
func (h Hook) Worker(v any) { h.Tell("worker", v) }

func thrown(where string) {
	if f := throw.Load(); f != nil {
		(*f)(where)
	}
}
