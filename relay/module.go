package relay

import "weir/relay/config"

// Module is a system as its package exports it and a program lists it: what the configuration knows of it, how it is made and what
// it counts. Systems start in the order of their list, which is also the order in which they hear of events: those that may
// refuse one come before those that tell others of it.
type Module struct {
	config.System
	New     func() System
	Metrics []Metric // Part is filled in
}
