package ratelimit

import (
	"time"

	"weir/internal/units"
)

// Bucket is a token bucket; its zero value is full. It belongs to one goroutine.
type Bucket struct {
	used float64       // tokens taken and not yet back
	at   time.Duration // when that was, since start; before it in tests
}

var start = time.Now()

// Take takes a token. It returns false if there is none: more than burst were taken within what rate
// gives back. A rate without a limit always has one.
func (b *Bucket) Take(rate units.Rate, burst float64, now time.Time) bool {
	return b.TakeMany(1, rate, burst, now)
}

// TakeMany takes n tokens, or none.
func (b *Bucket) TakeMany(n int, rate units.Rate, burst float64, now time.Time) bool {
	per := rate.PerSecond()
	if per == 0 {
		return true
	}
	at := now.Sub(start)
	if b.used > 0 { // of one that is full at says nothing
		b.used = max(b.used-(at-b.at).Seconds()*per, 0)
	}
	b.at = at
	if b.used+float64(n) > burst {
		return false
	}
	b.used += float64(n)
	return true
}
