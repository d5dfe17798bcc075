package ratelimit

import (
	"time"

	"weir/internal/units"
)

// Bucket is a token bucket; its zero value is full. It belongs to one goroutine.
type Bucket struct {
	full time.Duration // when all tokens that were taken are back, since start; before it in tests. 0: they are
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
	full := at
	if b.full != 0 {
		full = max(at, b.full)
	}
	if (full-at).Seconds()*per+float64(n) > burst {
		return false
	}
	b.full = full + time.Duration(float64(n)/per*float64(time.Second))
	return true
}
