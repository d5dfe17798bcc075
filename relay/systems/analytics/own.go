package analytics

import "weir/relay"

// ownKind is the type of the relay's own metrics.
const ownKind = "weir"

// own is the relay's own metrics. The reading belongs to run; the maps are set once, the metrics in them guarded by System.mu.
type own struct {
	readings *relay.Readings
	gauges   map[string]*metric // by action and name
	counts   map[string]*metric
}

// newOwn creates the metrics; they begin with the relay's counters as they are now.
func newOwn(core *relay.Core, add func(kind, action, name string, gauge bool) *metric) *own {
	o := &own{readings: core.Readings(), gauges: make(map[string]*metric), counts: make(map[string]*metric)}
	for _, key := range relay.ReadingGauges() {
		action, name := splitName(key)
		o.gauges[key] = add(ownKind, action, name, true)
	}
	for _, key := range relay.ReadingCounts() {
		action, name := splitName(key)
		o.counts[key] = add(ownKind, action, name, false)
	}
	return o
}

// add counts a reading into the second that is running. The caller holds System.mu.
func (o *own) add(x relay.Reading) {
	for key, m := range o.gauges {
		if v, ok := x.Gauges[key]; ok {
			m.now = point{1, v}
		}
	}
	for key, m := range o.counts {
		m.now = point{x.Counts[key], float64(x.Counts[key])}
	}
}
