package relay

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/problem"
)

// metricSet is what the relay counts. Every label comes from a list that is fixed at the start; nothing
// a client sends becomes one.
type metricSet struct {
	set *metrics.Set

	opened        family // by transport
	ended         family // by transport
	subscriptions *metrics.Gauge
	commands      family              // by type
	errors        family              // told to clients, by code
	closes        family              // by close code
	drops         family              // readers given up, by reason
	refused       family              // connections not let in, by limit
	shed          family              // publishes and events refused
	resumes       family              // by outcome
	authFailures  family              // by reason
	classes       [6]*metrics.Counter // HTTP requests by the first digit of their status
	latency       *metrics.PrometheusHistogram
	perFrame      *metrics.PrometheusHistogram
	spent         durations // as latency, finer
	bytesIn       *metrics.Counter
	framesIn      *metrics.Counter
	events        *metrics.Counter
	panics        *metrics.Counter
	passed        *metrics.Counter // connections that the front has passed on to the HTTP server
	overflows     *metrics.Counter
	acceptErrors  *metrics.Counter
}

// family is a counter for each of a fixed list of labels, and one for everything else.
type family struct {
	counters map[string]*metrics.Counter
	other    *metrics.Counter
}

func newFamily(set *metrics.Set, name, label string, values ...string) family {
	f := family{counters: make(map[string]*metrics.Counter)}
	for _, v := range values {
		f.counters[v] = set.NewCounter(fmt.Sprintf("%s{%s=%q}", name, label, v))
	}
	f.other = set.NewCounter(fmt.Sprintf("%s{%s=%q}", name, label, "other"))
	return f
}

// of is the counter of a label.
func (f family) of(label any) *metrics.Counter {
	var key string
	switch l := label.(type) {
	case string:
		key = l
	case int:
		key = strconv.Itoa(l)
	}
	if c, ok := f.counters[key]; ok {
		return c
	}
	return f.other
}

// namespaceCounters are what is counted by namespace; namespaces are the configuration's, so they are few.
type namespaceCounters struct {
	published metrics.Counter
	conflated atomic.Uint64
}

// latencyBounds are the buckets of the time from publish to write, in seconds: a window of 50 ms lies in
// the middle.
var latencyBounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

func newMetrics(r *Relay, set *metrics.Set) *metricSet {
	var codes []string
	for _, c := range []int{wire.CloseNormal, wire.CloseGoingAway, wire.CloseProtocol, wire.CloseUnsupported, wire.CloseBadUTF8, wire.ClosePolicy,
		wire.CloseTooBig, wire.CloseInternal, wire.CloseOverloaded, wire.CloseUnauthorized, wire.CloseForbidden, wire.CloseSlow, wire.CloseNoPong,
		wire.CloseRateLimit, wire.CloseDraining} {
		codes = append(codes, strconv.Itoa(c))
	}
	var reasons []string
	for _, reason := range auth.Reasons() {
		reasons = append(reasons, string(reason))
	}
	var faults []string
	for _, f := range []*problem.Error{problem.BadJSON, problem.BadField, problem.UnknownType, problem.BadChannel, problem.BadName, problem.Unauthorized, problem.TokenExpired, problem.Forbidden, problem.NotFound,
		problem.NotSubscribed, problem.TooLarge, problem.TooManyItems, problem.RateLimited, problem.TooMany, problem.Internal, problem.Overloaded, problem.Storage, problem.Unavailable, problem.Draining} {
		faults = append(faults, f.Code)
	}
	m := &metricSet{
		set:          set,
		opened:       newFamily(set, "weir_connections_opened_total", "transport", "ws", "sse"),
		ended:        newFamily(set, "weir_connections_ended_total", "transport", "ws", "sse"),
		commands:     newFamily(set, "weir_commands_total", "type", "ping", "subscribe", "unsubscribe", "publish", "message", "event", "history", "presence", "refresh"),
		errors:       newFamily(set, "weir_command_errors_total", "code", faults...),
		closes:       newFamily(set, "weir_closes_total", "code", codes...),
		drops:        newFamily(set, "weir_slow_readers_total", "reason", "slow"),
		refused:      newFamily(set, "weir_connections_refused_total", "limit", "connections", "descriptors", "per_address", "per_user", "memory"),
		shed:         newFamily(set, "weir_shed_total", "reason", "memory", "backlog", "waiting"),
		resumes:      newFamily(set, "weir_resumes_total", "outcome", "recovered", "snapshot", "resync"),
		authFailures: newFamily(set, "weir_auth_failures_total", "reason", append(reasons, "origin", "ticket", "api_key", "admin")...),
		latency:      set.NewPrometheusHistogramExt("weir_publish_to_write_seconds", latencyBounds),
		perFrame:     set.NewPrometheusHistogramExt("weir_messages_per_frame", []float64{1, 2, 5, 10, 20, 50, 100, 200, 512, 1024}),
		bytesIn:      set.NewCounter("weir_bytes_received_total"),
		framesIn:     set.NewCounter("weir_frames_received_total"),
		events:       set.NewCounter("weir_events_total"),
		panics:       r.panics,
		passed:       set.NewCounter("weir_connections_passed_total"),
		overflows:    set.NewCounter("weir_side_work_overflows_total"),
		acceptErrors: set.NewCounter("weir_accept_errors_total"),
	}
	for i, class := range []string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		m.classes[i] = set.NewCounter(fmt.Sprintf("weir_http_requests_total{class=%q}", class))
	}
	m.subscriptions = set.NewGauge("weir_subscriptions", nil)
	set.NewGauge("weir_connections", func() float64 { return float64(r.open()) })
	set.RegisterMetricsWriter(r.writeTotals)
	return m
}

// closed counts a session out.
func (m *metricSet) closed(s *session) {
	if s.sse != nil {
		m.ended.of("sse").Inc()
		return
	}
	m.ended.of("ws").Inc()
}

// observe is called by the pool for every frame that it has written on a shard.
func (m *metricSet) observe(f *pool.Frame, written time.Time) {
	spent := written.Sub(f.Since)
	m.latency.Update(spent.Seconds())
	m.spent.add(spent)
	m.perFrame.Update(float64(f.Count))
}

// writeTotals writes what is counted elsewhere.
func (r *Relay) writeTotals(w io.Writer) {
	p := r.pool.Stats()
	b := r.broker.Stats()
	count := func(name string, v uint64) { metrics.WriteCounterUint64(w, name, v) }
	gauge := func(name string, v int64) { metrics.WriteGaugeUint64(w, name, uint64(max(v, 0))) }
	for _, transport := range []string{"ws", "sse"} {
		gauge(fmt.Sprintf("weir_connections_open{transport=%q}", transport), r.metrics.openOf(transport))
	}
	count("weir_writes_total", p.Writes)
	count("weir_bytes_sent_total", p.Bytes)
	count("weir_replies_total", p.Replies)
	count("weir_stalled_closes_total", p.Timeouts)
	count("weir_write_errors_total", p.Failed)
	gauge("weir_queue_bytes", p.Queued)
	gauge("weir_queued_connections", p.Stalled)
	gauge("weir_backlog_bytes", p.Backlog)
	var waiting int64
	var stretch float64
	for _, x := range r.batchers {
		waiting += x.Waiting()
		stretch = max(stretch, x.Stretch())
	}
	gauge("weir_batch_bytes", waiting)
	gauge("weir_waiting_bytes", r.held.Load())
	metrics.WriteGaugeFloat64(w, "weir_window_stretch", stretch)
	gauge("weir_channels", b.Channels)
	gauge("weir_items", b.Items)
	gauge("weir_log_changes", b.Changes)
	gauge("weir_log_bytes", b.Bytes)
	count("weir_expired_items_total", b.Expired)
	gauge("weir_presence_users", r.presence.there.Load())
	count("weir_presence_joins_total", r.presence.joins.Load())
	count("weir_presence_leaves_total", r.presence.leaves.Load())
	// One family after the other, as the exposition format wants its samples.
	names := r.policies.list()
	for _, column := range []struct {
		name string
		of   func(*namespace) uint64
	}{
		{"weir_publishes_total", func(n *namespace) uint64 { return n.counted.published.Get() }},
		{"weir_deliveries_total", func(n *namespace) uint64 { return n.meter.Messages.Load() }},
		{"weir_frames_total", func(n *namespace) uint64 { return n.meter.Frames.Load() }},
		{"weir_dropped_frames_total", func(n *namespace) uint64 { return n.meter.Dropped.Load() }},
		{"weir_conflated_messages_total", func(n *namespace) uint64 { return n.counted.conflated.Load() }},
	} {
		for _, ns := range names {
			count(fmt.Sprintf("%s{namespace=%q}", column.name, ns.name), column.of(ns))
		}
	}
}

// list is the namespaces in the order of their names.
func (p *policies) list() []*namespace {
	out := []*namespace{p.fallback}
	for _, ns := range *p.named.Load() {
		out = append(out, ns)
	}
	slices.SortFunc(out, func(a, b *namespace) int { return cmp.Compare(a.name, b.name) })
	return out
}
