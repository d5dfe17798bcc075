package hooks

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"

	"weir/relay"
	"weir/relay/config"
)

// Name is what logs and the table of metrics call the system. Its settings switch it on, not the list of systems.
const Name = "hooks"

// Module returns the system for the list of the binary.
func Module() relay.Module {
	by := func(labels ...string) []string { return labels }
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			On:          func(c *config.Config) bool { return config.Of[Config](c).on() },
			Identifies:  func(c *config.Config) bool { return config.Of[Config](c).address(askConnect) != "" },
			Decides:     func(c *config.Config) bool { return config.Of[Config](c).decides() },
			Section:     func() config.Section { return new(Config) },
			Check:       check,
			Namespaces:  []string{Namespace},
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_hooks_questions_total", Type: relay.Counter, Labels: by("hook", "outcome"), Help: "Questions to the backend: allowed, refused, failed (no answer, or a wrong one), busy (it waited too long for its turn) or open (not asked, since the breaker is open)."},
			{Name: "weir_hooks_seconds", Type: relay.Histogram, Labels: by("hook"), Help: "Time that the backend took to answer."},
			{Name: "weir_hooks_remembered_total", Type: relay.Counter, Labels: by("hook"), Help: "Questions that were not asked, since the answer was remembered."},
			{Name: "weir_hooks_stale_total", Type: relay.Counter, Labels: by("hook"), Help: "Questions without an answer in whose place an older one served."},
			{Name: "weir_hooks_resumed_total", Type: relay.Counter, Help: "Clients that came back with a resume ticket, without a question."},
			{Name: "weir_hooks_breaker_open", Type: relay.Gauge, Labels: by("hook"), Help: "1 while the backend is not asked because it has not answered."},
			{Name: "weir_hooks_under_way", Type: relay.Gauge, Help: "Questions that are under way."},
			{Name: "weir_hooks_answers", Type: relay.Gauge, Labels: by("hook"), Help: "Answers that are remembered."},
		},
	}
}

// The outcomes of a question, as metrics name them.
const (
	outcomeAllowed = "allowed"
	outcomeRefused = "refused"
	outcomeFailed  = "failed"
	outcomeBusy    = "busy"
	outcomeOpen    = "open"
)

// counters are the system's metrics.
type counters struct {
	set     *metrics.Set
	resumed *metrics.Counter
}

// hookCounters are those of one question.
type hookCounters struct {
	outcomes          map[string]*metrics.Counter
	remembered, stale *metrics.Counter
	seconds           *metrics.PrometheusHistogram
}

func newCounters(s *System) counters {
	set := s.host.Metrics()
	set.NewGauge("weir_hooks_under_way", func() float64 { return float64(len(s.slots)) })
	set.NewGauge(`weir_hooks_answers{hook="connect"}`, func() float64 { return float64(s.clients.Len()) })
	set.NewGauge(`weir_hooks_answers{hook="subscribe"}`, func() float64 { return float64(s.decisions.Len()) })
	return counters{set: set, resumed: set.NewCounter("weir_hooks_resumed_total")}
}

func (c *counters) of(h *hook) *hookCounters {
	label := func(name string) string { return fmt.Sprintf("%s{hook=%q}", name, h.name) }
	x := &hookCounters{outcomes: make(map[string]*metrics.Counter), seconds: c.set.NewPrometheusHistogram(label("weir_hooks_seconds")),
		remembered: c.set.NewCounter(label("weir_hooks_remembered_total")), stale: c.set.NewCounter(label("weir_hooks_stale_total"))}
	for _, o := range []string{outcomeAllowed, outcomeRefused, outcomeFailed, outcomeBusy, outcomeOpen} {
		x.outcomes[o] = c.set.NewCounter(fmt.Sprintf("weir_hooks_questions_total{hook=%q,outcome=%q}", h.name, o))
	}
	c.set.NewGauge(label("weir_hooks_breaker_open"), func() float64 {
		if h.breaker.Broken() {
			return 1
		}
		return 0
	})
	return x
}
