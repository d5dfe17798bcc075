package config

import "time"

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

func fillWebhook(w Webhook) Webhook {
	set(&w.Timeout, 2*time.Second)
	set(&w.Retry, 24*time.Hour)
	set(&w.Queue, 1000)
	set(&w.Batch, 1)
	return w
}
