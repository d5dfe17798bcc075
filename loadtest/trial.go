package loadtest

import (
	"sync/atomic"
	"time"

	"weir/loadtest/record"
	"weir/loadtest/scenario"
	"weir/loadtest/script"
)

// trial is one run of a timetable over the connections of an engine. Stamps carry numbers of sources
// that no other trial uses, so that what an earlier trial left behind is recognised.
type trial struct {
	// Set once, before the loops hear of it.
	e          *engine
	plan       *scenario.Plan
	number     int
	base       int64 // when its load starts, by the engine's clock
	interval   int64 // ns
	sources    uint32
	publishers int // of all parts
	first      int // number of the first publisher of this one
	meter      *meter
	meterLoop  loop
	joined     *record.Meter // from due to seen by who watches; owned by the checked loop
	before     counts
	foreign    uint64       // messages that other parts have published; set when their load is over
	crew       *script.Crew // works off the script; nil: there is none
	shown      float64      // deliveries at checked connections of one message

	// Atomic.
	stopped atomic.Bool  // no more load
	load    atomic.Int32 // how the timetable is doing: one of the states below

	// Owned by the publishers' loop until it has frozen them.
	sent       [][]uint64 // by publisher and channel
	excused    [][]uint64 // of them refused or unanswered
	refused    []uint64   // by channel
	unanswered []uint64
	frozen     bool
	progress   uint64 // closed loop: answers and deliveries seen last
	since      int64  // and when they last changed
	forgiven   float64

	// Owned by the churn loop until it has stopped.
	visits   []uint64 // by channel: visitors that got subscribed
	attempts uint64
	failed   uint64
}

// The states of a timetable.
const (
	loadWaits   int32 = iota // for its next time, or for the processor
	loadBlocked              // the target has to answer first
	loadDone                 // everything was sent
)

// over reports whether the load has ended at a time, ns since it began. What was due before the end is
// still sent a little later, unless the target is the one that does not take it; a client that was not
// given the processor gets more time.
func (t *trial) over(now int64) bool {
	switch {
	case now < t.plan.End:
		return false
	case t.load.Load() == loadDone:
		return true
	case t.load.Load() == loadBlocked:
		return now >= t.plan.End+int64(graceBlocked)
	}
	return now >= t.plan.End+int64(graceMost)
}

// How long after the end of the timetable sending goes on.
const (
	graceBlocked = 100 * time.Millisecond
	graceMost    = 5 * time.Second
)

// counts is a tally at one moment.
type counts struct {
	bytes, checked, messages, sent, acked, answered, typing, opened, failed uint64
	open                                                                    int64
}

func (t *tally) read() counts {
	return counts{
		t.bytes.Load(), t.checked.Load(), t.messages.Load(), t.sent.Load(), t.acked.Load(), t.answered.Load(),
		t.typing.Load(), uint64(t.opened.Load()), t.failed.Load(), t.open.Load(),
	}
}

// bucketMost bounds how many intervals a record has.
const bucketMost = 3000

func newTrial(e *engine, plan *scenario.Plan, number int) *trial {
	t := &trial{
		e: e, plan: plan, number: number, publishers: e.part().Publishers, first: e.part().Publisher,
		interval: int64(100 * time.Millisecond), sources: uint32(number * e.part().Publishers),
		joined: record.NewMeter(3), before: e.tally.read(),
		refused: make([]uint64, plan.Channels), unanswered: make([]uint64, plan.Channels),
		visits: make([]uint64, plan.Channels),
	}
	for (plan.End+int64(plan.Drain))/t.interval > bucketMost {
		t.interval *= 2
	}
	for range t.publishers {
		t.sent = append(t.sent, make([]uint64, plan.Channels))
		t.excused = append(t.excused, make([]uint64, plan.Channels))
	}
	if plan.Subscribers > 0 {
		t.shown = plan.Deliveries() * float64(e.fleet.checked) / float64(plan.Subscribers)
	}
	if plan.Measure != scenario.Connect && !plan.Paced() && plan.Requests() == 0 {
		t.load.Store(loadDone)
	}
	t.meter = newMeter(t)
	switch plan.Measure {
	case scenario.Publish, scenario.Echo:
		t.meterLoop = e.publishers.l
	case scenario.Connect:
		t.meterLoop = e.churn.l
	default:
		t.meterLoop = e.checked
	}
	return t
}

// own reports whether a message is of this part: others stamp theirs by another clock.
func (t *trial) own(source uint32) bool {
	i := int(source - t.sources)
	return i >= t.first && i < t.first+t.plan.Publishers
}

// measures reports whether the latency of what happens on a loop is what the scenario measures.
func (t *trial) measures(l loop) bool { return t.meterLoop == l }

// excuse notes a message that nobody may expect.
func (t *trial) excuse(from, ch int, unanswered bool) {
	if t.frozen {
		return
	}
	t.excused[from][ch]++
	if unanswered {
		t.unanswered[ch]++
	} else {
		t.refused[ch]++
	}
}

// patience is how long a closed loop waits for messages that do not come before it goes on without
// them: they are lost, and are counted as such.
const patience = int64(time.Second)

// outstanding is how many messages are under way in a closed loop: unanswered ones, or ones that the
// checked connections have not received on average.
func (t *trial) outstanding(now int64) float64 {
	c := t.e.tally.read()
	sent := float64(c.sent - t.before.sent)
	done := float64(c.answered - t.before.answered)
	if t.plan.Measure == scenario.Delivery && t.shown > 0 && t.e.cfg.Part == nil {
		done = min(done, float64(c.typing-t.before.typing)+float64(c.messages-t.before.messages)/t.shown)
	}
	if seen := c.answered + c.messages; seen != t.progress {
		t.progress, t.since = seen, now
	} else if now-t.since > patience {
		t.forgiven, t.since = sent-done, now
	}
	return sent - done - t.forgiven
}

// expected is how many deliveries the checked connections are still waiting for: 0 or less when they
// have everything that was acknowledged. Losses keep it above 0.
func (t *trial) expected() float64 {
	c := t.e.tally.read()
	stamped := float64(c.acked-t.before.acked) - float64(c.typing-t.before.typing)
	return (stamped+float64(t.foreign))*t.shown - float64(c.messages-t.before.messages)
}
