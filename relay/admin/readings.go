package admin

import (
	"time"

	"weir/relay/stats"
)

// Reading is what the relay did between two moments.
type Reading struct {
	Gauges map[string]float64 // as they stand, by name; what is not there is not known
	Counts map[string]uint64  // since the earlier moment, by name; all of them, 0 included
}

// ReadingGauges and ReadingCounts are the names in a Reading, in an order that stays.
func ReadingGauges() []string {
	return []string{
		"connections", "sessions/ws", "sessions/sse", "channels", "items", "subscriptions", "queued", "lagging", "backlog",
		"memory", "cpu", "batching", "latency/p50", "latency/p90", "latency/p99", "latency/p999",
	}
}

// ReadingCounts is like ReadingGauges, for the counts.
func ReadingCounts() []string {
	names := []string{"published", "delivered", "frames", "sent", "events", "conflated", "commands"}
	for _, reason := range stats.DropReasons() {
		names = append(names, "drops/"+reason)
	}
	return names
}

// Readings makes readings, each since the one before. It is not safe for concurrent use.
type Readings struct {
	server *Server
	last   stats.Snapshot
	at     time.Time
}

// Readings begins with the figures as they are now.
func (s *Server) Readings() *Readings {
	return &Readings{server: s, last: s.Figures(), at: time.Now()}
}

// Next reads the figures. It takes microseconds.
func (o *Readings) Next() Reading {
	f, now := o.server.Figures(), time.Now()
	last, spent := &o.last, now.Sub(o.at)
	x := Reading{
		Gauges: map[string]float64{
			"connections": float64(f.Connections), "sessions/ws": float64(f.WS), "sessions/sse": float64(f.SSE),
			"channels": float64(f.Channels), "items": float64(f.Items), "subscriptions": float64(f.Subscriptions),
			"queued": float64(f.Queued), "lagging": float64(f.Stalled), "backlog": float64(f.Backlog), "memory": float64(f.Memory),
		},
		Counts: map[string]uint64{
			"published": f.Published - last.Published, "delivered": f.Delivered - last.Delivered, "frames": f.Frames - last.Frames,
			"sent": f.Sent - last.Sent, "events": f.Events - last.Events, "conflated": f.Conflated - last.Conflated,
			"commands": f.Commands - last.Commands,
		},
	}
	if spent > 0 {
		x.Gauges["cpu"] = float64(f.CPU-last.CPU) / float64(spent)
	}
	if n := x.Counts["frames"]; n > 0 {
		x.Gauges["batching"] = float64(x.Counts["delivered"]) / float64(n)
	}
	if d := f.Publishing.Since(&last.Publishing); d.Count() > 0 {
		for name, q := range map[string]float64{"latency/p50": 0.5, "latency/p90": 0.9, "latency/p99": 0.99, "latency/p999": 0.999} {
			x.Gauges[name] = float64(d.Quantile(q)) / float64(time.Millisecond)
		}
	}
	for i, d := range f.Drops {
		x.Counts["drops/"+d.Reason] = d.Count - last.Drops[i].Count
	}
	o.last, o.at = f, now
	return x
}
