package hub

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/relay/auth"
	"weir/relay/config"
)

// namespacesOf is the namespaces of a configuration.
func namespacesOf(t *testing.T, cfg config.Config) *Namespaces {
	t.Helper()
	if err := cfg.Complete(); err != nil {
		t.Fatal(err)
	}
	p, err := newNamespaces(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Who may do what with a channel, for every kind of access and of client.
func TestAccess(t *testing.T) {
	cfg := anOpenConfig()
	cfg.Known = []config.System{{Name: "analytics", Namespaces: []string{"analytics"}}}
	for _, access := range []config.Access{config.Public, config.Authenticated, config.Member, config.Capability, config.Backend} {
		cfg.Namespaces[string(access)] = config.Namespace{Subscribe: access, Publish: access}
	}
	p := namespacesOf(t, cfg)
	guest := &auth.Identity{Anonymous: true}
	user := &auth.Identity{User: "u1"}
	grant := func(pattern string, ops auth.Ops) *auth.Identity {
		return &auth.Identity{User: "u1", Grants: []auth.Grant{{Pattern: pattern, Ops: ops}}}
	}
	const all = auth.Subscribe | auth.Publish | auth.History | auth.Presence
	for _, test := range []struct {
		name    string
		id      *auth.Identity
		channel string
		may     auth.Ops
	}{
		{"guest", guest, "public:1", all},
		{"guest", guest, "authenticated:1", 0},
		{"guest", guest, "member:1", 0},
		{"guest", guest, "capability:1", 0},
		{"guest", guest, "backend:1", 0},
		{"guest", guest, "user:", 0},
		{"guest", guest, "presence:public:1", auth.Subscribe | auth.History | auth.Presence},
		{"user", user, "public:1", all},
		{"user", user, "authenticated:1", all},
		{"user", user, "anything without a namespace", all}, // the default
		{"user", user, "unknown:1", all},
		{"user", user, "member:1", 0},
		{"user", user, "capability:1", 0},
		{"user", user, "backend:1", 0},
		{"user", user, "user:u1", auth.Subscribe | auth.History | auth.Presence},
		{"user", user, "user:u2", 0},
		{"user", user, "event:x", 0},
		{"user", user, "analytics:x", 0},
		{"user", user, "presence:authenticated:1", auth.Subscribe | auth.History | auth.Presence},
		{"user", user, "presence:capability:1", 0},
		{"granted", grant("capability:1", auth.Subscribe), "capability:1", auth.Subscribe},
		{"granted", grant("capability:1", auth.Subscribe), "capability:2", 0},
		{"granted", grant("member:*", auth.Publish|auth.History), "member:2", auth.Publish | auth.History},
		{"granted", grant("capability:1", auth.Subscribe), "presence:capability:1", 0},
		{"granted", grant("capability:1", auth.Presence), "presence:capability:1", auth.Subscribe | auth.History | auth.Presence},
		{"granted", grant("backend:1", all), "backend:1", 0},
		{"granted all", grant("*", all), "capability:1", all},
		{"granted all", grant("*", all), "user:u2", 0}, // a star does not reach into others' channels
		{"granted all", grant("*", all), "event:x", 0},
		{"granted all", grant("*", all), "analytics:x", 0},
		{"granted by name", grant("user:*", all), "user:u2", auth.Subscribe | auth.History | auth.Presence},
		{"granted by name", grant("event:*", all), "event:x", auth.Subscribe | auth.History | auth.Presence},
		{"granted by name", grant("analytics:live", all), "analytics:live", auth.Subscribe | auth.History | auth.Presence},
		{"granted by name", grant("presence:*", all), "presence:capability:1", 0}, // follows what it tells of
	} {
		for _, op := range []auth.Ops{auth.Subscribe, auth.Publish, auth.History, auth.Presence} {
			if got, want := p.May(test.id, op, test.channel, WaitForAll) == nil, test.may&op != 0; got != want {
				t.Errorf("%s %v, op %v on %s: %t", test.name, test.id.Grants, op, test.channel, got)
			}
		}
	}
}

// What the configuration may not say, and who says it then.
func TestReservedNamespaces(t *testing.T) {
	cfg := anOpenConfig()
	cfg.Known = []config.System{{Name: "one", Namespaces: []string{"chat"}}, {Name: "two", Namespaces: []string{"document"}}}
	for _, name := range []string{"user", EventNamespace, "presence", "chat", "document"} {
		cfg.Namespaces[name] = config.Namespace{Subscribe: config.Public, Publish: config.Public}
	}
	p := namespacesOf(t, cfg)
	user := &auth.Identity{User: "u1"}
	for _, channel := range []string{"user:u2", "event:x", "presence:closed:1"} {
		if p.May(user, auth.Subscribe, channel, WaitForAll) == nil || p.May(user, auth.Publish, channel, WaitForAll) == nil {
			t.Errorf("%s is open", channel)
		}
	}
	if p.Of("presence:a").Presence || p.Of("user:a").Presence || p.Of("event:a").Presence {
		t.Error("presence of presence")
	}
}

// In development mode everything is open to clients with a token but users' own channels and the systems'.
func TestDevelopmentPolicy(t *testing.T) {
	cfg := config.Config{Dev: true, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Known: []config.System{{Namespaces: []string{"feed"}}}}
	p := namespacesOf(t, cfg)
	user := &auth.Identity{User: "u1"}
	for channel, want := range map[string]bool{"room:1": true, "a": true, "probe:x": true, "user:u2": false, "user:u1": false, "event:x": false, "feed:u2": false} {
		if got := p.May(user, auth.Publish, channel, WaitForAll) == nil; got != want {
			t.Errorf("publish on %s: %t", channel, got)
		}
	}
	if ns := p.Of("room:1"); ns.Log.History != 4096 || ns.Log.HistoryTTL != time.Hour {
		t.Errorf("%+v", ns.Log)
	}
}

func TestPoliciesRefused(t *testing.T) {
	long, negative := 11*time.Second, -time.Second
	for want, ns := range map[string]config.Namespace{
		"unknown access":                  {Subscribe: "everyone"},
		"unknown policy for slow readers": {Slow: "drop"},
		"window 11s is not between":       {Batch: config.Batch{Window: &long}},
		"window -1s is not between":       {Batch: config.Batch{Window: &negative}},
	} {
		cfg := anOpenConfig()
		cfg.Namespaces["bad"] = ns
		if err := cfg.Complete(); err != nil {
			t.Fatal(err)
		}
		if _, err := newNamespaces(&cfg); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "bad") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestNamespaceDefaults(t *testing.T) {
	cfg := anOpenConfig()
	delete(cfg.Namespaces, "default")
	cfg.Namespaces["room"] = config.Namespace{}
	p := namespacesOf(t, cfg)
	for _, ns := range []*Namespace{p.Of("room:1"), p.Fallback} {
		got := fmt.Sprintf("%s %s %t %v %d %d %v", ns.subscribe, ns.Publish, ns.Presence, ns.Batch, ns.Log.History, ns.message, ns.Rate)
		if want := "member member true {50ms true true 4} 256 65536 50/s"; got != want {
			t.Errorf("%s: %s, want %s", ns.Name, got, want)
		}
	}
}

// anOpenConfig is a configuration whose default namespace is open to whoever has a token.
func anOpenConfig() config.Config {
	return config.Config{
		Auth: config.Auth{Keys: []config.TokenKey{{Algorithm: "HS256", Secret: strings.Repeat("s", 32)}}},
		API:  config.API{Keys: []config.APIKey{{Name: "backend", Secret: strings.Repeat("k", 32)}}},
		Namespaces: config.Namespaces{
			"default": {Subscribe: config.Authenticated, Publish: config.Authenticated},
			"closed":  {Subscribe: config.Capability, Publish: config.Backend},
			"resync":  {Subscribe: config.Authenticated, Publish: config.Authenticated, Slow: config.Resync},
		},
	}
}
