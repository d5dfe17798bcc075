package loadtest

import (
	"sync/atomic"

	"weir/loadtest/record"
)

// meter records what a scenario measures: one distribution for each step of the timetable, by when
// things were due, and one for each interval, by when they ended. It is owned by the loop that
// measures; only recent is read by others.
type meter struct {
	interval int64
	steps    []*record.Meter
	stepEnds []int64
	step     int
	bucket   *record.Meter
	at       int64 // index of the present interval
	kept     map[int64]record.Histogram

	recent atomic.Pointer[glimpse]
}

// glimpse is the last whole interval, for the live screen.
type glimpse struct{ p50, p99, max float64 } // ms

func newMeter(t *trial) *meter {
	m := &meter{interval: t.interval, bucket: record.NewMeter(2), kept: map[int64]record.Histogram{}}
	for _, s := range t.plan.Steps {
		m.steps = append(m.steps, record.NewMeter(3))
		m.stepEnds = append(m.stepEnds, s.To)
	}
	return m
}

// record notes a latency of something that was due at a moment and ended now.
func (m *meter) record(now, due, latency int64) {
	if at := now / m.interval; at != m.at {
		m.rotate(at)
	}
	m.bucket.Record(latency)
	for m.step > 0 && due < m.stepEnds[m.step-1] {
		m.step--
	}
	for m.step < len(m.stepEnds)-1 && due >= m.stepEnds[m.step] {
		m.step++
	}
	m.steps[m.step].Record(latency)
}

// rotate keeps the present interval and goes on to another.
func (m *meter) rotate(at int64) {
	if m.bucket.Total() > 0 {
		m.recent.Store(&glimpse{m.bucket.Millis(.5), m.bucket.Millis(.99), m.bucket.Max()})
		m.kept[m.at] = m.bucket.Keep()
	}
	m.at = at
}

// finish returns the distributions of the steps; those of the intervals are in kept then.
func (m *meter) finish() []record.Histogram {
	m.rotate(m.at)
	hs := make([]record.Histogram, len(m.steps))
	for i, s := range m.steps {
		hs[i] = s.Keep()
	}
	return hs
}

// tally counts what happens on all loops. Everything in it is atomic.
type tally struct {
	bytes    atomic.Uint64 // payload bytes that arrived
	checked  atomic.Uint64 // those of checked connections
	messages atomic.Uint64 // distinct messages at checked connections
	sent     atomic.Uint64 // messages published
	acked    atomic.Uint64 // of them acknowledged (on a WebSocket: sent)
	answered atomic.Uint64 // of them acknowledged, refused or given up
	typing   atomic.Uint64 // typing signs published; they are in sent too
	opened   atomic.Int64  // connections that got subscribed
	failed   atomic.Uint64 // connections that did not
	open     atomic.Int64  // connections that are subscribed
}
