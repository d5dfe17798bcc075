package notify

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"

	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "notify"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:       Name,
			Section:    func() config.Section { return new(Config) },
			Check:      check,
			Namespaces: []string{Namespace},
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_notify_notifications_total", Type: relay.Counter, Help: "Notifications that were taken."},
			{Name: "weir_notify_refused_total", Type: relay.Counter, Help: "Notifications that were refused for want of room."},
			{Name: "weir_notify_results_total", Type: relay.Counter, Labels: []string{"outcome"}, Help: "What came of notifications: at least one device was reached (delivered), or none (failed)."},
			{Name: "weir_notify_attempts_total", Type: relay.Counter, Labels: []string{"kind", "outcome"}, Help: "Attempts at a device, by its kind and what came of them. alarming: the push service does not accept the key."},
			{Name: "weir_notify_waiting", Type: relay.Gauge, Help: "Notifications on their way to devices."},
		},
	}
}

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
