package notify

import (
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
