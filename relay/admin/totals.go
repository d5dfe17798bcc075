package admin

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
func (s *Server) writeTotals(w io.Writer) {
	p := s.hub.Pool.Stats()
	b := s.hub.Broker.Stats()
	count := func(name string, v uint64) { metrics.WriteCounterUint64(w, name, v) }
	gauge := func(name string, v int64) { metrics.WriteGaugeUint64(w, name, uint64(max(v, 0))) }
	for _, transport := range []string{"ws", "sse"} {
		gauge(fmt.Sprintf("weir_connections_open{transport=%q}", transport), s.hub.Counters.OpenOf(transport))
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
	for _, x := range s.hub.Batchers {
		waiting += x.Waiting()
		stretch = max(stretch, x.Stretch())
	}
	gauge("weir_batch_bytes", waiting)
	gauge("weir_waiting_bytes", s.sessions.Held())
	metrics.WriteGaugeFloat64(w, "weir_window_stretch", stretch)
	gauge("weir_channels", b.Channels)
	gauge("weir_items", b.Items)
	gauge("weir_log_changes", b.Changes)
	gauge("weir_log_bytes", b.Bytes)
	count("weir_expired_items_total", b.Expired)
	gauge("weir_presence_users", s.hub.Presence.Users.Load())
	count("weir_presence_joins_total", s.hub.Presence.Joins.Load())
	count("weir_presence_leaves_total", s.hub.Presence.Leaves.Load())
	// One family after the other, as the exposition format wants its samples.
	names := s.hub.Namespaces.List()
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
func (s *Server) Figures() stats.Snapshot {
	m, p, b := s.hub.Counters, s.hub.Pool.Stats(), s.hub.Broker.Stats()
	f := stats.Snapshot{
		WS: m.OpenOf("ws"), SSE: m.OpenOf("sse"), Connections: s.gate.Open(),
		Channels: b.Channels, Items: b.Items, Subscriptions: int64(m.Subscriptions.Get()),
		Queued: p.Queued, Stalled: p.Stalled, Backlog: p.Backlog,
		Memory: stats.MemoryInUse(), CPU: process.CPUTime(),
		Sent: p.Bytes, Events: m.Events.Get(), Commands: m.FramesIn.Get(),
	}
	if s.hub.Cluster != nil { // what it has of others' channels is counted there
		f.Channels = max(f.Channels-int64(s.hub.Cluster.Stats().Replicas), 0)
	}
	for _, x := range s.hub.Batchers {
		f.Backlog += x.Waiting()
	}
	var resynced uint64
	for _, ns := range s.hub.Namespaces.List() {
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
