package report

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ErrThreshold means that a threshold is not understood.
var ErrThreshold = errors.New("not a threshold")

// Threshold is a condition under which a run has failed, such as p99>60ms or lost>0.
type Threshold struct {
	text   string
	metric metric
	less   bool
	equal  bool
	limit  float64
}

// metric is a number of a result by name.
type metric struct {
	name string
	kind kind
	of   func(*Result) float64
}

type kind uint8

const (
	count   kind = iota // a number, with k, M or G
	millis              // a duration
	octets              // bytes, with KiB, MiB or GiB
	boolean             // 1 or 0
)

var metrics = []metric{
	{"p50", millis, func(r *Result) float64 { return r.quantile(.5, r.LatencyMs.P50) }},
	{"p90", millis, func(r *Result) float64 { return r.quantile(.9, r.LatencyMs.P90) }},
	{"p99", millis, func(r *Result) float64 { return r.quantile(.99, r.LatencyMs.P99) }},
	{"p999", millis, func(r *Result) float64 { return r.quantile(.999, r.LatencyMs.P999) }},
	{"max", millis, func(r *Result) float64 { return r.quantile(1, r.LatencyMs.Max) }},
	{"lost", count, func(r *Result) float64 { return float64(r.Lost) }},
	{"duplicated", count, func(r *Result) float64 { return float64(r.Duplicated) }},
	{"reordered", count, func(r *Result) float64 { return float64(r.Reordered) }},
	{"corrupted", count, func(r *Result) float64 { return float64(r.Corrupted) }},
	{"late", count, func(r *Result) float64 { return float64(r.Late) }},
	{"refused", count, func(r *Result) float64 { return float64(r.Refused) }},
	{"unsent", count, func(r *Result) float64 { return float64(r.Unsent) }},
	{"unseen", count, func(r *Result) float64 {
		if r.Presence == nil {
			return math.NaN()
		}
		return float64(r.Presence.Unseen)
	}},
	{"closed", count, func(r *Result) float64 { return float64(r.Connections.Closed) }},
	{"bytesMismatch", count, func(r *Result) float64 { return float64(r.Connections.BytesMismatch) }},
	{"received", count, func(r *Result) float64 { return float64(r.Received) }},
	{"deliveriesPerSecond", count, func(r *Result) float64 { return r.DeliveriesPerSecond }},
	{"publishesPerSecond", count, func(r *Result) float64 { return r.PublishesPerSecond }},
	{"connectsPerSecond", count, func(r *Result) float64 { return r.ConnectsPerSecond }},
	{"serverCpu", count, (*Result).serverCPU},
	{"memoryPerConnection", octets, func(r *Result) float64 {
		if r.ServerMemory == nil || r.ServerMemory.PerConnection == 0 {
			return math.NaN()
		}
		return r.ServerMemory.PerConnection
	}},
	{"valid", boolean, func(r *Result) float64 {
		if r.Valid {
			return 1
		}
		return 0
	}},
}

// serverCPU is in cores, NaN when it is not known.
func (res *Result) serverCPU() float64 {
	if res.ServerCPU == nil {
		return math.NaN()
	}
	return *res.ServerCPU
}

// quantile is a latency that a share of all that was due stayed within. What never arrived took longer than any limit:
// when it is more than the rest, the quantile is not known.
func (res *Result) quantile(share, ms float64) float64 {
	if res.LatencyMs.Count == 0 || float64(res.Lost) > (1-share)*float64(res.Expected)+1e-9 {
		return math.NaN()
	}
	return ms
}

// ParseThreshold reads a threshold: a name of a result's number, one of < <= > >= =, and a limit with
// its unit. Errors wrap ErrThreshold.
func ParseThreshold(text string) (Threshold, error) {
	t := Threshold{text: strings.Join(strings.Fields(text), "")}
	at := strings.IndexAny(t.text, "<>=")
	if at < 0 {
		return t, fmt.Errorf("%q: expected something like p99>60ms or lost>0: %w", text, ErrThreshold)
	}
	name, rest := strings.ReplaceAll(t.text[:at], "p99.9", "p999"), t.text[at+1:]
	t.less, t.equal = t.text[at] == '<', t.text[at] == '='
	orEqual := strings.HasPrefix(rest, "=")
	rest = strings.TrimPrefix(rest, "=")
	var names []string
	for _, m := range metrics {
		names = append(names, m.name)
		if m.name == name {
			t.metric = m
		}
	}
	if t.metric.of == nil {
		return t, fmt.Errorf("%q: no number %q, expected one of %s: %w", text, name, strings.Join(names, ", "), ErrThreshold)
	}
	limit, err := t.metric.parse(rest)
	if err != nil {
		return t, fmt.Errorf("%q: limit %q: %w: %w", text, rest, err, ErrThreshold)
	}
	t.limit = limit
	if orEqual && !t.equal { // as a strict comparison with the next number
		t.limit = math.Nextafter(limit, math.Inf(1))
		if !t.less {
			t.limit = math.Nextafter(limit, math.Inf(-1))
		}
	}
	return t, nil
}

func (m metric) parse(s string) (float64, error) {
	switch m.kind {
	case millis:
		d, err := time.ParseDuration(s)
		return float64(d) / 1e6, err
	case boolean:
		v, err := strconv.ParseBool(s)
		if v {
			return 1, err
		}
		return 0, err
	}
	scale := 1.0
	for _, u := range []struct {
		suffix string
		scale  float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"B", 1}} {
		if digits, ok := strings.CutSuffix(s, u.suffix); ok {
			s, scale = digits, u.scale
			break
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) { // no number is beyond it: the condition would never hold
		return 0, errors.New("expected a finite number")
	}
	return v * scale, err
}

// Failed reports whether the result fails by the threshold, and the number in words. A number that is not
// known fails.
func (t Threshold) Failed(r *Result) (failed bool, words string) {
	v := t.metric.of(r)
	switch {
	case math.IsNaN(v):
		words = t.text + ": " + t.metric.name + " is not known"
		if t.metric.kind == millis && r.Lost > 0 {
			words += fmt.Sprintf(": %d of %d never arrived", r.Lost, r.Expected)
		}
		return true, words
	case t.equal:
		failed = v == t.limit
	case t.less:
		failed = v < t.limit
	default:
		failed = v > t.limit
	}
	shown := strconv.FormatFloat(v, 'g', 6, 64)
	if t.metric.kind == millis {
		shown += "ms"
	}
	return failed, t.text + ": " + t.metric.name + " is " + shown
}
