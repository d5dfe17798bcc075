package webhook

import (
	"time"

	"weir/internal/retry"
)

// The breaker's measures.
const (
	breakAfter  = 5           // failures in a row that open it
	firstRest   = time.Second // before the first probe
	longestRest = time.Minute // between later ones
)

// breaker keeps an address that does not answer from being asked by every event that waits. Closed, all may
// try; open, nobody until the rest is over; then one probe at a time decides. It belongs to its endpoint.
type breaker struct {
	failures int
	open     bool
	probing  bool
	rest     time.Duration
	until    time.Time // of the rest
}

// ready says whether an attempt may begin now, and otherwise when to ask again: zero if an attempt under way
// decides that.
func (b *breaker) ready(now time.Time) (ok bool, again time.Time) {
	switch {
	case !b.open:
		return true, time.Time{}
	case b.probing:
		return false, time.Time{}
	case now.Before(b.until):
		return false, b.until
	}
	return true, time.Time{}
}

// begin notes an attempt.
func (b *breaker) begin() { b.probing = b.open }

// succeeded closes the breaker.
func (b *breaker) succeeded() { *b = breaker{} }

// failed counts a failure. Of attempts that began before the breaker opened, it takes no more notice.
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

// reset forgets everything: whoever asks wants it tried.
func (b *breaker) reset() { *b = breaker{} }
