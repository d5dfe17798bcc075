package settings

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/internal/units"
	"weir/relay/config"
)

// What the relay can take. The largest values are those that no installation needs and that would
// overflow or exhaust something further in.
const (
	maxCount     = 100_000_000
	maxShards    = 1024
	maxNamespace = 253 // a channel name has at most 255 bytes, of which a colon and one more are not the namespace
)

// Check says what is wrong with a configuration that Fill has completed: values out of range and
// settings that contradict each other. It reads no files; CheckFiles does. The problems have no Origin.
func Check(c config.Config) []Problem {
	k := &check{}
	k.addresses(c)
	k.span("heartbeat", c.Heartbeat, time.Second, 30*time.Second)
	k.span("pong", c.Pong, time.Second, time.Minute)
	k.span("drain", c.Drain, 0, 30*time.Second)
	k.count("shards", c.Shards, 0, maxShards)
	k.limits("limits", c.Limit)
	k.systems(c.Systems)
	k.webhooks(c)
	k.documents(c.Documents)
	k.notify(c)
	k.topics("events.clients", c.Events.Clients)
	k.authWebhook(c)
	k.chat(c.Chat)
	k.analytics(c)
	k.oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	k.oneOf("log.format", c.Log.Format, "json", "text")
	k.tokens(c)
	k.apiKeys(c)
	for _, name := range sortedNames(c.Namespaces) {
		k.namespace(name, c.Namespaces[name], c.Limit)
		if c.Namespaces[name].Durable && c.Data == "" {
			k.add(join(join("namespaces", name), "durable"), "there is no data directory: set data, or --data")
		}
	}
	return k.problems
}

// check gathers problems.
type check struct {
	problems []Problem
	notes    []string // of files: what is odd, and good all the same
}

func (k *check) add(key, format string, args ...any) {
	k.problems = append(k.problems, Problem{Key: key, Message: fmt.Sprintf(format, args...)})
}

func (k *check) limits(key string, l config.Limit) {
	k.count(join(key, "connections"), l.Connections, 0, maxCount)
	k.count(join(key, "per_address"), l.PerAddress, 0, maxCount)
	k.count(join(key, "per_user"), l.PerUser, 1, maxCount)
	k.count(join(key, "subscriptions"), l.Subscriptions, 1, maxCount)
	k.size(join(key, "message"), l.Message, 1, 64*units.MiB)
	k.size(join(key, "request"), l.Request, 1, units.GiB)
	k.size(join(key, "queue"), l.Queue, 1, units.GiB)
	k.rate(join(key, "commands"), l.Commands)
	k.rate(join(key, "pings"), l.Pings)
	if l.Request < l.Message {
		k.add(join(key, "request"), "%v is less than limits.message (%v): no request could carry the largest message", l.Request, l.Message)
	}
	if l.Queue < l.Message {
		k.add(join(key, "queue"), "%v is less than limits.message (%v): the largest message could not wait", l.Queue, l.Message)
	}
}

// systems checks what is to be part of the relay.
func (k *check) systems(list []string) {
	known := config.SystemNames()
	for i, name := range list {
		key := element("systems", i)
		switch {
		case slices.Contains(list[:i], name):
			k.add(key, "%s is listed twice", shown(name))
		case !slices.Contains(known, name):
			hint := ""
			if near := nearest(name, known); near != "" {
				hint = "did you mean " + near + "? "
			}
			k.add(key, "%s is not a system: %sknown: %s", shown(name), hint, strings.Join(known, ", "))
		}
	}
}

func (k *check) namespace(name string, n config.Namespace, limit config.Limit) {
	key := join("namespaces", name)
	switch {
	case strings.Contains(name, ":"):
		k.add(key, "the name holds a colon: expected what comes before the first colon of a channel name")
	case name == "" || len(name) > maxNamespace || name[0] == '.' || strings.Trim(name, namespaceBytes) != "":
		k.add(key, "not a namespace: expected 1 to %d of A-Z a-z 0-9 _ . - / @ ~ =, not beginning with a dot", maxNamespace)
	}
	if n.History.Size != nil {
		k.count(key+".history.size", *n.History.Size, 0, maxCount)
	}
	k.span(key+".history.ttl", n.History.TTL, time.Millisecond, 366*24*time.Hour)
	if n.Batch.Window != nil {
		k.span(key+".batch.window", *n.Batch.Window, 0, 10*time.Second)
	}
	k.oneOf(key+".deliver", string(n.Deliver), string(config.AtOnce), string(config.AfterDisk))
	k.oneOf(key+".slow", string(n.Slow), string(config.Disconnect), string(config.Resync))
	k.access(key+".subscribe", n.Subscribe)
	k.access(key+".publish", n.Publish)
	k.size(key+".limits.message", n.Limit.Message, 1, 64*units.MiB)
	if limit.Message > 0 && n.Limit.Message > limit.Message {
		k.add(key+".limits.message", "%v is more than limits.message (%v), which holds for the whole relay", n.Limit.Message, limit.Message)
	}
	k.rate(key+".limits.rate", n.Limit.Rate)
	k.count(key+".limits.items", n.Limit.Items, 1, maxCount)
}

// namespaceBytes is the alphabet of channel names without the colon.
const namespaceBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-/@~="

func (k *check) access(key string, a config.Access) {
	switch a {
	case config.Public, config.Authenticated, config.Member, config.Capability, config.ByWebhook, config.Backend:
	default:
		k.add(key, "%s is not a kind of access: expected %s", shown(string(a)), accesses)
	}
}

const accesses = "public, authenticated, member, capability, webhook or backend"

func (k *check) span(key string, d, least, most time.Duration) {
	if d < least || d > most {
		k.add(key, "%s is out of range: expected %s to %s", formatDuration(d), formatDuration(least), formatDuration(most))
	}
}

func (k *check) count(key string, n, least, most int) {
	if n < least || n > most {
		k.add(key, "%d is out of range: expected %d to %d", n, least, most)
	}
}

func (k *check) size(key string, s, least, most units.Size) {
	if s < least || s > most {
		k.add(key, "%v is out of range: expected %v to %v", s, least, most)
	}
}

func (k *check) rate(key string, r units.Rate) {
	if r.Count < 1 || r.Per <= 0 {
		k.add(key, "not a rate: expected a count per s, m or h, such as 50/s, or none")
	}
}

func (k *check) oneOf(key, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		last := len(allowed) - 1
		k.add(key, "%s is not possible here: expected %s or %s", shown(value), strings.Join(allowed[:last], ", "), allowed[last])
	}
}

func sortedNames(n config.Namespaces) []string {
	names := make([]string, 0, len(n))
	for name := range n {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
