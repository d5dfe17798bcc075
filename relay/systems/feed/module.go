package feed

import (
	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "feed"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:       Name,
			Namespaces: []string{Namespace},
			Personal:   []string{Namespace},
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_feed_items_total", Type: relay.Counter, Help: "Items that were posted to the feed of a user. How many follow theirs is weir_event_streams."},
		},
	}
}
