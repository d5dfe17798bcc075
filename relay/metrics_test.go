package relay

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/relay/config"
)

// sample is one line of the text format.
type sample struct {
	name, labels string
	value        float64
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:{([^}]*)})? (\S+)$`)
	labelsForm = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:, ?[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*")*$`)
)

// parseExposition reads the Prometheus text format, strictly: each sample once, the samples of a family in
// one place, histograms complete and cumulative.
func parseExposition(t *testing.T, text string) []sample {
	t.Helper()
	var list []sample
	seen := make(map[string]bool)
	families := make(map[string]bool)
	family := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "# HELP ") || strings.HasPrefix(line, "# TYPE ") {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil || m[2] != "" && !labelsForm.MatchString(m[2]) {
			t.Errorf("not a sample: %q", line)
			continue
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Errorf("value of %q: %v", line, err)
		}
		if seen[m[1]+m[2]] {
			t.Errorf("twice: %q", line)
		}
		seen[m[1]+m[2]] = true
		base := m[1]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if base != family {
			if families[base] && strings.HasPrefix(base, "weir_") {
				t.Errorf("the samples of %s are apart", base)
			}
			families[base], family = true, base
		}
		list = append(list, sample{m[1], m[2], v})
	}
	for i, s := range list {
		if !strings.HasPrefix(s.name, "weir_") || !strings.HasSuffix(s.name, "_bucket") {
			continue
		}
		if next := list[i+1]; strings.HasSuffix(next.name, "_bucket") && next.value < s.value {
			t.Errorf("buckets of %s fall: %v after %v", s.name, next, s)
		}
		if strings.Contains(s.labels, `le="+Inf"`) {
			base := strings.TrimSuffix(s.name, "_bucket")
			if list[i+1].name != base+"_sum" || list[i+2].name != base+"_count" || list[i+2].value != s.value {
				t.Errorf("after %v: %v %v", s, list[i+1], list[i+2])
			}
		}
	}
	return list
}

// Every family of the requirement is there, moves when what it counts happens, and can be read by
// Prometheus.
func TestMetrics(t *testing.T) {
	g := open(t)
	c, stream := g.client("u1"), g.follow("u2", "", "a")
	for range 3 {
		stream.hear()
	}
	at := c.subscribe("a", "").Position
	c.subscribe("held:1", `,"position":{"epoch":"other","seq":1}`)
	for i := range 3 {
		g.post(`"channel":"a","data":%d`, i)
		c.hear()
		stream.hear()
	}
	for i := range 4 {
		g.post(`"channel":"held:1","key":"k","data":%d`, i)
	}
	g.flush()
	c.hear()
	c.ask(`{"type":"nonsense"}`)
	gone := g.client("u3")
	gone.subscribe("a", `,"position":`+at.json())
	gone.leave()
	g.shake("/ws", "Authorization: Bearer x.y.z")
	g.shake("/ws")
	g.shake("/ws", "Authorization: Bearer "+mint(t, "u1"), "Origin: https://evil.example")
	g.api(404, "GET", "/v1/channels/none", "")

	resp := g.adminGet("/metrics")
	list := parseExposition(t, resp)
	if strings.Contains(resp, "vmrange") {
		t.Error("buckets that Prometheus cannot read")
	}
	values := make(map[string]float64)
	for _, s := range list {
		name := s.name
		if s.labels != "" {
			name += "{" + s.labels + "}"
		}
		values[name] = s.value
	}
	for name, want := range map[string]float64{
		`weir_connections_open{transport="ws"}`:            1,
		`weir_connections_open{transport="sse"}`:           1,
		`weir_connections_opened_total{transport="ws"}`:    2,
		`weir_connections_ended_total{transport="ws"}`:     1,
		`weir_subscriptions`:                               5, // with the users' own
		`weir_publishes_total{namespace="default"}`:        3,
		`weir_publishes_total{namespace="held"}`:           4,
		`weir_deliveries_total{namespace="default"}`:       6,
		`weir_deliveries_total{namespace="held"}`:          1,
		`weir_frames_total{namespace="default"}`:           6,
		`weir_conflated_messages_total{namespace="held"}`:  3,
		`weir_dropped_frames_total{namespace="held"}`:      0,
		`weir_resumes_total{outcome="recovered"}`:          1,
		`weir_resumes_total{outcome="snapshot"}`:           1,
		`weir_resumes_total{outcome="resync"}`:             0,
		`weir_slow_readers_total{reason="slow"}`:           0,
		`weir_queue_bytes`:                                 0,
		`weir_messages_per_frame_count`:                    4,
		`weir_messages_per_frame_bucket{le="1"}`:           4,
		`weir_publish_to_write_seconds_count`:              4,
		`weir_publish_to_write_seconds_bucket{le="+Inf"}`:  4,
		`weir_command_errors_total{code="unknown_type"}`:   1,
		`weir_commands_total{type="subscribe"}`:            3,
		`weir_closes_total{code="1000"}`:                   1,
		`weir_auth_failures_total{reason="origin"}`:        1,
		`weir_auth_failures_total{reason="malformed"}`:     1,
		`weir_http_requests_total{class="2xx"}`:            7,
		`weir_connections_refused_total{limit="per_user"}`: 0,
		`weir_panics_total`:                                0,
		`weir_expired_items_total`:                         0,
	} {
		if got, ok := values[name]; !ok || got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"weir_channels", "weir_items", "weir_log_changes", "weir_log_bytes", "weir_writes_total", "weir_bytes_sent_total",
		"weir_bytes_received_total", "weir_frames_received_total", "weir_replies_total", "weir_connections",
		"process_resident_memory_bytes", "go_goroutines"} {
		if values[name] <= 0 {
			t.Errorf("%s is %v", name, values[name])
		}
	}
	if t.Failed() {
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if strings.HasPrefix(name, "weir_") && values[name] != 0 {
				t.Log(name, values[name])
			}
		}
	}
}

// Nothing that clients name becomes a label.
func TestMetricsAreBounded(t *testing.T) {
	g := open(t)
	count := func() int { return len(parseExposition(t, g.adminGet("/metrics"))) }
	before := count()
	c := g.client("u1")
	for i := range 20 {
		c.ask(`{"type":"made-up-%d"}`, i)
		c.subscribe(fmt.Sprintf("made-up-%d:1", i), "")
		g.post(`"channel":"made-up-%d:1","data":1`, i)
		g.ask("BREW", fmt.Sprintf("/made-up-%d", i), "")
	}
	if after := count(); after != before {
		t.Errorf("%d samples, %d before", after, before)
	}
}

// The time from publish to write is measured from the first message of a window.
func TestLatencyIsMeasured(t *testing.T) {
	window, lazy := 60*time.Millisecond, false
	g := open(t, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.Batch = config.Batch{Window: &window, Eager: &lazy}
		c.Namespaces["lazy"] = ns
	})
	c := g.client("u1")
	c.subscribe("lazy:1", "")
	start := time.Now()
	g.post(`"channel":"lazy:1","data":1`)
	c.hear()
	g.flush() // what was written is measured when all of it has been, which a client may hear before
	sum, err := strconv.ParseFloat(g.metric("weir_publish_to_write_seconds_sum"), 64)
	most := time.Since(start).Seconds()
	if err != nil || sum <= 0 || sum > most {
		t.Errorf("%v seconds were measured, at most %v: %v", sum, most, err)
	}
}
