// Package hosts knows which hosts do not respond, so that each attempt need not find out.
//
// The entry point is [Hosts]. It has no lock: who has it guards it.
package hosts

import (
	"time"

	"weir/internal/retry"
)

// The limits of a host's rest.
const (
	RestAfter   = 5           // attempts in a row without a response
	firstRest   = time.Second // doubled with each further one
	longestRest = 30 * time.Second
	Max         = 4096 // beyond that, no more are watched
)

// Hosts are the hosts that do not respond, by name; a configured service counts by its kind of device. While one rests,
// no attempt is made.
type Hosts map[string]*health

type health struct {
	failures int
	until    time.Time // of its rest
}

// Rests returns until when nothing is sent to a host; zero: it does not rest.
func (h Hosts) Rests(name string, now time.Time) time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	if x := h[name]; x != nil && now.Before(x.until) {
		return x.until
	}
	return time.Time{}
}

// Note notes the outcome of an attempt: silent, there was no response at all.
func (h Hosts) Note(name string, silent bool, now time.Time) {
	if !silent && len(h) == 0 {
		return
	}
	x := h[name]
	switch {
	case !silent:
		delete(h, name)
		return
	case x == nil && len(h) >= Max:
		h.sweep(now)
		if len(h) >= Max {
			return
		}
		fallthrough
	case x == nil:
		x = new(health)
		h[name] = x
	}
	x.failures++
	if x.failures >= RestAfter && !now.Before(x.until) {
		rest := firstRest << min(x.failures-RestAfter, 8)
		x.until = now.Add(min(rest, longestRest)/2 + retry.Jitter(min(rest, longestRest)/2))
	}
}

// sweep removes the hosts whose rest is long over: nothing is sent to them any more.
func (h Hosts) sweep(now time.Time) {
	for key, x := range h {
		if now.Sub(x.until) > longestRest {
			delete(h, key)
		}
	}
}
