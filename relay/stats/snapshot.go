package stats

import (
	gometrics "runtime/metrics"
	"time"
)

// Snapshot is the relay's counters and gauges at a moment. What is called a total grows from the start on.
type Snapshot struct {
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

// OpenOf is how many sessions of a transport are open.
func (m *Counters) OpenOf(transport string) int64 {
	return max(int64(m.Opened.Of(transport).Get())-int64(m.Ended.Of(transport).Get()), 0)
}

// Total is the sum over all labels.
func (f Family) Total() uint64 {
	n := f.other.Get()
	for _, c := range f.counters {
		n += c.Get()
	}
	return n
}

// MemoryInUse is what the process has of the system's memory.
func MemoryInUse() uint64 {
	sample := []gometrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	gometrics.Read(sample)
	return sample[0].Value.Uint64() - sample[1].Value.Uint64()
}
