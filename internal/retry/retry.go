// Package retry computes when to try again what has failed: later each time, by chance, and not before the time that a
// receiver has named. It has no state.
package retry

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// least is the shortest backoff, so that nothing is tried again at once.
const least = 50 * time.Millisecond

// Jitter is a time from 0 up to d, any of them as likely: what failed together does not come back together.
func Jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// Backoff is how long to wait after so many failed attempts, from 1: a random time of up to first, which doubles
// with each further attempt, but not beyond longest.
func Backoff(attempts int, first, longest time.Duration) time.Duration {
	d := longest
	if n := attempts - 1; n < 32 && first<<n>>n == first {
		d = min(first<<n, longest)
	}
	return least + Jitter(d)
}

// After reads the header Retry-After: seconds, or a date. 0 if it is not there or makes no sense.
func After(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
