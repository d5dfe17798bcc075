package stats

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/problem"
)

// Counters is what the relay counts. Every label comes from a list that is fixed at the start; nothing
// a client sends becomes one.
type Counters struct {
	Set *metrics.Set

	Opened        Family // by transport
	Ended         Family // by transport
	Subscriptions *metrics.Gauge
	Commands      Family              // by type
	Errors        Family              // told to clients, by code
	Closes        Family              // by close code
	Drops         Family              // readers given up, by reason
	Refused       Family              // connections not let in, by limit
	Shed          Family              // publishes and events refused
	Resumes       Family              // by outcome
	AuthFailures  Family              // by reason
	Classes       [6]*metrics.Counter // HTTP requests by the first digit of their status
	latency       *metrics.PrometheusHistogram
	perFrame      *metrics.PrometheusHistogram
	Spent         Histogram // as latency, finer
	BytesIn       *metrics.Counter
	FramesIn      *metrics.Counter
	Events        *metrics.Counter
	Panics        *metrics.Counter
	Passed        *metrics.Counter // connections that the front has passed on to the HTTP server
	Overflows     *metrics.Counter
	AcceptErrors  *metrics.Counter
}

// Family is a counter for each of a fixed list of labels, and one for everything else.
type Family struct {
	counters map[string]*metrics.Counter
	other    *metrics.Counter
}

func newFamily(set *metrics.Set, name, label string, values ...string) Family {
	f := Family{counters: make(map[string]*metrics.Counter)}
	for _, v := range values {
		f.counters[v] = set.NewCounter(fmt.Sprintf("%s{%s=%q}", name, label, v))
	}
	f.other = set.NewCounter(fmt.Sprintf("%s{%s=%q}", name, label, "other"))
	return f
}

// Of is the counter of a label.
func (f Family) Of(label any) *metrics.Counter {
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

// NamespaceCounters are what is counted by namespace; namespaces are the configuration's, so they are few.
type NamespaceCounters struct {
	Published metrics.Counter
	Conflated atomic.Uint64
}

// latencyBounds are the buckets of the time from publish to write, in seconds: a window of 50 ms lies in
// the middle.
var latencyBounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// New makes them in a set. open is how many connections there are now.
func New(set *metrics.Set, open func() float64) *Counters {
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
		problem.NotSubscribed, problem.NotText, problem.WrongOffset, problem.TooLarge, problem.TooManyItems, problem.RateLimited, problem.TooMany, problem.Internal, problem.Overloaded, problem.Storage, problem.Unavailable, problem.Draining} {
		faults = append(faults, f.Code)
	}
	m := &Counters{
		Set:          set,
		Opened:       newFamily(set, "weir_connections_opened_total", "transport", "ws", "sse"),
		Ended:        newFamily(set, "weir_connections_ended_total", "transport", "ws", "sse"),
		Commands:     newFamily(set, "weir_commands_total", "type", "ping", "subscribe", "unsubscribe", "publish", "message", "event", "history", "presence", "refresh", "call"),
		Errors:       newFamily(set, "weir_command_errors_total", "code", faults...),
		Closes:       newFamily(set, "weir_closes_total", "code", codes...),
		Drops:        newFamily(set, "weir_slow_readers_total", "reason", "slow"),
		Refused:      newFamily(set, "weir_connections_refused_total", "limit", "connections", "descriptors", "per_address", "per_user", "memory"),
		Shed:         newFamily(set, "weir_shed_total", "reason", "memory", "backlog", "late", "waiting"),
		Resumes:      newFamily(set, "weir_resumes_total", "outcome", "recovered", "snapshot", "resync"),
		AuthFailures: newFamily(set, "weir_auth_failures_total", "reason", append(reasons, "origin", "ticket", "api_key", "admin")...),
		latency:      set.NewPrometheusHistogramExt("weir_publish_to_write_seconds", latencyBounds),
		perFrame:     set.NewPrometheusHistogramExt("weir_messages_per_frame", []float64{1, 2, 5, 10, 20, 50, 100, 200, 512, 1024}),
		BytesIn:      set.NewCounter("weir_bytes_received_total"),
		FramesIn:     set.NewCounter("weir_frames_received_total"),
		Events:       set.NewCounter("weir_events_total"),
		Panics:       set.NewCounter("weir_panics_total"),
		Passed:       set.NewCounter("weir_connections_passed_total"),
		Overflows:    set.NewCounter("weir_side_work_overflows_total"),
		AcceptErrors: set.NewCounter("weir_accept_errors_total"),
	}
	for i, class := range []string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"} {
		m.Classes[i] = set.NewCounter(fmt.Sprintf("weir_http_requests_total{class=%q}", class))
	}
	m.Subscriptions = set.NewGauge("weir_subscriptions", nil)
	set.NewGauge("weir_connections", open)
	return m
}

// Observe is called by the pool for every frame that it has written on a shard.
func (m *Counters) Observe(f *pool.Frame, written time.Time) {
	spent := written.Sub(f.Since)
	m.latency.Update(spent.Seconds())
	m.Spent.add(spent)
	m.perFrame.Update(float64(f.Count))
}
