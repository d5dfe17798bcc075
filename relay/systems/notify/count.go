package notify

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// counters are what is counted. Kinds and outcomes are words of ours, so there are few.
type counters struct {
	attempts map[string]*[verdicts]*metrics.Counter
	accepted *metrics.Counter // notifications
	refused  *metrics.Counter // for want of room
	reached  *metrics.Counter // users of whom at least one device was reached
	missed   *metrics.Counter // the others
}

func newCounters(set *metrics.Set, kinds []string, waiting func() int) *counters {
	c := &counters{
		attempts: make(map[string]*[verdicts]*metrics.Counter),
		accepted: set.NewCounter("weir_notify_notifications_total"),
		refused:  set.NewCounter("weir_notify_refused_total"),
		reached:  set.NewCounter(`weir_notify_results_total{outcome="delivered"}`),
		missed:   set.NewCounter(`weir_notify_results_total{outcome="failed"}`),
	}
	for _, kind := range kinds {
		list := new([verdicts]*metrics.Counter)
		for v, name := range verdictNames {
			list[v] = set.NewCounter(fmt.Sprintf("weir_notify_attempts_total{kind=%q,outcome=%q}", kind, name))
		}
		c.attempts[kind] = list
	}
	set.NewGauge("weir_notify_waiting", func() float64 { return float64(waiting()) })
	return c
}

func (c *counters) attempt(kind string, v verdict) *metrics.Counter { return c.attempts[kind][v] }
