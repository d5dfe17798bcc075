package pusher

import (
	"cmp"
	"strings"
	"time"

	"weir/internal/units"
	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "pusher"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			Section:     func() config.Section { return new(Config) },
			Check:       check,
			Namespaces:  []string{defaultNamespace},
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_pusher_connections", Type: relay.Gauge, Labels: []string{"app"}, Help: "Open connections of an app."},
			{Name: "weir_pusher_channels", Type: relay.Gauge, Labels: []string{"app"}, Help: "Channels that somebody is subscribed to."},
			{Name: "weir_pusher_users", Type: relay.Gauge, Labels: []string{"app"}, Help: "Signed-in users."},
			{Name: "weir_pusher_held_bytes", Type: relay.Gauge, Labels: []string{"app"}, Help: "Bytes of events that wait in windows."},
			{Name: "weir_pusher_events_total", Type: relay.Counter, Labels: []string{"app"}, Help: "Events of backends, for each channel."},
			{Name: "weir_pusher_client_events_total", Type: relay.Counter, Labels: []string{"app"}, Help: "Events of clients that were relayed."},
			{Name: "weir_pusher_refused_total", Type: relay.Counter, Labels: []string{"app", "reason"}, Help: "Connections, subscriptions, events and requests that were refused."},
			{Name: "weir_pusher_webhook_events_total", Type: relay.Counter, Labels: []string{"app", "outcome"}, Help: "Events for webhooks, by what came of them: delivered, retried, expired or dropped."},
			{Name: "weir_pusher_webhook_waiting", Type: relay.Gauge, Labels: []string{"app"}, Help: "Events that wait for a webhook."},
			{Name: "weir_pusher_encodes_total", Type: relay.Counter, Help: "Windows of channels that were encoded for clients of this protocol: one for each, however many clients."},
		},
	}
}

// defaultNamespace is the namespace of an app that names none.
const defaultNamespace = "pusher"

// Config is the section "pusher".
type Config struct {
	Path string `yaml:"path"` // what stands before /app and /apps in addresses; ""
	Apps []App  `yaml:"apps"` // in development mode, one with the id 1, the key dev and the secret dev
}

// App is an app: its channels, users and limits are apart from those of others.
type App struct {
	ID        string    `yaml:"id"`        // in addresses of the HTTP API; most SDKs want a number
	Name      string    `yaml:"name"`      // in metrics; the id
	Keys      []Key     `yaml:"keys"`      // one, or several while one replaces another
	Namespace string    `yaml:"namespace"` // whose channels are the app's; "pusher", which one app may have
	Disabled  bool      `yaml:"disabled"`  // lets nobody in
	Origins   []string  `yaml:"origins"`   // exact origins of pages that may connect; none: all
	Limit     Limit     `yaml:"limits"`
	Feature   Feature   `yaml:"features"`
	Webhooks  []Webhook `yaml:"webhooks"`
}

// Key is a key, which is in the page, and its secret, which is not.
type Key struct {
	Key    string `yaml:"key"`
	Secret string `yaml:"secret"`
}

// Limit bounds what an app may take.
type Limit struct {
	Connections  int        `yaml:"connections" range:"0..100000000"`            // 0: no limit but the relay's
	ClientEvents units.Rate `yaml:"client_events" default:"10/s"`                // of one connection
	Events       units.Rate `yaml:"events" default:"10000/s"`                    // of the app's backends, counted for each channel; bursts of twice that
	Backlog      units.Size `yaml:"backlog" default:"16MiB" range:"64KiB..1GiB"` // events that wait in windows
	Payload      units.Size `yaml:"payload" default:"10KiB" range:"1B..1MiB"`    // the data of an event
	Channels     int        `yaml:"channels" default:"100" range:"1..1000"`      // of one event
	Batch        int        `yaml:"batch" default:"10" range:"1..1000"`          // events of one request
	Members      int        `yaml:"members" default:"100" range:"1..10000"`      // of a presence channel
	Member       units.Size `yaml:"member" default:"1KiB" range:"1B..64KiB"`     // the user_info of one
}

// Feature is what an app does beyond the essentials.
type Feature struct {
	ClientEvents *bool         `yaml:"client_events" default:"true"`        // clients may send events to private and presence channels
	Counts       bool          `yaml:"subscription_count"`                  // subscribers are told how many they are
	Watchlists   *bool         `yaml:"watchlists" default:"true"`           // signed-in users may watch others
	SignIn       time.Duration `yaml:"signin" range:"0s..1h"`               // within this time a connection signs in, or subscribes to a private or presence channel; 0: it need not
	Cache        time.Duration `yaml:"cache" default:"30m" range:"1s..24h"` // how long the last event of a cache channel is kept
	Leave        time.Duration `yaml:"leave" default:"3s" range:"1ms..1m"`  // after which webhooks, and clients where a connection broke off, are told that somebody has left
}

// Webhook is an address that is told what happens in an app.
type Webhook struct {
	URL           string        `yaml:"url"`                                    // https; see AllowInsecure
	Events        []string      `yaml:"events"`                                 // names such as channel_occupied; none: all
	StartsWith    string        `yaml:"channel_name_starts_with"`               // only channels whose names begin so
	EndsWith      string        `yaml:"channel_name_ends_with"`                 // only channels whose names end so
	Headers       []string      `yaml:"headers"`                                // further ones, "Name: value"
	Batch         int           `yaml:"batch" default:"1" range:"1..100"`       // events in one request at most
	Timeout       time.Duration `yaml:"timeout" default:"5s" range:"10ms..30s"` // of one attempt
	Queue         int           `yaml:"queue" default:"1000" range:"1..100000"` // events that wait at once
	AllowInsecure bool          `yaml:"allow_insecure"`                         // permits http and private addresses; development mode does, too
}

// Key implements config.Section.
func (*Config) Key() string { return "pusher" }

// Fill sets the defaults that tags cannot express. dev is development mode on loopback.
func (c *Config) Fill(dev bool) {
	if dev && len(c.Apps) == 0 {
		c.Apps = []App{{ID: "1", Name: "dev", Keys: []Key{{"dev", "dev"}}}}
		c.Apps[0].Limit.Events = units.Rate{Count: 1_000_000, Per: time.Second} // it has nobody to be fair to
	}
	for i := range c.Apps {
		a := &c.Apps[i]
		a.Namespace = cmp.Or(a.Namespace, defaultNamespace)
		a.Name = cmp.Or(a.Name, a.ID)
	}
}

// hookEvents are the events that webhooks are told.
var hookEvents = []string{"channel_occupied", "channel_vacated", "member_added", "member_removed", "client_event", "cache_miss", "subscription_count"}

// check checks the apps.
func check(c *config.Config, k *config.Checks) {
	section := config.Of[Config](c)
	if section.Path != "" && (section.Path[0] != '/' || strings.HasSuffix(section.Path, "/") || strings.ContainsAny(section.Path, "{}?# ")) {
		k.Add("pusher.path", "not a path: expected one such as /pusher, without a slash at its end")
	}
	seen := make(map[string]string) // what must be unique, to who has it
	unique := func(key, kind, value string) {
		if first, twice := seen[kind+value]; twice {
			k.Add(key, "duplicate %s %s: already used by %s", kind, config.Quote(value), first)
		}
		seen[kind+value] = key
	}
	for i, a := range section.Apps {
		key := config.Element("pusher.apps", i)
		if !config.IsPlain(a.ID) {
			k.Add(key+".id", "%s is not an id: expected letters, digits, dashes and underscores", config.Quote(a.ID))
		}
		unique(key+".id", "id", a.ID)
		k.Label(key+".name", a.Name)
		unique(key+".name", "name", a.Name)
		if strings.Contains(a.Namespace, ":") {
			k.Add(key+".namespace", "the name holds a colon: expected what comes before the first colon of a channel name")
		}
		unique(key+".namespace", "namespace", a.Namespace)
		if n := c.Namespaces[a.Namespace]; n.Durable {
			k.Add("namespaces."+a.Namespace+".durable", "not possible for an app of pusher: members would outlive their connections in a crash")
		}
		if len(a.Keys) == 0 {
			k.Add(key+".keys", "expected at least one key and its secret")
		}
		for j, pair := range a.Keys {
			key := config.Element(key+".keys", j)
			if !config.IsPlain(pair.Key) {
				k.Add(key+".key", "expected letters, digits, dashes and underscores")
			}
			unique(key+".key", "key", pair.Key)
			switch {
			case pair.Secret == config.Redacted:
				k.Add(key+".secret", "%s stands for a secret in the output of config print: expected the secret", config.Redacted)
			case len(pair.Secret) < 16 && !c.DevLocal():
				k.Add(key+".secret", "expected at least 16 bytes")
			}
		}
		for j, w := range a.Webhooks {
			key := config.Element(key+".webhooks", j)
			k.Address(key+".url", w.URL, w.AllowInsecure || c.Dev)
			for n, event := range w.Events {
				k.OneOf(config.Element(key+".events", n), event, hookEvents...)
			}
			for n, line := range w.Headers {
				if name, _, ok := strings.Cut(line, ":"); !ok || !config.IsPlain(name) {
					k.Add(config.Element(key+".headers", n), "expected a header such as X-Shop: 7")
				}
			}
		}
	}
}
