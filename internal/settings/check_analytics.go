package settings

import (
	"slices"
	"strings"
	"time"

	"weir/relay/config"
	"weir/relay/systems/analytics"
)

// maxAlerts bounds how many rules are looked at each second.
const maxAlerts = 256

// analytics checks what is counted and when there is an alert.
func (k *check) analytics(c config.Config) {
	const key = "analytics"
	k.count(join(key, "metrics"), c.Analytics.Metrics, 1, 1024)
	alerts := c.Analytics.Alerts
	if len(alerts) > 0 && !slices.Contains(c.Systems, config.SystemAnalytics) {
		k.add(join(key, "alerts"), "nothing is counted: the system is off. Expected analytics in the list systems")
	}
	if len(alerts) > maxAlerts {
		k.add(join(key, "alerts"), "%d alerts: expected at most %d", len(alerts), maxAlerts)
	}
	names := make(map[string]int)
	for i, a := range alerts {
		k.alert(element(join(key, "alerts"), i), a)
		if first, twice := names[a.Name]; twice && a.Name != "" {
			k.add(join(element(join(key, "alerts"), i), "name"), "%s is the name of alerts[%d], too", shown(a.Name), first)
		}
		names[a.Name] = i
	}
}

func (k *check) alert(key string, a config.Alert) {
	if a.Name == "" || len(a.Name) > 64 || strings.Trim(a.Name, nameBytes) != "" {
		k.add(join(key, "name"), "%s is not a name: expected 1 to 64 letters, digits, dots, dashes and underscores", shown(a.Name))
	}
	if err := analytics.CheckLabel(a.Metric); err != nil {
		k.add(join(key, "metric"), "%s is not a metric: %v", shown(a.Metric), err)
	}
	if a.Of != "" {
		k.oneOf(join(key, "of"), a.Of, config.AlertRate, config.AlertCount, config.AlertSum, config.AlertMean)
	}
	k.oneOf(join(key, "when"), a.When, config.AlertAbove, config.AlertBelow)
	k.oneOf(join(key, "level"), a.Level, "info", "warning", "critical")
	k.span(join(key, "window"), a.Window, time.Second, time.Hour)
	k.span(join(key, "hold"), a.Hold, 0, time.Hour)
	if a.Window%time.Second != 0 {
		k.add(join(key, "window"), "%v is not whole seconds", a.Window)
	}
	if a.Hold%time.Second != 0 {
		k.add(join(key, "hold"), "%v is not whole seconds", a.Hold)
	}
	if len(a.Message) > 1024 {
		k.add(join(key, "message"), "%d bytes: expected at most 1024", len(a.Message))
	}
	switch {
	case a.Threshold == nil:
		k.add(join(key, "threshold"), "expected the value from where on there is an alert, e.g. 100")
	case a.Clear == nil:
	case a.When == config.AlertAbove && *a.Clear > *a.Threshold:
		k.add(join(key, "clear"), "%v is more than the threshold (%v): the alert would be over while it begins", *a.Clear, *a.Threshold)
	case a.When == config.AlertBelow && *a.Clear < *a.Threshold:
		k.add(join(key, "clear"), "%v is less than the threshold (%v): the alert would be over while it begins", *a.Clear, *a.Threshold)
	}
}
