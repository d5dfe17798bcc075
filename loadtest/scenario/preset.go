package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Presets returns the built-in scenarios, in the order they are listed to users. Each is a small
// default that any machine runs; flags and files scale it.
func Presets() []Scenario {
	return []Scenario{
		{
			Name: "fanout", About: "few channels with many subscribers: every message goes to all of them",
			Channels: 1, Subscribers: 1000, Rate: 100,
		},
		{
			Name: "many", About: "many small channels, published to one message at a time",
			Channels: 100, Subscribers: 1000, Rate: 2000, Publishers: 16,
		},
		{
			Name: "chat", About: "rooms and their members: messages that all must arrive, who is typing, and who is here",
			System: "chat", Channels: 50, Subscribers: 500, Rate: 500, Presence: true, Payload: 256, Publishers: 8,
		},
		{
			Name: "presence", About: "connections join and leave, and those who stay see it",
			Channels: 10, Subscribers: 100, Presence: true, Churn: 100, Stay: 500 * time.Millisecond, Checked: All, Rate: 10,
		},
		{
			Name: "analytics", About: "events in, dashboards out: each is told of all events, counted once a second",
			System: "analytics", Channels: 4, Subscribers: 10, Rate: 5000, Batch: 50, Late: 3 * time.Second,
		},
		{
			Name: "idle", About: "connections that stay quiet: memory of each",
			Measure: Idle, Channels: 100, Subscribers: 1000, Duration: 5 * time.Second, Warmup: -1,
		},
		{
			Name: "connect", About: "handshake, subscribe, leave: connections a second",
			Measure: Connect, Channels: 100, Rate: 1000, Payload: 128,
		},
		{
			Name: "ingress", About: "publishes a second with nobody listening",
			Measure: Publish, Channels: 16, Rate: 5000, Publishers: 16,
		},
		{
			Name: "echo", About: "requests and their responses, each client on a connection of its own",
			Measure: Echo, Subscribers: 100, Rate: 1000,
		},
		{
			Name: "herd", About: "all connections are cut at once, come back and resume where they stood",
			Channels: 10, Subscribers: 1000, Checked: All, Late: 10 * time.Second,
			Stages: []Stage{{Duration: 3 * time.Second, Rate: 50}, {Duration: 7 * time.Second, Rate: 50, Herd: true}},
		},
		{
			Name: "slow", About: "1 % of the clients stops reading: what the others notice",
			Channels: 1, Subscribers: 1000,
			Stages: []Stage{{Duration: 5 * time.Second, Rate: 200}, {Duration: 5 * time.Second, Rate: 200, Slow: 0.01}},
		},
	}
}

// Preset returns the built-in scenario of that name, or an error that wraps ErrInvalid and names them
// all.
func Preset(name string) (Scenario, error) {
	all := Presets()
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
	if i >= 0 {
		return all[i], nil
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name
	}
	return Scenario{}, fmt.Errorf("no scenario %q: expected %s, or a file ending in .yaml: %w", name, strings.Join(names, ", "), ErrInvalid)
}

// Find returns the preset of that name, or reads the file when the name ends in .yaml or .yml.
func Find(name string) (Scenario, error) {
	if strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml") {
		return ReadFile(name)
	}
	return Preset(name)
}
