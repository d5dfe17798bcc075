package webhook

import (
	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "webhook"

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
			{Name: "weir_webhook_events_total", Type: relay.Counter, Labels: []string{"endpoint"}, Help: "Events for an endpoint."},
			{Name: "weir_webhook_attempts_total", Type: relay.Counter, Labels: []string{"endpoint", "outcome"}, Help: "Attempts to deliver one, by what came of them."},
			{Name: "weir_webhook_dead_total", Type: relay.Counter, Labels: []string{"endpoint", "reason"}, Help: "Events that were given up, and are found in the dead letters."},
			{Name: "weir_webhook_waiting", Type: relay.Gauge, Labels: []string{"endpoint"}, Help: "Events that wait for their delivery."},
			{Name: "weir_webhook_up", Type: relay.Gauge, Labels: []string{"endpoint"}, Help: "1 while the endpoint is tried; 0 while it does not answer, or has said that it is gone."},
		},
	}
}
