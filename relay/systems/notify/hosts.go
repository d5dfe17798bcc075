package notify

import (
	"time"

	"weir/internal/retry"
)

// The measures of a host's rest.
const (
	restAfter   = 5           // attempts in a row without an answer
	firstRest   = time.Second // doubled with each further one
	longestRest = 30 * time.Second
	mostHosts   = 4096 // beyond that, no more are watched
)

// hosts are those that do not answer, by name; a service that is configured counts by its kind. While one rests,
// it takes no attempt. The queue's mu guards it.
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

// rests answers until when the host of a device is not to be asked; zero if it may be.
func (h hosts) rests(d *device, now time.Time) time.Time {
	if len(h) == 0 {
		return time.Time{}
	}
	if x := h[d.hostKey()]; x != nil && now.Before(x.until) {
		return x.until
	}
	return time.Time{}
}

// note takes account of an attempt.
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
	case x == nil && len(h) >= mostHosts:
		h.sweep(now)
		if len(h) >= mostHosts {
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

// sweep forgets those whose rest is long over: nobody asks for them any more.
func (h hosts) sweep(now time.Time) {
	for key, x := range h {
		if now.Sub(x.until) > longestRest {
			delete(h, key)
		}
	}
}
