package authz

import (
	"maps"
	"slices"

	"weir/relay"
	"weir/relay/config"
)

// Name is what logs and the table of metrics call the system. Its settings switch it on, not the list of systems.
const Name = "authorization"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:  Name,
			On:    func(c *config.Config) bool { return c.Auth.Webhook.URL != "" },
			Check: check,
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_authz_decisions_total", Type: relay.Counter, Labels: []string{"outcome"}, Help: "Decisions about channels of namespaces with the access webhook: allowed, denied, remembered (from the cache) or failed (no answer from the backend)."},
			{Name: "weir_authz_seconds", Type: relay.Histogram, Help: "Time that the backend took to decide."},
			{Name: "weir_permit_decisions_total", Type: relay.Counter, Labels: []string{"outcome"}, Help: "Deprecated name of weir_authz_decisions_total; it goes with the next version."},
			{Name: "weir_permit_seconds", Type: relay.Histogram, Help: "Deprecated name of weir_authz_seconds; it goes with the next version."},
		},
	}
}

// check checks who is asked what clients may do.
func check(c *config.Config, k *config.Checks) {
	w := c.Auth.Webhook
	if w.URL == "" {
		for _, name := range slices.Sorted(maps.Keys(c.Namespaces)) {
			n, key := c.Namespaces[name], config.Join("namespaces", name)
			for op, access := range map[string]config.Access{"subscribe": n.Subscribe, "publish": n.Publish} {
				if access == config.ByWebhook {
					k.Add(config.Join(key, op), `"webhook" needs somebody to ask: set auth.webhook.url`)
				}
			}
		}
		return
	}
	k.Address("auth.webhook.url", w.URL, w.AllowInsecure || c.Dev)
	k.Signers("auth.webhook.secrets", w.Secrets)
}
