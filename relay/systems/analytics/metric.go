package analytics

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"weir/relay"
	"weir/relay/systems/internal/encode"
)

// The steps that are kept of each metric.
const (
	keptSeconds = 3600
	keptMinutes = 24 * 60
)

// other is the name of the metric for names beyond the limit.
const other = "other"

// metric is one thing that is counted.
type metric struct {
	// Set once.
	kind, action, name string // of "user.action/login": user, action, login
	label              string
	gauge              bool // its value is a level, not a sum

	// Guarded by System.mu.
	now     point // of the second that is running
	total   point // of the seconds that are over
	seconds series
	minutes series
	sent    bool // the last update that dashboards got was not 0
}

func newMetric(kind, action, name string, gauge bool) *metric {
	m := &metric{kind: kind, action: action, name: name, label: labelOf(kind, action, name), gauge: gauge}
	m.seconds, m.minutes = newSeries(keptSeconds), newSeries(keptMinutes)
	return m
}

// labelOf returns the label of a metric, as the configuration and responses have it.
func labelOf(kind, action, name string) string {
	label := kind + "." + action
	if name != "" {
		label += "/" + name
	}
	return label
}

// roll closes a second and returns what was in it.
func (m *metric) roll(second int64) point {
	p := m.now
	m.now = point{}
	if p.count > 0 {
		m.total.add(p)
		m.seconds.add(second, p)
		m.minutes.add(second/60, p)
	}
	return p
}

// undo takes what was counted out of a second that is over.
func (m *metric) undo(second int64, p point) {
	for _, of := range []*point{&m.total, m.seconds.of(second), m.minutes.of(second / 60)} {
		if of != nil && of.count >= p.count { // it is not if what was there is no more
			*of = point{of.count - p.count, of.sum - p.sum}
		}
	}
}

// value returns the value of a point: the sum of its values, or the level.
func (m *metric) value(p point) float64 {
	if m.gauge {
		return p.mean()
	}
	return p.sum
}

// update is the message with a second for dashboards.
func (m *metric) update(p point, second int64) []byte {
	return encode.Object("type", "metric_update", "data", encode.Object("type", m.kind, "action", m.action, "name", encode.Maybe(m.name),
		"value", m.value(p), "count", p.count, "timestamp", second*1000))
}

// checkLabel returns an error unless a label is that of a metric: a topic that is counted, optionally with a slash and a
// name, or one of the relay's own.
func checkLabel(label string) error {
	if slices.Contains(ownLabels(), label) {
		return nil
	}
	topic, name, named := strings.Cut(label, "/")
	switch {
	case !slices.Contains(topics(), topic):
		return fmt.Errorf("expected %s, with or without a /name, or a figure of weir's own such as weir.connections", strings.Join(topics(), ", "))
	case named && !validName(name):
		return fmt.Errorf("the name after the slash must be 1 to %d bytes", maxName)
	}
	return nil
}

// ownLabels returns the labels of the relay's own metrics.
func ownLabels() []string {
	var out []string
	for _, key := range slices.Concat(relay.ReadingGauges(), relay.ReadingCounts()) {
		out = append(out, ownKind+"."+key)
	}
	return out
}

// ownKind is the type of the relay's own metrics.
const ownKind = "weir"

// own is the relay's own metrics. The reading belongs to run; the maps are set once, the metrics in them guarded by System.mu.
type own struct {
	readings *relay.Readings
	gauges   map[string]*metric // by action and name
	counts   map[string]*metric
}

// newOwn creates the metrics; they begin with the relay's counters as they are now.
func newOwn(host relay.Host, add func(kind, action, name string, gauge bool) *metric) *own {
	of := func(keys []string, gauge bool) map[string]*metric {
		metrics := make(map[string]*metric)
		for _, key := range keys {
			action, name, _ := strings.Cut(key, "/")
			metrics[key] = add(ownKind, action, name, gauge)
		}
		return metrics
	}
	return &own{host.Readings(), of(relay.ReadingGauges(), true), of(relay.ReadingCounts(), false)}
}

// add counts a reading into the second that is running. The caller holds System.mu.
func (o *own) add(x relay.Reading) {
	for key, m := range o.gauges {
		if v, ok := x.Gauges[key]; ok {
			m.now = point{1, v}
		}
	}
	for key, m := range o.counts {
		m.now = point{x.Counts[key], float64(x.Counts[key])}
	}
}

// point is the count and the sum of the values in a span of time.
type point struct {
	count uint64
	sum   float64
}

// MarshalJSON makes it a list of the two.
func (p point) MarshalJSON() ([]byte, error) {
	return encode.List(nil, []float64{float64(p.count), p.sum}, encode.Number), nil
}

// UnmarshalJSON reads it.
func (p *point) UnmarshalJSON(b []byte) error {
	var x [2]float64
	err := json.Unmarshal(b, &x)
	p.count, p.sum = uint64(x[0]), x[1]
	return err
}

func (p *point) add(q point) {
	p.count += q.count
	p.sum += q.sum
}

// mean is the mean of the values; 0 without any.
func (p point) mean() float64 {
	if p.count == 0 {
		return 0
	}
	return p.sum / float64(p.count)
}

// blockSize is how many steps a block has.
const blockSize = 60

// block is a run of points.
type block struct {
	base   int64 // step of the first
	points [blockSize]point
}

// series is the newest points of a metric, by step: the number of a second or of a minute. What is older is
// overwritten; a block is made when something falls into it.
type series struct{ blocks []*block }

// newSeries returns a series of at least so many steps.
func newSeries(steps int) series { return series{make([]*block, steps/blockSize+1)} }

// add counts p into a step. Steps come in order.
func (s *series) add(step int64, p point) {
	at := int(step / blockSize % int64(len(s.blocks)))
	base := step - step%blockSize
	b := s.blocks[at]
	switch {
	case b == nil:
		b = &block{base: base}
		s.blocks[at] = b
	case b.base != base:
		*b = block{base: base}
	}
	b.points[step-base].add(p)
}

// of is where the point of a step is kept; nil: nowhere.
func (s *series) of(step int64) *point {
	b := s.blocks[int(step/blockSize%int64(len(s.blocks)))]
	if b == nil || b.base != step-step%blockSize {
		return nil
	}
	return &b.points[step-b.base]
}

// at returns the point of a step.
func (s *series) at(step int64) point { return s.sum(step, step+1) }

// sum returns the sum of the steps from from to to, without to.
func (s *series) sum(from, to int64) point {
	var p point
	for step := from; step < to; step++ {
		b := s.blocks[int(step/blockSize%int64(len(s.blocks)))]
		base := step - step%blockSize
		if b == nil || b.base != base {
			step = base + blockSize - 1 // nothing in this one
			continue
		}
		p.add(b.points[step-base])
	}
	return p
}
