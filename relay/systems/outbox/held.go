package outbox

import (
	"time"

	"weir/internal/retry"
)

// maxHeld bounds the channels whose rows are passed over because one was refused for now. Beyond it nothing is published until one is due.
const maxHeld = 1000

// The pauses of a channel whose rows are refused for now.
const (
	firstHold = 100 * time.Millisecond
	lastHold  = 5 * time.Second
)

// holds are the channels whose rows wait.
type holds map[string]*hold

// hold is a channel whose row was refused for now.
type hold struct {
	attempts int
	until    time.Time // then it is tried again; zero: it is being tried
}

// refuse has a channel wait.
func (h holds) refuse(channel string, now time.Time) {
	x := h[channel]
	if x == nil {
		x = new(hold)
		h[channel] = x
	}
	x.attempts++
	x.until = now.Add(retry.Backoff(x.attempts, firstHold, lastHold))
}

// waits reports whether rows of a channel are passed over.
func (h holds) waits(channel string) bool {
	x := h[channel]
	return x != nil && !x.until.IsZero()
}

// due lets channels be tried again whose time has come, and reports whether there are any.
func (h holds) due(now time.Time) (any bool) {
	for _, x := range h {
		if !x.until.IsZero() && !now.Before(x.until) {
			x.until, any = time.Time{}, true
		}
	}
	return any
}

// next is when the next one is due; zero: none is.
func (h holds) next() (at time.Time) {
	for _, x := range h {
		if !x.until.IsZero() && (at.IsZero() || x.until.Before(at)) {
			at = x.until
		}
	}
	return at
}

// channels are those whose rows are passed over; never nil, which SQL takes for NULL.
func (h holds) channels() []string {
	list := make([]string, 0, len(h))
	for name := range h {
		if h.waits(name) {
			list = append(list, name)
		}
	}
	return list
}
