package record

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range of every latency, in µs: shorter ones count as the least, longer ones as the most.
const (
	least = 1
	most  = 600_000_000
)

// Histogram is a distribution of latencies as it is kept: pairs of a value in µs and how often it
// occurred, by growing value. The values are those of an HDR histogram's buckets, so that a Meter can
// take them up again without loss.
type Histogram []Count

// Count is one bar of a histogram.
type Count struct{ Micros, N int64 }

// MarshalJSON writes the pairs as one flat list in which values are differences, which is short.
func (h Histogram) MarshalJSON() ([]byte, error) {
	flat := make([]int64, 0, 2*len(h))
	last := int64(0)
	for _, c := range h {
		flat = append(flat, c.Micros-last, c.N)
		last = c.Micros
	}
	return json.Marshal(flat)
}

// UnmarshalJSON reads what MarshalJSON writes. Values out of range are errors.
func (h *Histogram) UnmarshalJSON(b []byte) error {
	var flat []int64
	if err := json.Unmarshal(b, &flat); err != nil {
		return err
	}
	*h = nil
	last := int64(0)
	for pair := range slices.Chunk(flat, 2) {
		if len(pair) != 2 || pair[0] < 0 || pair[1] < 0 || pair[0] > most || last+pair[0] > 2*most {
			return fmt.Errorf("histogram pair %v: %w", pair, errFormat)
		}
		last += pair[0]
		*h = append(*h, Count{last, pair[1]})
	}
	return nil
}

// Meter records latencies. It is owned by the loop that records.
type Meter struct{ h *hdrhistogram.Histogram }

// NewMeter returns a meter with 2 or 3 significant digits.
func NewMeter(digits int) *Meter { return &Meter{hdrhistogram.New(least, most, digits)} }

// Record notes a latency in nanoseconds.
func (m *Meter) Record(ns int64) {
	_ = m.h.RecordValue(min(max((ns+500)/1000, least), most)) // within range by construction
}

// Add takes up a kept histogram.
func (m *Meter) Add(h Histogram) {
	for _, c := range h {
		_ = m.h.RecordValues(min(max(c.Micros, least), most), c.N) // within range by construction
	}
}

// Total is how many values were recorded.
func (m *Meter) Total() int64 { return m.h.TotalCount() }

// Millis is the latency in ms below which share (0 to 1) of the values lie; 0 without values.
func (m *Meter) Millis(share float64) float64 {
	if m.h.TotalCount() == 0 {
		return 0
	}
	return float64(m.h.ValueAtQuantile(share*100)) / 1000
}

// Max is the highest latency in ms.
func (m *Meter) Max() float64 {
	if m.h.TotalCount() == 0 {
		return 0
	}
	return float64(m.h.Max()) / 1000
}

// Keep returns what was recorded, and empties the meter.
func (m *Meter) Keep() Histogram {
	if m.h.TotalCount() == 0 {
		return nil
	}
	var kept Histogram
	left := m.h.TotalCount()
	for _, bar := range m.h.Distribution() {
		if bar.Count > 0 {
			kept = append(kept, Count{bar.From, bar.Count})
			if left -= bar.Count; left == 0 {
				break
			}
		}
	}
	m.h.Reset()
	return kept
}

// Merge is the meter of several kept histograms.
func Merge(digits int, hs ...Histogram) *Meter {
	m := NewMeter(digits)
	for _, h := range hs {
		m.Add(h)
	}
	return m
}
