package webhook

import (
	"slices"
	"strings"
	"time"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "webhook"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			Section:     func() config.Section { return new(Config) },
			Check:       check,
			Namespaces:  []string{Namespace},
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_webhook_events_total", Type: relay.Counter, Labels: []string{"endpoint"}, Help: "Events for an endpoint."},
			{Name: "weir_webhook_attempts_total", Type: relay.Counter, Labels: []string{"endpoint", "outcome"}, Help: "Attempts to deliver an event, by outcome."},
			{Name: "weir_webhook_dead_total", Type: relay.Counter, Labels: []string{"endpoint", "reason"}, Help: "Events that were given up, and are among the dead letters, by reason."},
			{Name: "weir_webhook_dropped_total", Type: relay.Counter, Help: "Events about connections, channels and members that were dropped before they were queued, because too many came at once."},
			{Name: "weir_webhook_waiting", Type: relay.Gauge, Labels: []string{"endpoint"}, Help: "Events that wait for delivery."},
			{Name: "weir_webhook_up", Type: relay.Gauge, Labels: []string{"endpoint"}, Help: "1 while events are sent to the endpoint; 0 while it does not respond, or after it has responded that it is gone."},
		},
	}
}

// Config is the endpoints that receive events; none.
type Config []Webhook

// Webhook is an endpoint that receives events.
type Webhook struct {
	Name   string   `yaml:"name"`   // for operators, in metrics and in the names of its channels: 1 to 64 letters, digits, dots, dashes, underscores
	URL    string   `yaml:"url"`    // https; see AllowInsecure
	Topics []string `yaml:"topics"` // that it receives: names, "chat.*" for all that begin with "chat.", or "*" for all but connection.*, channel.* and member.*
	// Namespaces narrows channel.* and member.* to channels of these; all.
	Namespaces []string      `yaml:"namespaces"`
	Secrets    []string      `yaml:"secrets"`                                // one, or two while one replaces the other: whsec_ and 24 to 64 bytes in base64
	Timeout    time.Duration `yaml:"timeout" default:"2s" range:"10ms..2s"`  // of one attempt
	Retry      time.Duration `yaml:"retry" default:"24h" range:"1s..24h"`    // how long an event is tried
	Queue      int           `yaml:"queue" default:"1000" range:"1..100000"` // events that wait at once
	Batch      int           `yaml:"batch" default:"1" range:"1..100"`       // events in one request at most. With more the body is an array of them
	// AllowInsecure permits http and private addresses, for backends beside the relay. Development mode does, too.
	AllowInsecure bool `yaml:"allow_insecure"`
}

// Key implements config.Section.
func (*Config) Key() string { return "webhooks" }

// maxWebhooks bounds the endpoints that receive one event.
const maxWebhooks = 64

// check checks the endpoints.
func check(c *config.Config, k *config.Checks) {
	list := *config.Of[Config](c)
	if len(list) > 0 && !slices.Contains(c.Systems, Name) {
		k.Add("webhooks", `webhooks are configured but the system is off: add "webhook" to systems`)
	}
	if len(list) > maxWebhooks {
		k.Add("webhooks", "%d webhooks: expected at most %d", len(list), maxWebhooks)
	}
	names := make(map[string]int)
	for i, w := range list {
		key := config.Element("webhooks", i)
		if !k.Label(config.Join(key, "name"), w.Name) {
			// named wrongly
		} else if first, twice := names[w.Name]; twice {
			k.Add(config.Join(key, "name"), "duplicate name %s: already used by webhooks[%d]", config.Quote(w.Name), first)
		}
		names[w.Name] = i
		k.Address(config.Join(key, "url"), w.URL, w.AllowInsecure || c.Dev)
		if len(w.Topics) == 0 {
			k.Add(config.Join(key, "topics"), `expected topics, such as [chat.message.sent, "feed.*"]`)
		}
		k.Topics(config.Join(key, "topics"), w.Topics)
		for j, name := range w.Namespaces {
			if !wire.ValidName(name) || strings.Contains(name, ":") {
				k.Add(config.Element(config.Join(key, "namespaces"), j), "%s is not a namespace", config.Quote(name))
			}
		}
		k.Signers(config.Join(key, "secrets"), w.Secrets)
	}
}
