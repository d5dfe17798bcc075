// Package breaker keeps a receiver that does not respond from being asked by everybody who waits.
//
// While a [Breaker] is closed, all requests may begin. So many failures in a row open it: then none may begin until a rest is
// over, and after that one at a time, as a probe. A success closes it. It has a lock of its own, a leaf, and no goroutine.
package breaker

import (
	"sync"
	"time"

	"weir/internal/retry"
)

// Breaker is safe for concurrent use. Set its fields once, before use.
type Breaker struct {
	After    int             // failures in a row that open it
	First    time.Duration   // rest before the first probe
	Longest  time.Duration   // rest between later ones
	OnChange func(open bool) // called when it opens and closes, under the lock; nil: nobody is told

	// Guarded by mu.
	mu       sync.Mutex
	failures int
	open     bool
	probing  bool
	rest     time.Duration
	until    time.Time
}

// Open reports whether a request would be refused now.
func (b *Breaker) Open(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refuses(now)
}

// Broken reports whether the last requests have failed, whether a probe may begin or not.
func (b *Breaker) Broken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

// Begin reports whether a request may begin now. If it may, Done is to be called with what has come of it.
func (b *Breaker) Begin(now time.Time) bool {
	ok, _ := b.Next(now)
	return ok
}

// Next is Begin that also returns when to ask again; the zero time if the probe under way decides.
func (b *Breaker) Next(now time.Time) (ok bool, again time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuses(now) {
		if !b.probing {
			again = b.until
		}
		return false, again
	}
	b.probing = b.open
	return true, time.Time{}
}

func (b *Breaker) refuses(now time.Time) bool { return b.open && (b.probing || now.Before(b.until)) }

// Done notes what has come of a request that began. While the breaker is open, only failures of the probe count.
func (b *Breaker) Done(now time.Time, failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.open
	if !failed {
		b.failures, b.open, b.probing = 0, false, false
	} else {
		b.failed(now)
	}
	if b.open != was && b.OnChange != nil {
		b.OnChange(b.open)
	}
}

// Cancel notes that a request that began has said nothing of the receiver.
func (b *Breaker) Cancel() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

func (b *Breaker) failed(now time.Time) {
	b.failures++
	switch {
	case b.open && !b.probing, !b.open && b.failures < b.After:
		return
	case b.open:
		b.rest = min(2*b.rest, b.Longest)
	default:
		b.rest = b.First
	}
	b.open, b.probing = true, false
	b.until = now.Add(b.rest/2 + retry.Jitter(b.rest/2))
}
