package config

import (
	"reflect"
	"time"

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

// WithDefaults returns a copy of c in which every value that is not set has its default: that of its tag, or one that depends
// on others, which is written here. Values that depend on the machine (connections, shards) stay 0: see Machine.
//
// In development mode, a default namespace that c does not describe is open: any client with a token
// may follow and fill its channels, as fast as it likes, and they keep more. The published keys of that
// mode are not part of the configuration; Complete adds them.
func (c Config) WithDefaults() Config {
	c = c.Clone()
	if c.Namespaces == nil {
		c.Namespaces = make(Namespaces)
	}
	if c.Dev {
		setDefault(&c.Limit.PerUser, devPerUser)
		if len(c.Systems) == 0 {
			c.Systems = c.SystemNames()
			if c.Cluster.On() {
				c.Systems = c.distributed()
			}
		}
		c.Namespaces.add(DefaultNamespace, devNamespace(false))
		c.Namespaces.add(demoNamespace, devNamespace(c.Data != ""))
	}
	c.Namespaces.add(DefaultNamespace, Namespace{})
	c.orderSections()
	c.Cluster.fill()
	c.fillSections(0)
	fillDefaults(reflect.ValueOf(&c).Elem())
	for name, n := range c.Namespaces {
		setDefault(&n.Limit.Message, c.Limit.Message)
		c.Namespaces[name] = n
	}
	return c
}

// add adds a namespace, unless there is one of that name.
func (n Namespaces) add(name string, policy Namespace) {
	if _, ok := n[name]; !ok {
		n[name] = policy
	}
}

func devNamespace(durable bool) Namespace {
	return Namespace{
		History:   History{Size: new(4096), TTL: time.Hour},
		Durable:   durable,
		Subscribe: Authenticated,
		Publish:   Authenticated,
		Limit:     Bounds{Rate: Unlimited},
	}
}

// WithDefaults returns n with a default in the place of each value that is not set; limit is the relay's.
func (n Namespace) WithDefaults(limit Limit) Namespace {
	fillDefaults(reflect.ValueOf(&n).Elem())
	setDefault(&n.Limit.Message, limit.Message)
	return n
}
