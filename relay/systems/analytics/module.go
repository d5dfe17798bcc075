package analytics

import (
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "analytics"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			Section:     func() config.Section { return new(Config) },
			Check:       check,
			Namespaces:  []string{Namespace},
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_analytics_events_total", Type: relay.Counter, Help: "Events that were counted."},
			{Name: "weir_analytics_refused_total", Type: relay.Counter, Help: "Events that were refused because they could not be read."},
			{Name: "weir_analytics_metrics", Type: relay.Gauge, Help: "Metrics that are kept, including the relay's own."},
			{Name: "weir_analytics_dashboards", Type: relay.Gauge, Help: "Connected dashboards."},
			{Name: "weir_analytics_alerts_raised", Type: relay.Gauge, Help: "Alerts that are currently raised."},
			{Name: "weir_analytics_alerts_total", Type: relay.Counter, Help: "Alerts raised so far."},
		},
	}
}

// Config is what the system "analytics" counts, and when it raises an alert.
type Config struct {
	Metrics int     `yaml:"metrics" default:"128" range:"1..1024"` // different metrics that are told apart, the relay's own aside
	Alerts  []Alert `yaml:"alerts"`                                // none
}

// Alert is a rule: while a metric is beyond a threshold, an alert is raised. It is raised once and cleared once.
type Alert struct {
	Name      string        `yaml:"name"`   // for people and programs: 1 to 64 letters, digits, dots, dashes, underscores
	Metric    string        `yaml:"metric"` // api.request, user.action/login, weir.connections, ...
	Of        string        `yaml:"of"`     // what is looked at over the window: rate, count, sum or mean; rate, for gauges mean
	When      string        `yaml:"when" default:"above" oneof:"above below"`
	Window    time.Duration `yaml:"window" default:"1m" range:"1s..1h"` // whole seconds
	Threshold *float64      `yaml:"threshold"`                          // that raises the alert; required
	Clear     *float64      `yaml:"clear"`                              // from where back it is over; the threshold
	Hold      time.Duration `yaml:"hold" range:"0s..1h"`                // how long either must last to count; whole seconds
	Level     string        `yaml:"level" default:"warning" oneof:"info warning critical"`
	Message   string        `yaml:"message"` // for people; made up from the rule
}

// What an alert looks at.
const (
	alertRate  = "rate"  // events a second
	alertCount = "count" // events
	alertSum   = "sum"   // of the values
	alertMean  = "mean"  // of the values
)

// The sides of a threshold.
const (
	alertAbove = "above"
	alertBelow = "below"
)

// Key implements config.Section.
func (*Config) Key() string { return "analytics" }

// Fill sets the defaults that tags cannot express. dev is development mode on loopback.
func (c *Config) Fill(dev bool) {
	if dev && c.Alerts == nil {
		c.Alerts = devAlerts()
	}
	for i := range c.Alerts {
		if a := &c.Alerts[i]; a.Threshold != nil && a.Clear == nil {
			a.Clear = new(*a.Threshold)
		}
	}
}

// devAlerts are rules that are easily met, so that an alert can be seen.
func devAlerts() []Alert {
	var out []Alert
	for _, metric := range []string{"api.request", "user.action", "system.event"} {
		kind, _, _ := strings.Cut(metric, ".")
		out = append(out, Alert{Name: "high-" + kind, Metric: metric, Of: alertRate, Window: 5 * time.Second, Threshold: new(50.0), Clear: new(40.0),
			Message: "High " + kind + " activity detected"})
	}
	return out
}

// maxAlerts bounds how many rules are looked at each second.
const maxAlerts = 256

// check checks what is counted and when there is an alert.
func check(c *config.Config, k *config.Checks) {
	own := config.Of[Config](c)
	const key = "analytics"
	alerts := own.Alerts
	if len(alerts) > 0 && !c.Dev && !slices.Contains(c.Systems, Name) { // those of development mode are nobody's wish
		k.Add(config.Join(key, "alerts"), `alerts are configured but the system is off: add "analytics" to systems`)
	}
	if len(alerts) > maxAlerts {
		k.Add(config.Join(key, "alerts"), "%d alerts: expected at most %d", len(alerts), maxAlerts)
	}
	names := make(map[string]int)
	for i, a := range alerts {
		checkAlert(k, config.Element(config.Join(key, "alerts"), i), a)
		if first, twice := names[a.Name]; twice && a.Name != "" {
			k.Add(config.Join(config.Element(config.Join(key, "alerts"), i), "name"), "duplicate name %s: already used by alerts[%d]", config.Quote(a.Name), first)
		}
		names[a.Name] = i
	}
}

func checkAlert(k *config.Checks, key string, a Alert) {
	k.Label(config.Join(key, "name"), a.Name)
	if err := checkLabel(a.Metric); err != nil {
		k.Add(config.Join(key, "metric"), "%s is not a metric: %v", config.Quote(a.Metric), err)
	}
	if a.Of != "" {
		k.OneOf(config.Join(key, "of"), a.Of, alertRate, alertCount, alertSum, alertMean)
	}
	if a.Window%time.Second != 0 {
		k.Add(config.Join(key, "window"), "%v is not whole seconds", a.Window)
	}
	if a.Hold%time.Second != 0 {
		k.Add(config.Join(key, "hold"), "%v is not whole seconds", a.Hold)
	}
	if len(a.Message) > 1024 {
		k.Add(config.Join(key, "message"), "%d bytes: expected at most 1024", len(a.Message))
	}
	switch {
	case a.Threshold == nil:
		k.Add(config.Join(key, "threshold"), "expected the value that raises the alert, e.g. 100")
	case a.Clear == nil:
	case a.When == alertAbove && *a.Clear > *a.Threshold:
		k.Add(config.Join(key, "clear"), "%v must not exceed threshold (%v)", *a.Clear, *a.Threshold)
	case a.When == alertBelow && *a.Clear < *a.Threshold:
		k.Add(config.Join(key, "clear"), "%v must not be below threshold (%v)", *a.Clear, *a.Threshold)
	}
}

// counters are the metrics of the system itself.
type counters struct {
	events, refused, alerts *metrics.Counter
}

func newCounters(set *metrics.Set, s *System) counters {
	gauge := func(name string, of func() int) {
		set.NewGauge(name, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(of())
		})
	}
	gauge("weir_analytics_metrics", func() int { return len(s.order) })
	gauge("weir_analytics_alerts_raised", func() int {
		n := 0
		for _, r := range s.rules {
			if r.raised {
				n++
			}
		}
		return n
	})
	set.NewGauge("weir_analytics_dashboards", func() float64 { return float64(s.room.Members()) })
	return counters{
		events:  set.NewCounter("weir_analytics_events_total"),
		refused: set.NewCounter("weir_analytics_refused_total"),
		alerts:  set.NewCounter("weir_analytics_alerts_total"),
	}
}
