package webhook

import (
	"time"

	"weir/internal/retry"
)

// The limits of a breaker.
const (
	breakAfter  = 5           // failures in a row that open it
	firstRest   = time.Second // before the first probe
	longestRest = time.Minute // between later ones
)

// breaker keeps an address that does not respond from a request for every event that waits. While it is closed, all
// requests may begin; while it is open none until the rest is over, and then one probe at a time. The zero value is
// closed. Guarded by its endpoint's mu.
type breaker struct {
	failures int
	open     bool
	probing  bool
	rest     time.Duration
	until    time.Time // of the rest
}

// ready reports whether a request may begin now, and otherwise when to ask again: zero if the probe under way decides.
func (b *breaker) ready(now time.Time) (ok bool, again time.Time) {
	switch {
	case b.open && b.probing:
		return false, time.Time{}
	case b.open && now.Before(b.until):
		return false, b.until
	}
	return true, time.Time{}
}

// begin notes that a request begins.
func (b *breaker) begin() { b.probing = b.open }

// failed counts a failure. While the breaker is open, only that of the probe counts.
func (b *breaker) failed(now time.Time) {
	b.failures++
	switch {
	case b.open && !b.probing, !b.open && b.failures < breakAfter:
		return
	case b.open:
		b.rest = min(2*b.rest, longestRest)
	default:
		b.rest = firstRest
	}
	b.open, b.probing = true, false
	b.until = now.Add(b.rest/2 + retry.Jitter(b.rest/2))
}
