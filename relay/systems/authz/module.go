package authz

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/relay"
	"weir/relay/config"
)

// Name is what logs and the table of metrics call the system. Its settings switch it on, not the list of systems.
const Name = "authorization"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			On:          func(c *config.Config) bool { return c.Auth.Webhook.URL != "" },
			Decides:     func(c *config.Config) bool { return c.Auth.Webhook.URL != "" },
			Check:       check,
		},
		New: func() relay.System { return newSystem() },
		Metrics: []relay.Metric{
			{Name: "weir_authz_decisions_total", Type: relay.Counter, Labels: []string{"outcome"}, Help: "Decisions about channels of namespaces with the access webhook: allowed, denied, remembered (from the cache) or failed (no response from the backend)."},
			{Name: "weir_authz_seconds", Type: relay.Histogram, Help: "Time that the backend took to decide."},
			{Name: "weir_permit_decisions_total", Type: relay.Counter, Labels: []string{"outcome"}, Help: "Deprecated name of weir_authz_decisions_total; the next version removes it."},
			{Name: "weir_permit_seconds", Type: relay.Histogram, Help: "Deprecated name of weir_authz_seconds; the next version removes it."},
		},
	}
}

// check checks who is asked what clients may do.
func check(c *config.Config, k *config.Checks) {
	w := c.Auth.Webhook
	if w.URL == "" && c.Decided() {
		return
	}
	if w.URL == "" {
		for _, name := range slices.Sorted(maps.Keys(c.Namespaces)) {
			n, key := c.Namespaces[name], config.Join("namespaces", name)
			for op, access := range map[string]config.Access{"subscribe": n.Subscribe, "publish": n.Publish} {
				if access == config.ByWebhook {
					k.Add(config.Join(key, op), `"webhook" requires a backend to ask: set auth.webhook.url or, better, hooks.url`)
				}
			}
		}
		return
	}
	k.Address("auth.webhook.url", w.URL, w.AllowInsecure || c.Dev)
	k.Signers("auth.webhook.secrets", w.Secrets)
}

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
