package notify

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// counters are the metrics of the system.
type counters struct {
	attempts map[string]*[verdicts]*metrics.Counter // by kind of device
	accepted *metrics.Counter                       // notifications
	refused  *metrics.Counter                       // no room
	reached  *metrics.Counter                       // notifications that reached at least one device
	missed   *metrics.Counter                       // notifications that reached none
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
