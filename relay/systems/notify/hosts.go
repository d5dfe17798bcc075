package notify

import (
	"time"

	"weir/internal/retry"
)

// The limits of a host's rest.
const (
	restAfter   = 5           // attempts in a row without a response
	firstRest   = time.Second // doubled with each further one
	longestRest = 30 * time.Second
	maxHosts    = 4096 // beyond that, no more are watched
)

// hosts are the hosts that do not respond, by name; a configured service counts by its kind of device. While one rests,
// no attempt is made. Guarded by the queue's mu.
type hosts map[string]*hostHealth

type hostHealth struct {
	failures int
	until    time.Time // of its rest
}

func (d *device) hostKey() string {
	if host := d.host(); host != "" {
		return host
	}
	return d.Kind
}

// rests returns until when nothing is sent to the host of a device; zero: it does not rest.
func (h hosts) rests(d *device, now time.Time) time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	if x := h[d.hostKey()]; x != nil && now.Before(x.until) {
		return x.until
	}
	return time.Time{}
}

// note notes the outcome of an attempt.
func (h hosts) note(d *device, o outcome, now time.Time) {
	if !o.silent && len(h) == 0 {
		return
	}
	key := d.hostKey()
	x := h[key]
	switch {
	case !o.silent:
		delete(h, key)
		return
	case x == nil && len(h) >= maxHosts:
		h.sweep(now)
		if len(h) >= maxHosts {
			return
		}
		fallthrough
	case x == nil:
		x = new(hostHealth)
		h[key] = x
	}
	x.failures++
	if x.failures >= restAfter && !now.Before(x.until) {
		rest := firstRest << min(x.failures-restAfter, 8)
		x.until = now.Add(min(rest, longestRest)/2 + retry.Jitter(min(rest, longestRest)/2))
	}
}

// sweep removes the hosts whose rest is long over: nothing is sent to them any more.
func (h hosts) sweep(now time.Time) {
	for key, x := range h {
		if now.Sub(x.until) > longestRest {
			delete(h, key)
		}
	}
}
