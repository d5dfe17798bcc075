package main

import (
	"log/slog"

	"weir/relay"
)

// newServer makes the relay.
func newServer(cfg relay.Config, log *slog.Logger) (server, error) {
	return relay.New(cfg, log)
}
