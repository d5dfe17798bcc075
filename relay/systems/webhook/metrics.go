package webhook

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// counters are the metrics of one endpoint. Its name is from the configuration.
type counters struct {
	attempts [gone + 1]*metrics.Counter
	accepted *metrics.Counter
	dead     map[string]*metrics.Counter // by reason
}

func newCounters(set *metrics.Set, p *endpoint) counters {
	name := p.config.Name
	c := counters{accepted: set.NewCounter(fmt.Sprintf("weir_webhook_events_total{endpoint=%q}", name)), dead: make(map[string]*metrics.Counter)}
	for v, outcome := range []string{delivered: "delivered", failed: "failed", refused: "refused", gone: "gone"} {
		c.attempts[v] = set.NewCounter(fmt.Sprintf("weir_webhook_attempts_total{endpoint=%q,outcome=%q}", name, outcome))
	}
	for _, reason := range []string{"full", "expired", "refused", "gone"} {
		c.dead[reason] = set.NewCounter(fmt.Sprintf("weir_webhook_dead_total{endpoint=%q,reason=%q}", name, reason))
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

// The states of an endpoint.
const (
	stateUp       = "up"
	stateDown     = "down"     // it does not respond, and is probed now and then
	statePaused   = "paused"   // it has asked not to be sent anything for a while
	stateDisabled = "disabled" // it has responded with 410
)

// status is the state of an endpoint, as GET /v1/webhooks lists it.
type status struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Waiting int    `json:"waiting"` // events, those in flight included
	Dead    int    `json:"dead"`
}

func (p *endpoint) status() status {
	s := status{Name: p.config.Name, State: stateUp, Waiting: p.queue.Len(), Dead: p.store.deadCount()}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.disabled:
		s.State = stateDisabled
	case p.breaker.Broken():
		s.State = stateDown
	case time.Now().Before(p.paused):
		s.State = statePaused
	}
	return s
}
