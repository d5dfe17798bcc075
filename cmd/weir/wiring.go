package main

import (
	"log/slog"
	"os"
	"time"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/stats"
	"weir/relay/systems/analytics"
	"weir/relay/systems/authz"
	"weir/relay/systems/chat"
	"weir/relay/systems/documents"
	"weir/relay/systems/feed"
	"weir/relay/systems/hooks"
	"weir/relay/systems/mercure"
	"weir/relay/systems/motia"
	"weir/relay/systems/notify"
	"weir/relay/systems/outbox"
	"weir/relay/systems/presence"
	"weir/relay/systems/pusher"
	"weir/relay/systems/webhook"
)

// modules are the systems that a relay may have, in the order in which they start; see relay.Module.
func modules() []relay.Module {
	return []relay.Module{
		chat.Module(),
		presence.Module(),
		feed.Module(),
		notify.Module(),
		documents.Module(),
		analytics.Module(),
		pusher.Module(),
		mercure.Module(),
		motia.Module(),
		webhook.Module(),
		authz.Module(),
		hooks.Module(),
		outbox.Module(),
	}
}

// known is what the configuration knows of them.
func known() (list []config.System) {
	for _, m := range modules() {
		list = append(list, m.System)
	}
	return list
}

// clockOffset is the environment variable with which tests of several nodes have the wall clock of one be wrong, such as 1h.
const clockOffset = "TEST_CLOCK_OFFSET"

// newServer makes the relay, with the systems that are switched on.
func newServer(cfg config.Config, log *slog.Logger) (server, error) {
	var systems []relay.System
	for _, m := range modules() {
		if cfg.HasSystem(&m.System) {
			systems = append(systems, m.New())
		}
	}
	cfg.Load = stats.ProcessLoad()
	if by, err := time.ParseDuration(os.Getenv(clockOffset)); err == nil {
		log.Warn("the wall clock is shifted for a test", slog.Duration("by", by))
		cfg.Clock = func() time.Time { return time.Now().Add(by) }
	}
	cfg.Tracing.Environment = os.Getenv("OTEL_SDK_DISABLED") != "true" && os.Getenv("OTEL_TRACES_EXPORTER") != "none" &&
		(os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "")
	if cfg.Cluster.On() {
		cfg.Mesh = clusterOpener{cfg.Cluster, log}
	}
	return relay.New(cfg, log, systems...)
}
