package stats

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Durations is how many times took how long, in steps of an eighth: a quantile is off by at most that.
type Durations [durationSteps]uint64

// The steps begin at 8 µs, eight to each doubling; the last one takes all that is beyond a minute.
const (
	durationUnit  = 3 // 2 to the power of this, in µs, and steps to a doubling
	durationSteps = 8 * 24
)

// Histogram is Durations that are being counted.
type Histogram [durationSteps]atomic.Uint64

// Add counts a time.
func (d *Histogram) add(t time.Duration) { d[durationStep(t)].Add(1) }

// Read copies the counts.
func (d *Histogram) Read(to *Durations) {
	for i := range d {
		to[i] = d[i].Load()
	}
}

// durationStep is the step that a time is in.
func durationStep(t time.Duration) int {
	us := uint64(max(t.Microseconds(), 0))
	if us < 1<<durationUnit {
		return 0
	}
	doubling := bits.Len64(us) - 1 - durationUnit
	step := 8*doubling + int(us>>doubling) - 7 // us>>doubling is 8 to 15
	return min(step, durationSteps-1)
}

// stepEnd is where a step ends.
func stepEnd(step int) time.Duration {
	doubling, part := step/8, step%8
	return time.Duration((8+part)<<doubling) * time.Microsecond
}

// Since is what was counted after an earlier reading.
func (d *Durations) Since(earlier *Durations) Durations {
	var out Durations
	for i := range d {
		out[i] = d[i] - earlier[i]
	}
	return out
}

// Count is how many there are.
func (d *Durations) Count() uint64 {
	var n uint64
	for _, c := range d {
		n += c
	}
	return n
}

// Quantile is a time that the share q of them did not exceed; 0 if there are none.
func (d *Durations) Quantile(q float64) time.Duration {
	total := d.Count()
	if total == 0 {
		return 0
	}
	rank := uint64(q*float64(total) + 0.5)
	var n uint64
	for i, c := range d {
		if n += c; c > 0 && n >= rank {
			return stepEnd(i)
		}
	}
	return stepEnd(durationSteps - 1)
}
