package relay

import (
	"weir/relay/admin"
	"weir/relay/api"
	"weir/relay/route"
	"weir/relay/stats"
)

// What systems speak to clients with, on routes of their own; see package route.
type (
	WebSocketRoute = route.WebSocket
	DialectRoute   = route.Dialect
	Follow         = route.Follow
	Client         = route.Client
	Group          = route.Group
	Forwarded      = route.Forwarded
	GroupMessage   = route.GroupMessage
	EventStream    = route.EventStream
	StreamRoute    = route.Stream
	SlowSession    = admin.SlowSession
	UserHandler    = api.UserHandler
	Reading        = admin.Reading
	Readings       = admin.Readings
)

// Metric is something that a system counts; see [stats.Metric].
type Metric = stats.Metric

// The types of a Metric.
const (
	Counter   = stats.TypeCounter
	Gauge     = stats.TypeGauge
	Histogram = stats.TypeHistogram
)

// Metrics is all that the relay and systems count, part by part.
func Metrics(systems ...Module) []Metric {
	var parts []stats.Part
	for _, m := range systems {
		parts = append(parts, stats.Part{Name: m.Name, Metrics: m.Metrics})
	}
	return stats.Metrics(parts...)
}

// ReadingGauges and ReadingCounts are the names in a Reading, in an order that stays.
func ReadingGauges() []string { return admin.ReadingGauges() }

// ReadingCounts is like ReadingGauges, for the counts.
func ReadingCounts() []string { return admin.ReadingCounts() }
