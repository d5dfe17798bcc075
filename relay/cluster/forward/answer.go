package forward

import (
	"context"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/relay/problem"
)

// ErrMaybe is why something may have been done or not.
var ErrMaybe error = problem.Unavailable.With("the node that owns the channel did not respond: the request may have been carried out")

// Answer is what comes of a publication or a call. It is ready for use when Begin was called.
type Answer struct {
	done chan struct{}                                // closed with the answer
	told atomic.Pointer[func(broker.Position, error)] // is called then, too; nil: nobody is, or has been

	// Written before Finish is called.
	At   broker.Position
	Body []byte
	Err  error
}

// Begin has the answer be waited for.
func (a *Answer) Begin() { a.done = make(chan struct{}) }

// Done is closed with the answer.
func (a *Answer) Done() <-chan struct{} { return a.done }

// Wait waits for the answer, until ctx ends or twice the limit is over: who has asked ends it sooner.
func (a *Answer) Wait(ctx context.Context, limit time.Duration) error {
	select {
	case <-a.done:
		return a.Err
	default:
	}
	timer := time.NewTimer(2 * limit)
	defer timer.Stop()
	select {
	case <-a.done:
		return a.Err
	case <-timer.C:
	case <-ctx.Done():
	}
	return ErrMaybe
}

// Then has f called with the answer.
func (a *Answer) Then(f func(broker.Position, error)) {
	a.told.Store(&f)
	select {
	case <-a.done:
		a.tell()
	default: // Finish will see it
	}
}

// Finish ends the wait for the answer.
func (a *Answer) Finish() {
	close(a.done)
	a.tell()
}

func (a *Answer) tell() {
	if f := a.told.Swap(nil); f != nil {
		(*f)(a.At, a.Err)
	}
}
