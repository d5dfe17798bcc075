package authz

import (
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// The outcomes of a decision, as metrics name them.
const (
	outcomeAllowed    = "allowed"
	outcomeDenied     = "denied"
	outcomeRemembered = "remembered" // from the cache
	outcomeFailed     = "failed"     // the backend did not answer
)

// counters are the system's metrics. Each is written under two names: weir_permit_* are those of the version before,
// and go with the next one.
type counters struct {
	outcomes map[string][]*metrics.Counter
	seconds  []*metrics.PrometheusHistogram
}

func newCounters(set *metrics.Set) counters {
	c := counters{outcomes: make(map[string][]*metrics.Counter)}
	for _, prefix := range []string{"weir_authz", "weir_permit"} {
		for _, o := range []string{outcomeAllowed, outcomeDenied, outcomeRemembered, outcomeFailed} {
			c.outcomes[o] = append(c.outcomes[o], set.NewCounter(fmt.Sprintf("%s_decisions_total{outcome=%q}", prefix, o)))
		}
		c.seconds = append(c.seconds, set.NewPrometheusHistogram(prefix+"_seconds"))
	}
	return c
}

// add counts a decision.
func (c *counters) add(outcome string) {
	for _, x := range c.outcomes[outcome] {
		x.Inc()
	}
}

// took notes how long the backend has taken.
func (c *counters) took(d time.Duration) {
	for _, x := range c.seconds {
		x.Update(d.Seconds())
	}
}
