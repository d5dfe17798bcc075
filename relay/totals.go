package relay

import (
	"fmt"
	"io"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/process"
	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/stats"
)

// writeTotals writes what is counted elsewhere.
func (r *Relay) writeTotals(w io.Writer) {
	p := r.hub.Pool.Stats()
	b := r.hub.Broker.Stats()
	count := func(name string, v uint64) { metrics.WriteCounterUint64(w, name, v) }
	gauge := func(name string, v int64) { metrics.WriteGaugeUint64(w, name, uint64(max(v, 0))) }
	for _, transport := range []string{"ws", "sse"} {
		gauge(fmt.Sprintf("weir_connections_open{transport=%q}", transport), r.hub.Counters.OpenOf(transport))
	}
	count("weir_writes_total", p.Writes)
	count("weir_bytes_sent_total", p.Bytes)
	count("weir_replies_total", p.Replies)
	count("weir_stalled_closes_total", p.Timeouts)
	count("weir_write_errors_total", p.Failed)
	gauge("weir_queue_bytes", p.Queued)
	gauge("weir_queued_connections", p.Stalled)
	gauge("weir_backlog_bytes", p.Backlog)
	var waiting int64
	var stretch float64
	for _, x := range r.hub.Batchers {
		waiting += x.Waiting()
		stretch = max(stretch, x.Stretch())
	}
	gauge("weir_batch_bytes", waiting)
	gauge("weir_waiting_bytes", r.sessions.Held())
	metrics.WriteGaugeFloat64(w, "weir_window_stretch", stretch)
	gauge("weir_channels", b.Channels)
	gauge("weir_items", b.Items)
	gauge("weir_log_changes", b.Changes)
	gauge("weir_log_bytes", b.Bytes)
	count("weir_expired_items_total", b.Expired)
	gauge("weir_presence_users", r.hub.Presence.Users.Load())
	count("weir_presence_joins_total", r.hub.Presence.Joins.Load())
	count("weir_presence_leaves_total", r.hub.Presence.Leaves.Load())
	// One family after the other, as the exposition format wants its samples.
	names := r.hub.Namespaces.List()
	for _, column := range []struct {
		name string
		of   func(*hub.Namespace) uint64
	}{
		{"weir_publishes_total", func(n *hub.Namespace) uint64 { return n.Counters.Published.Get() }},
		{"weir_deliveries_total", func(n *hub.Namespace) uint64 { return n.Meter.Messages.Load() }},
		{"weir_frames_total", func(n *hub.Namespace) uint64 { return n.Meter.Frames.Load() }},
		{"weir_dropped_frames_total", func(n *hub.Namespace) uint64 { return n.Meter.Dropped.Load() }},
		{"weir_conflated_messages_total", func(n *hub.Namespace) uint64 { return n.Counters.Conflated.Load() }},
	} {
		for _, ns := range names {
			count(fmt.Sprintf("%s{namespace=%q}", column.name, ns.Name), column.of(ns))
		}
	}
}

// Figures reads the counters. It takes microseconds.
func (c *Core) Figures() stats.Snapshot {
	r := c.relay
	m, p, b := r.hub.Counters, r.hub.Pool.Stats(), r.hub.Broker.Stats()
	f := stats.Snapshot{
		WS: m.OpenOf("ws"), SSE: m.OpenOf("sse"), Connections: r.open(),
		Channels: b.Channels, Items: b.Items, Subscriptions: int64(m.Subscriptions.Get()),
		Queued: p.Queued, Stalled: p.Stalled, Backlog: p.Backlog,
		Memory: stats.MemoryInUse(), CPU: process.CPUTime(),
		Sent: p.Bytes, Events: m.Events.Get(), Commands: m.FramesIn.Get(),
	}
	for _, x := range r.hub.Batchers {
		f.Backlog += x.Waiting()
	}
	var resynced uint64
	for _, ns := range r.hub.Namespaces.List() {
		f.Published += ns.Counters.Published.Get()
		if !ns.Unmeasured {
			f.Delivered += ns.Meter.Messages.Load()
			f.Frames += ns.Meter.Frames.Load()
		}
		f.Conflated += ns.Counters.Conflated.Load()
		resynced += ns.Meter.Dropped.Load()
	}
	for _, reason := range stats.DropReasons() {
		d := stats.Drop{Reason: reason}
		switch reason {
		case stats.DropSlow:
			d.Count = m.Drops.Total()
		case stats.DropStalled:
			d.Count = p.Timeouts
		case stats.DropResync:
			d.Count = resynced
		case stats.DropShed:
			d.Count = m.Shed.Total()
		case stats.DropRefused:
			d.Count = m.Refused.Total()
		case stats.DropRateLimit:
			d.Count = m.Closes.Of(wire.CloseRateLimit).Get()
		}
		f.Drops = append(f.Drops, d)
	}
	m.Spent.Read(&f.Publishing)
	return f
}

// Watch has the relay note which channels are busy, from the first call on until as many with false came.
func (c *Core) Watch(on bool) {
	if on {
		c.relay.hub.Busiest.Watchers.Add(1)
		return
	}
	c.relay.hub.Busiest.Watchers.Add(-1)
}

// Busiest is the ten channels on which most was delivered in a second that is over. They are noted while somebody
// watches; see Watch. Of a second before the last one that was asked for it returns the later one's.
func (c *Core) Busiest(second int64) []stats.TopChannel { return c.relay.hub.Busiest.Of(second) }
