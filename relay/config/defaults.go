package config

import (
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
	c = c.Clone()
	Set(&c.Listen, "127.0.0.1:8080")
	Set(&c.Admin, "127.0.0.1:9090")
	Set(&c.Auth.JWKS.Refresh, time.Hour)
	if c.Auth.Leeway == nil {
		c.Auth.Leeway = new(5 * time.Second)
	}
	Set(&c.Auth.Webhook.Timeout, 2*time.Second)
	Set(&c.Auth.Webhook.Cache, 30*time.Second)
	Set(&c.Heartbeat, 25*time.Second)
	Set(&c.Pong, 10*time.Second)
	Set(&c.Drain, 10*time.Second)

	if c.Dev {
		Set(&c.Limit.PerUser, devPerUser)
		if len(c.Systems) == 0 {
			c.Systems = c.SystemNames()
		}
	}
	Set(&c.Limit.PerUser, 100)
	Set(&c.Limit.Subscriptions, 128)
	Set(&c.Limit.Message, 64*units.KiB)
	Set(&c.Limit.Request, units.MiB)
	Set(&c.Limit.Queue, units.MiB)
	Set(&c.Limit.Commands, units.Rate{Count: 100, Per: time.Second})
	Set(&c.Limit.Pings, units.Rate{Count: 10, Per: time.Second})

	c.fillSections()

	Set(&c.Log.Level, "info")
	Set(&c.Log.Format, "json")

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

// WithDefaults returns n with a default in the place of each value that is not set; limit is the relay's.
func (n Namespace) WithDefaults(limit Limit) Namespace {
	point(&n.History.Size, 256)
	Set(&n.History.TTL, 10*time.Minute)
	point(&n.Batch.Window, 50*time.Millisecond)
	point(&n.Batch.Eager, true)
	point(&n.Batch.Conflate, true)
	point(&n.Batch.Stretch, true)
	Set(&n.Slow, Disconnect)
	Set(&n.Deliver, AtOnce)
	point(&n.Presence, true)
	Set(&n.Subscribe, Member)
	Set(&n.Publish, Member)
	Set(&n.Limit.Message, limit.Message)
	Set(&n.Limit.Rate, units.Rate{Count: 50, Per: time.Second})
	Set(&n.Limit.Items, 10000)
	return n
}

// point is Set for values whose zero means something.
func point[T any](v **T, otherwise T) {
	if *v == nil {
		*v = &otherwise
	}
}
