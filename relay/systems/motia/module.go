package motia

import (
	"strings"

	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "motia"

// Namespace is that of the streams. clockNamespace keeps how far the timestamps have got.
const (
	Namespace      = "stream"
	clockNamespace = "motia"
)

// Module returns the system for the list of the binary.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			Section:     func() config.Section { return new(Config) },
			Check:       check,
			Namespaces:  []string{Namespace, clockNamespace},
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_motia_connections", Type: relay.Gauge, Help: "Open connections of stream clients."},
			{Name: "weir_motia_subscriptions", Type: relay.Gauge, Help: "Items and groups that these have joined."},
			{Name: "weir_motia_refused_total", Type: relay.Counter, Labels: []string{"reason"}, Help: "What was refused: connections (token), joins (access, limit, name, unavailable) and messages (form)."},
			{Name: "weir_motia_encodes_total", Type: relay.Counter, Help: "Windows of channels that were encoded for these clients: one for each, however many clients."},
		},
	}
}

// Config is the section "motia".
type Config struct {
	Path      string `yaml:"path" default:"/motia"`                          // where clients connect; "/" is possible
	Anonymous *bool  `yaml:"anonymous" default:"false"`                      // clients without a token may join public groups; on in development mode
	Most      int    `yaml:"subscriptions" default:"1000" range:"1..100000"` // of one connection
}

// Key implements config.Section.
func (*Config) Key() string { return Name }

// Fill sets the defaults that tags cannot express. dev is development mode on loopback.
func (c *Config) Fill(dev bool) {
	if dev && c.Anonymous == nil {
		c.Anonymous = new(true)
	}
}

// check checks the section.
func check(c *config.Config, k *config.Checks) {
	path := config.Of[Config](c).Path
	if path == "" || path[0] != '/' || path != "/" && strings.HasSuffix(path, "/") || strings.ContainsAny(path, "{}?# ") {
		k.Add("motia.path", "not a path: expected one such as /motia, without a slash at its end, or /")
	}
	if taken := path == "/ws" || path == "/sse" || strings.HasPrefix(path, "/v1/"); taken {
		k.Add("motia.path", "%s is weir's own: expected another path", path)
	}
}
