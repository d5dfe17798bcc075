package config

import (
	"maps"
	"slices"
	"strings"
	"time"

	"weir/internal/units"
	"weir/pool"
)

// demoNamespace holds what the demos keep, in development mode: on disk, if there is a data directory.
const demoNamespace = "demo"

// DefaultNamespace holds the channels of no known namespace.
const DefaultNamespace = "default"

// devPerUser is more connections than one machine makes: in development everyone may be user u1.
const devPerUser = 1 << 20

// Machine is what the machine makes of values that are left to it: connections at once, and loops that write.
func (c *Config) Machine() (connections, shards int) {
	connections, _ = c.ConnectionLimit()
	return connections, pool.ShardCount(c.Shards)
}

// WithDefaults returns a copy of c in which every value that is not set has its default. It is the one
// place where defaults are written down. Values that depend on the machine (connections, shards) stay 0: see Machine.
//
// In development mode, a default namespace that c does not describe is open: any client with a token
// may follow and fill its channels, as fast as it likes, and they keep more. The published keys of that
// mode are not part of the configuration; New adds them.
func (c Config) WithDefaults() Config {
	c.Namespaces = maps.Clone(c.Namespaces)
	set(&c.Listen, "127.0.0.1:8080")
	set(&c.Admin, "127.0.0.1:9090")
	set(&c.Auth.JWKS.Refresh, time.Hour)
	if c.Auth.Leeway == nil {
		c.Auth.Leeway = new(5 * time.Second)
	}
	set(&c.Auth.Webhook.Timeout, 2*time.Second)
	set(&c.Auth.Webhook.Cache, 30*time.Second)
	set(&c.Heartbeat, 25*time.Second)
	set(&c.Pong, 10*time.Second)
	set(&c.Drain, 10*time.Second)

	if c.Dev {
		set(&c.Limit.PerUser, devPerUser)
		if len(c.Systems) == 0 {
			c.Systems = SystemNames()
		}
	}
	set(&c.Limit.PerUser, 100)
	set(&c.Limit.Subscriptions, 128)
	set(&c.Limit.Message, 64*units.KiB)
	set(&c.Limit.Request, units.MiB)
	set(&c.Limit.Queue, units.MiB)
	set(&c.Limit.Commands, units.Rate{Count: 100, Per: time.Second})
	set(&c.Limit.Pings, units.Rate{Count: 10, Per: time.Second})

	c.Webhooks = slices.Clone(c.Webhooks)
	for i, w := range c.Webhooks {
		c.Webhooks[i] = fillWebhook(w)
	}
	c.Notify = fillNotify(c.Notify)

	c.Documents = fillDocuments(c.Documents)
	c.Chat = fillChat(c.Chat)

	if c.Dev && c.Analytics.Alerts == nil {
		c.Analytics.Alerts = devAlerts()
	}
	set(&c.Analytics.Metrics, 128)
	c.Analytics.Alerts = slices.Clone(c.Analytics.Alerts)
	for i, a := range c.Analytics.Alerts {
		c.Analytics.Alerts[i] = fillAlert(a)
	}

	set(&c.Log.Level, "info")
	set(&c.Log.Format, "json")

	if c.Namespaces == nil {
		c.Namespaces = make(Namespaces)
	}
	if _, ok := c.Namespaces[demoNamespace]; c.Dev && !ok {
		n := devNamespace()
		n.Durable = c.Data != ""
		c.Namespaces[demoNamespace] = n
	}
	if _, ok := c.Namespaces[DefaultNamespace]; !ok {
		var n Namespace
		if c.Dev {
			n = devNamespace()
		}
		c.Namespaces[DefaultNamespace] = n
	}
	for name, n := range c.Namespaces {
		c.Namespaces[name] = n.WithDefaults(c.Limit)
	}
	return c
}

func devNamespace() Namespace {
	return Namespace{
		History:   History{Size: new(4096), TTL: time.Hour},
		Subscribe: Authenticated,
		Publish:   Authenticated,
		Limit:     Bounds{Rate: units.Rate{Count: 1 << 30, Per: time.Second}},
	}
}

// devAlerts are rules that are easily met, so that an alert can be seen.
func devAlerts() []Alert {
	var out []Alert
	for _, metric := range []string{"api.request", "user.action", "system.event"} {
		kind, _, _ := strings.Cut(metric, ".")
		out = append(out, Alert{Name: "high-" + kind, Metric: metric, Of: AlertRate, Window: 5 * time.Second, Threshold: new(50.0), Clear: new(40.0),
			Message: "High " + kind + " activity detected"})
	}
	return out
}

// WithDefaults returns n with a default in the place of each value that is not set; limit is the relay's.
func (n Namespace) WithDefaults(limit Limit) Namespace {
	point(&n.History.Size, 256)
	set(&n.History.TTL, 10*time.Minute)
	point(&n.Batch.Window, 50*time.Millisecond)
	point(&n.Batch.Eager, true)
	point(&n.Batch.Conflate, true)
	point(&n.Batch.Stretch, true)
	set(&n.Slow, Disconnect)
	set(&n.Deliver, AtOnce)
	point(&n.Presence, true)
	set(&n.Subscribe, Member)
	set(&n.Publish, Member)
	set(&n.Limit.Message, limit.Message)
	set(&n.Limit.Rate, units.Rate{Count: 50, Per: time.Second})
	set(&n.Limit.Items, 10000)
	return n
}

// set gives a value that is not set its default.
func set[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// point is set for values whose zero means something.
func point[T any](v **T, otherwise T) {
	if *v == nil {
		*v = &otherwise
	}
}
