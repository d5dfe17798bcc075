package analytics

import (
	"time"

	"weir/relay"
)

// ownKind is the type of the relay's own metrics.
const ownKind = "weir"

// own turns the relay's figures into metrics. It belongs to run, but for the metrics.
type own struct {
	core *relay.Core
	last relay.Figures
	at   time.Time

	gauges map[string]*metric // set once, by action and name
	counts map[string]*metric // set once
}

// ownGauges and ownCounts are the relay's metrics, by action and name.
var (
	ownGauges = []string{
		"connections", "sessions/ws", "sessions/sse", "channels", "items", "subscriptions", "queued", "lagging", "backlog",
		"memory", "cpu", "batching", "latency/p50", "latency/p90", "latency/p99", "latency/p999",
	}
	ownCounts = []string{"published", "delivered", "frames", "sent", "events", "conflated", "commands"}
)

// newOwn begins with the figures as they are now.
func newOwn(core *relay.Core, add func(kind, action, name string, gauge bool) *metric) *own {
	o := &own{core: core, last: core.Figures(), at: time.Now(), gauges: make(map[string]*metric), counts: make(map[string]*metric)}
	for _, key := range ownGauges {
		action, name := splitName(key)
		o.gauges[key] = add(ownKind, action, name, true)
	}
	for _, key := range ownCounts {
		o.counts[key] = add(ownKind, key, "", false)
	}
	for _, reason := range relay.DropReasons() {
		o.counts["drops/"+reason] = add(ownKind, "drops", reason, false)
	}
	return o
}

// reading is what happened since the last one.
type reading struct {
	gauges map[string]float64 // what is not there is not known
	counts map[string]uint64
}

// read looks at the relay.
func (o *own) read() reading {
	f, now := o.core.Figures(), time.Now()
	last, spent := &o.last, now.Sub(o.at)
	x := reading{
		gauges: map[string]float64{
			"connections": float64(f.Connections), "sessions/ws": float64(f.WS), "sessions/sse": float64(f.SSE),
			"channels": float64(f.Channels), "items": float64(f.Items), "subscriptions": float64(f.Subscriptions),
			"queued": float64(f.Queued), "lagging": float64(f.Stalled), "backlog": float64(f.Backlog), "memory": float64(f.Memory),
		},
		counts: map[string]uint64{
			"published": f.Published - last.Published, "delivered": f.Delivered - last.Delivered, "frames": f.Frames - last.Frames,
			"sent": f.Sent - last.Sent, "events": f.Events - last.Events, "conflated": f.Conflated - last.Conflated,
			"commands": f.Commands - last.Commands,
		},
	}
	if spent > 0 {
		x.gauges["cpu"] = float64(f.CPU-last.CPU) / float64(spent)
	}
	if n := x.counts["frames"]; n > 0 {
		x.gauges["batching"] = float64(x.counts["delivered"]) / float64(n)
	}
	if d := f.Publishing.Since(&last.Publishing); d.Count() > 0 {
		for name, q := range map[string]float64{"latency/p50": 0.5, "latency/p90": 0.9, "latency/p99": 0.99, "latency/p999": 0.999} {
			x.gauges[name] = float64(d.Quantile(q)) / float64(time.Millisecond)
		}
	}
	for i, d := range f.Drops {
		x.counts["drops/"+d.Reason] = d.Count - last.Drops[i].Count
	}
	o.last, o.at = f, now
	return x
}

// enter counts a reading into the second that is running. The caller holds System.mu.
func (o *own) enter(x reading) {
	for key, m := range o.gauges {
		if v, ok := x.gauges[key]; ok {
			m.now = point{1, v}
		}
	}
	for key, m := range o.counts {
		m.now = point{x.counts[key], float64(x.counts[key])}
	}
}
