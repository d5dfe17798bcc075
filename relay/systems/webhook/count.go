package webhook

import (
	"fmt"

	"github.com/VictoriaMetrics/metrics"
)

// counters are what is counted of one endpoint. Its name is the configuration's, so there are few.
type counters struct {
	attempts [gone + 1]*metrics.Counter
	accepted *metrics.Counter
	deaths   map[string]*metrics.Counter
}

func newCounters(set *metrics.Set, p *endpoint) counters {
	name := p.config.Name
	c := counters{accepted: set.NewCounter(fmt.Sprintf("weir_webhook_events_total{endpoint=%q}", name)), deaths: make(map[string]*metrics.Counter)}
	for v, outcome := range []string{delivered: "delivered", failed: "failed", refused: "refused", gone: "gone"} {
		c.attempts[v] = set.NewCounter(fmt.Sprintf("weir_webhook_attempts_total{endpoint=%q,outcome=%q}", name, outcome))
	}
	for _, reason := range []string{"full", "expired", "refused", "gone"} {
		c.deaths[reason] = set.NewCounter(fmt.Sprintf("weir_webhook_dead_total{endpoint=%q,reason=%q}", name, reason))
	}
	set.NewGauge(fmt.Sprintf("weir_webhook_waiting{endpoint=%q}", name), func() float64 { return float64(p.status().Waiting) })
	set.NewGauge(fmt.Sprintf("weir_webhook_up{endpoint=%q}", name), func() float64 {
		if p.status().State == stateUp {
			return 1
		}
		return 0
	})
	return c
}

func (c *counters) attempt(v verdict) *metrics.Counter  { return c.attempts[v] }
func (c *counters) dead(reason string) *metrics.Counter { return c.deaths[reason] }

// The states of an endpoint.
const (
	stateUp       = "up"
	stateDown     = "down"     // it does not answer, and is asked now and then
	statePaused   = "paused"   // it has asked for peace
	stateDisabled = "disabled" // it wants no events
)

// status is how an endpoint fares.
type status struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Waiting int    `json:"waiting"` // events, those in flight included
	Dead    int    `json:"dead"`
}
