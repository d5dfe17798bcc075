package presence

import (
	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "presence"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name: Name,
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_presence_heartbeats_total", Type: relay.Counter, Help: "Events presence.heartbeat."},
		},
	}
}
