package config

import "time"

// Analytics says what the system "analytics" counts, and when it raises an alert.
type Analytics struct {
	Metrics int     `yaml:"metrics"` // different metrics that are told apart, the relay's own aside; 128
	Alerts  []Alert `yaml:"alerts"`  // none
}

// Alert is a rule: while a metric is beyond a threshold, an alert is raised. It is raised once and cleared once.
type Alert struct {
	Name      string        `yaml:"name"`      // for people and programs: 1 to 64 letters, digits, dots, dashes, underscores
	Metric    string        `yaml:"metric"`    // api.request, user.action/login, weir.connections, ...
	Of        string        `yaml:"of"`        // what is looked at over the window: rate, count, sum or mean; rate, for gauges mean
	When      string        `yaml:"when"`      // above or below; above
	Window    time.Duration `yaml:"window"`    // 60s; from 1s to 1h
	Threshold *float64      `yaml:"threshold"` // from where on there is an alert; needed
	Clear     *float64      `yaml:"clear"`     // from where back it is over; the threshold
	Hold      time.Duration `yaml:"hold"`      // how long either must last before it is told; 0, to 1h
	Level     string        `yaml:"level"`     // info, warning or critical; warning
	Message   string        `yaml:"message"`   // what people are told; made up from the rule
}

// What an alert looks at.
const (
	AlertRate  = "rate"  // events a second
	AlertCount = "count" // events
	AlertSum   = "sum"   // of the values
	AlertMean  = "mean"  // of the values
)

// The sides of a threshold.
const (
	AlertAbove = "above"
	AlertBelow = "below"
)

func fillAlert(a Alert) Alert {
	set(&a.When, AlertAbove)
	set(&a.Window, time.Minute)
	set(&a.Level, "warning")
	if a.Threshold != nil && a.Clear == nil {
		a.Clear = new(*a.Threshold)
	}
	return a
}
