package webhook

import (
	"slices"
	"time"

	"weir/relay/config"
)

// Config is whom the system tells of events; nobody.
type Config []Webhook

// Webhook is an address that is told of events.
type Webhook struct {
	Name    string        `yaml:"name"`    // for operators, in metrics and in the names of its channels: 1 to 64 letters, digits, dots, dashes, underscores
	URL     string        `yaml:"url"`     // https; see AllowInsecure
	Topics  []string      `yaml:"topics"`  // what it is told of: topics, "chat.*" for all that begin so, or "*"
	Secrets []string      `yaml:"secrets"` // one, or two while one replaces the other: whsec_ and 24 to 64 bytes in base64
	Timeout time.Duration `yaml:"timeout"` // of one attempt; 2s, which is also the longest
	Retry   time.Duration `yaml:"retry"`   // how long an event is tried; 24h, which is also the longest
	Queue   int           `yaml:"queue"`   // events that wait at once; 1000
	Batch   int           `yaml:"batch"`   // events in one request at most; 1. With more the body is an array of them
	// AllowInsecure permits http and private addresses, for backends beside the relay. Development mode does, too.
	AllowInsecure bool `yaml:"allow_insecure"`
}

// Key implements config.Section.
func (*Config) Key() string { return "webhooks" }

// Fill implements config.Section.
func (c *Config) Fill(bool) {
	for i := range *c {
		w := &(*c)[i]
		config.Set(&w.Timeout, 2*time.Second)
		config.Set(&w.Retry, 24*time.Hour)
		config.Set(&w.Queue, 1000)
		config.Set(&w.Batch, 1)
	}
}

// maxWebhooks bounds how many are told of one event.
const maxWebhooks = 64

// check checks who is told of events.
func check(c *config.Config, k *config.Checks) {
	list := *config.Of[Config](c)
	if len(list) > 0 && !slices.Contains(c.Systems, Name) {
		k.Add("webhooks", "nobody is told: the system is off. Expected webhook in the list systems")
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
			k.Add(config.Join(key, "name"), "%s is the name of webhooks[%d], too", config.Quote(w.Name), first)
		}
		names[w.Name] = i
		k.Address(config.Join(key, "url"), w.URL, w.AllowInsecure || c.Dev)
		if len(w.Topics) == 0 {
			k.Add(config.Join(key, "topics"), `expected the topics that it is told of, such as [chat.message.sent, "feed.*"]`)
		}
		k.Topics(config.Join(key, "topics"), w.Topics)
		k.Signers(config.Join(key, "secrets"), w.Secrets)
		k.Span(config.Join(key, "timeout"), w.Timeout, 10*time.Millisecond, 2*time.Second)
		k.Span(config.Join(key, "retry"), w.Retry, time.Second, 24*time.Hour)
		k.Count(config.Join(key, "queue"), w.Queue, 1, 100_000)
		k.Count(config.Join(key, "batch"), w.Batch, 1, 100)
	}
}
