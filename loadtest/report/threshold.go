package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// errThreshold means that a threshold is not understood.
var errThreshold = errors.New("not a threshold")

// Threshold is a condition under which a run has failed, such as p99>60ms or lost>0.
type Threshold struct {
	text   string
	metric metric
	less   bool
	equal  bool
	limit  float64
}

// metric is a number of a result that has a name of its own.
type metric struct {
	name string
	kind kind
	path string // in the result; empty: the name
}

type kind uint8

const (
	count   kind = iota // a number, with k, M or G
	millis              // a duration
	octets              // bytes, with KiB, MiB or GiB; none are not known
	boolean             // 1 or 0
)

var metrics = []metric{
	{"p50", millis, "latencyMs.p50"}, {"p90", millis, "latencyMs.p90"}, {"p99", millis, "latencyMs.p99"}, {"p999", millis, "latencyMs.p999"},
	{"max", millis, "latencyMs.max"}, {"lost", count, ""}, {"duplicated", count, ""}, {"reordered", count, ""}, {"corrupted", count, ""},
	{"late", count, ""}, {"refused", count, ""}, {"unsent", count, ""}, {"unseen", count, "presence.unseen"}, {"closed", count, "connections.closed"},
	{"bytesMismatch", count, "connections.bytesMismatch"}, {"received", count, ""}, {"deliveriesPerSecond", count, ""},
	{"publishesPerSecond", count, ""}, {"connectsPerSecond", count, ""}, {"serverCpu", count, ""},
	{"memoryPerConnection", octets, "serverMemory.perConnection"}, {"valid", boolean, ""},
}

// Number is a number of a report that conditions may name.
type Number struct{ Name, Kind string }

// Numbers are those that there are.
func Numbers() (list []Number) {
	kinds := map[kind]string{count: "a number, with k, M or G", millis: "a duration, such as 60ms", octets: "bytes, with KiB, MiB or GiB", boolean: "true or false"}
	for _, m := range metrics {
		list = append(list, Number{m.name, kinds[m.kind]})
	}
	return list
}

// shares are the quantiles by name: what share of all that was due stayed within each.
var shares = map[string]float64{"p50": .5, "p90": .9, "p99": .99, "p999": .999, "max": 1}

// of returns the number, NaN if it is not known. What never arrived took longer than any limit: when it is more than the rest
// beyond a quantile, that is not known.
func (m metric) of(res *Result) float64 {
	v := res.at(cmp.Or(m.path, m.name))
	unknown := m.kind == octets && v == 0
	if m.kind == millis {
		unknown = res.LatencyMs.Count == 0 || float64(res.Lost) > (1-shares[m.name])*float64(res.Expected)+1e-9
	}
	return knownIf(!unknown, v)
}

// at returns the number at a path of the result's JSON, such as latencyMs.p99; NaN if it is not known there.
func (res *Result) at(path string) float64 {
	short := *res
	short.Series, short.Curve = nil, nil
	b, err := json.Marshal(short)
	for name := range strings.SplitSeq(path, ".") {
		var fields map[string]json.RawMessage
		if err == nil {
			err = json.Unmarshal(b, &fields)
		}
		b = fields[name]
	}
	switch v, err := strconv.ParseFloat(string(b), 64); {
	case err == nil:
		return v
	case string(b) == "true":
		return 1
	case string(b) == "false":
		return 0
	}
	return math.NaN()
}

// ParseThreshold reads a threshold: a name of a result's number, one of < <= > >= =, and a limit with
// its unit. Errors wrap errThreshold.
func ParseThreshold(text string) (Threshold, error) {
	t := Threshold{text: strings.Join(strings.Fields(text), "")}
	at := strings.IndexAny(t.text, "<>=")
	if at < 0 {
		return t, fmt.Errorf("%q: expected something like p99>60ms or lost>0: %w", text, errThreshold)
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
	if t.metric.name == "" {
		return t, fmt.Errorf("%q: no number %q, expected one of %s: %w", text, name, strings.Join(names, ", "), errThreshold)
	}
	limit, err := t.metric.parse(rest)
	if err != nil {
		return t, fmt.Errorf("%q: limit %q: %w: %w", text, rest, err, errThreshold)
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
