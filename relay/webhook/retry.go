package webhook

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Of two attempts at one event, the later waits up to twice as long as the one before.
const (
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
	leastBackoff   = 50 * time.Millisecond
)

// jitter is a time from 0 up to d, any of them as likely: what failed together does not come back together.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// backoff is how long to wait after so many failed attempts at an event: from 1.
func backoff(attempts int) time.Duration {
	d := longestBackoff
	if attempts < 16 {
		d = min(firstBackoff<<(attempts-1), longestBackoff)
	}
	return leastBackoff + jitter(d)
}

// retryAfter reads the header of that name: seconds, or a date. 0 if it is not there or makes no sense.
func retryAfter(h http.Header, now time.Time) time.Duration {
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

// verdict is what an answer means for the event.
type verdict int

const (
	delivered verdict = iota
	failed            // to be tried again
	refused           // the event is what the receiver does not want: trying again changes nothing
	gone              // the receiver wants no events at all
)

// judge says what a status means.
func judge(status int) verdict {
	switch {
	case status >= 200 && status < 300:
		return delivered
	case status == http.StatusGone:
		return gone
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge,
		status == http.StatusUnsupportedMediaType, status == http.StatusUnprocessableEntity:
		return refused
	}
	return failed
}
