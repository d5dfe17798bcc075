package analytics

import (
	"fmt"
	"strings"
	"time"

	"weir/relay/config"
	"weir/relay/systems/internal/encode"
)

// rule is an alert that may be raised.
type rule struct {
	config Alert // set once
	window int64 // seconds
	hold   int64 // seconds

	// Guarded by System.mu.
	raised bool
	since  int64 // second from which on it has been raised
	turn   int64 // first second of those, up to now, that speak for the other state; 0: the last one did not
	value  float64
}

func newRule(a Alert, gauge bool) *rule {
	if a.Of == "" {
		a.Of = alertRate
		if gauge {
			a.Of = alertMean
		}
	}
	return &rule{config: a, window: int64(a.Window / time.Second), hold: int64((a.Hold + time.Second - 1) / time.Second)}
}

// measure returns the value of the window that ends with a second. ok is false if there is none: no event to take the mean
// of, or, for an alert below a threshold, less than a window since the start.
func (r *rule) measure(m *metric, second, started int64) (value float64, ok bool) {
	var p point
	if m != nil {
		p = m.seconds.sum(second+1-r.window, second+1)
	}
	ok = r.config.When == alertAbove || second+1-r.window >= started
	switch r.config.Of {
	case alertCount:
		return float64(p.count), ok
	case alertSum:
		return p.sum, ok
	case alertMean:
		return p.mean(), ok && p.count > 0
	default:
		return float64(p.count) / float64(r.window), ok
	}
}

// step evaluates the rule after a second, and reports whether the alert was raised or cleared by it.
func (r *rule) step(m *metric, second, started int64) (changed bool) {
	value, ok := r.measure(m, second, started)
	r.value = value
	turning := ok && beyond(r.config.When, value, *r.config.Threshold)
	if r.raised { // without a value, it is cleared
		turning = !ok || !beyond(r.config.When, value, *r.config.Clear)
	}
	if !turning {
		r.turn = 0
		return false
	}
	if r.turn == 0 {
		r.turn = second
	}
	if second-r.turn < r.hold {
		return false
	}
	r.raised, r.since, r.turn = !r.raised, second, 0
	return true
}

// beyond reports whether a value has reached a threshold.
func beyond(when string, value, threshold float64) bool {
	if when == alertBelow {
		return value <= threshold
	}
	return value >= threshold
}

// message returns the text of the alert.
func (r *rule) message() string {
	if r.config.Message != "" {
		return r.config.Message
	}
	side, limit := r.config.When, *r.config.Threshold
	if !r.raised {
		side, limit = map[string]string{alertAbove: alertBelow, alertBelow: alertAbove}[side], *r.config.Clear
	}
	return fmt.Sprintf("%s: the %s over %s is %.6g, %s %.6g", r.config.Metric, r.config.Of, config.FormatDuration(r.config.Window), r.value, side, limit)
}

// json is the alert as JSON.
func (r *rule) json(second int64) []byte {
	kind, action, name := splitLabel(r.config.Metric)
	state := "cleared"
	if r.raised {
		state = "raised"
	}
	c := &r.config
	return encode.Object("name", c.Name, "level", c.Level, "state", state, "message", r.message(),
		"metric", encode.Object("type", kind, "action", action, "name", encode.Maybe(name), "value", r.value, "timestamp", second*1000),
		"of", c.Of, "when", c.When, "window", c.Window.Milliseconds(), "threshold", *c.Threshold, "clear", *c.Clear, "since", r.since*1000)
}

// splitLabel splits the label of a metric.
func splitLabel(label string) (kind, action, name string) {
	label, name, _ = strings.Cut(label, "/")
	kind, action, _ = strings.Cut(label, ".")
	return kind, action, name
}
