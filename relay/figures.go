package relay

import (
	gometrics "runtime/metrics"
	"time"

	"weir/internal/process"
	"weir/internal/wire"
)

// Figures are how the relay fares at a moment. What is called a total grows from the start on.
type Figures struct {
	WS, SSE       int64 // sessions
	Connections   int64 // on the public listener, requests included
	Channels      int64
	Items         int64
	Subscriptions int64
	Queued        int64         // bytes waiting for readers that are slow
	Stalled       int64         // readers that something waits for
	Backlog       int64         // bytes of frames and windows on their way
	Memory        uint64        // bytes of the process, without what was given back
	CPU           time.Duration // total, of the process

	Published  uint64    // total of changes published
	Delivered  uint64    // total of changes handed to sessions; without those of namespaces that are not measured
	Frames     uint64    // total of frames handed to sessions; likewise
	Sent       uint64    // total of bytes written
	Events     uint64    // total of events emitted
	Conflated  uint64    // total of changes that a later one of the same item has replaced
	Commands   uint64    // total of frames that clients have sent
	Drops      []Drop    // in an order that stays
	Publishing Durations // from publish to write, of frames that were delivered live
}

// Drop is a total of what was refused or given up, by reason.
type Drop struct {
	Reason string
	Count  uint64
}

// The reasons of Drop.
const (
	DropSlow      = "slow"      // sessions that did not read, closed
	DropStalled   = "stalled"   // sessions whose socket took nothing for too long, closed
	DropResync    = "resync"    // frames that a snapshot has replaced
	DropShed      = "shed"      // publishes refused because too much waits
	DropRefused   = "refused"   // connections beyond the limits
	DropRateLimit = "ratelimit" // sessions closed for sending too much
)

// DropReasons are all reasons, in the order of Figures.Drops.
func DropReasons() []string {
	return []string{DropSlow, DropStalled, DropResync, DropShed, DropRefused, DropRateLimit}
}

// Figures reads them. It takes microseconds.
func (c *Core) Figures() Figures {
	r := c.relay
	m, p, b := r.metrics, r.pool.Stats(), r.broker.Stats()
	f := Figures{
		WS: m.openOf("ws"), SSE: m.openOf("sse"), Connections: r.open(),
		Channels: b.Channels, Items: b.Items, Subscriptions: int64(m.subscriptions.Get()),
		Queued: p.Queued, Stalled: p.Stalled, Backlog: p.Backlog,
		Memory: memoryInUse(), CPU: process.CPUTime(),
		Sent: p.Bytes, Events: m.events.Get(), Commands: m.framesIn.Get(),
	}
	for _, x := range r.batchers {
		f.Backlog += x.Waiting()
	}
	var resynced uint64
	for _, ns := range r.policies.list() {
		f.Published += ns.counted.published.Get()
		if !ns.unmeasured {
			f.Delivered += ns.meter.Messages.Load()
			f.Frames += ns.meter.Frames.Load()
		}
		f.Conflated += ns.counted.conflated.Load()
		resynced += ns.meter.Dropped.Load()
	}
	for _, reason := range DropReasons() {
		d := Drop{Reason: reason}
		switch reason {
		case DropSlow:
			d.Count = m.drops.total()
		case DropStalled:
			d.Count = p.Timeouts
		case DropResync:
			d.Count = resynced
		case DropShed:
			d.Count = m.shed.total()
		case DropRefused:
			d.Count = m.refused.total()
		case DropRateLimit:
			d.Count = m.closes.of(wire.CloseRateLimit).Get()
		}
		f.Drops = append(f.Drops, d)
	}
	m.spent.read(&f.Publishing)
	return f
}

// openOf is how many sessions of a transport are open.
func (m *metricSet) openOf(transport string) int64 {
	return max(int64(m.opened.of(transport).Get())-int64(m.ended.of(transport).Get()), 0)
}

// total is the sum over all labels.
func (f family) total() uint64 {
	n := f.other.Get()
	for _, c := range f.counters {
		n += c.Get()
	}
	return n
}

// memoryInUse is what the process has of the system's memory.
func memoryInUse() uint64 {
	sample := []gometrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	gometrics.Read(sample)
	return sample[0].Value.Uint64() - sample[1].Value.Uint64()
}
