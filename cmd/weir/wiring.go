package main

import (
	"fmt"
	"log/slog"
	"slices"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/stats"
	"weir/relay/systems/analytics"
	"weir/relay/systems/authz"
	"weir/relay/systems/chat"
	"weir/relay/systems/documents"
	"weir/relay/systems/feed"
	"weir/relay/systems/notify"
	"weir/relay/systems/presence"
	"weir/relay/systems/webhook"
)

// constructor makes a system. The rest of what it needs is in Core.Config, when it is started.
type constructor func() relay.System

// constructors knows how each system is made, by its name in the configuration.
func constructors() map[string]constructor {
	return map[string]constructor{
		config.SystemChat:      func() relay.System { return chat.New() },
		config.SystemPresence:  func() relay.System { return presence.New() },
		config.SystemFeed:      func() relay.System { return feed.New() },
		config.SystemNotify:    func() relay.System { return notify.New() },
		config.SystemAnalytics: func() relay.System { return analytics.New() },
		config.SystemDocuments: func() relay.System { return documents.New() },
		config.SystemWebhook:   func() relay.System { return webhook.New() },
	}
}

// newServer makes the relay, with the systems that are switched on.
func newServer(cfg config.Config, log *slog.Logger) (server, error) {
	systems, err := newSystems(cfg)
	if err != nil {
		return nil, err
	}
	cfg.Load = stats.ProcessLoad()
	return relay.New(cfg, log, systems...)
}

// newSystems makes the systems that a configuration lists, in the order in which they start.
func newSystems(cfg config.Config) ([]relay.System, error) {
	made := constructors()
	for _, name := range cfg.Systems {
		if _, ok := made[name]; !ok {
			return nil, fmt.Errorf("systems: %q is not a system", name)
		}
	}
	var systems []relay.System
	for _, name := range config.SystemNames() {
		if build := made[name]; build != nil && slices.Contains(cfg.Systems, name) {
			systems = append(systems, build())
		}
	}
	if cfg.Auth.Webhook.URL != "" {
		systems = append(systems, authz.New())
	}
	return systems, nil
}
