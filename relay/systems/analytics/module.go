package analytics

import (
	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "analytics"

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
			{Name: "weir_analytics_events_total", Type: relay.Counter, Help: "Events that were counted."},
			{Name: "weir_analytics_refused_total", Type: relay.Counter, Help: "Events that could not be read."},
			{Name: "weir_analytics_metrics", Type: relay.Gauge, Help: "Metrics that are kept, the relay's own among them."},
			{Name: "weir_analytics_dashboards", Type: relay.Gauge, Help: "Dashboards that are told of each second."},
			{Name: "weir_analytics_alerts_raised", Type: relay.Gauge, Help: "Alerts that are raised now."},
			{Name: "weir_analytics_alerts_total", Type: relay.Counter, Help: "Times that an alert was raised."},
		},
	}
}
