package analytics

import (
	"math"
	"strconv"

	"weir/internal/wire"
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

// value returns the value of a point: the sum of its values, or the level.
func (m *metric) value(p point) float64 {
	if m.gauge {
		return p.mean()
	}
	return p.sum
}

// appendName appends the members that name the metric.
func (m *metric) appendName(b []byte) []byte {
	b = wire.AppendString(append(b, `"type":`...), m.kind)
	b = wire.AppendString(append(b, `,"action":`...), m.action)
	if m.name != "" {
		b = wire.AppendString(append(b, `,"name":`...), m.name)
	}
	return b
}

// appendUpdate appends the message with a second for dashboards.
func (m *metric) appendUpdate(b []byte, p point, second int64) []byte {
	b = m.appendName(append(b, `{"type":"metric_update","data":{`...))
	b = appendNumber(append(b, `,"value":`...), m.value(p))
	b = strconv.AppendUint(append(b, `,"count":`...), p.count, 10)
	b = appendMillis(append(b, `,"timestamp":`...), second)
	return append(b, "}}"...)
}

// appendNumber appends a number as JSON; null for one that JSON does not have.
func appendNumber(b []byte, x float64) []byte {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return append(b, "null"...)
	}
	if math.Abs(x) < 1e15 {
		return strconv.AppendFloat(b, x, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, x, 'e', -1, 64)
}

// appendMillis appends a second as milliseconds.
func appendMillis(b []byte, second int64) []byte { return strconv.AppendInt(b, second*1000, 10) }
