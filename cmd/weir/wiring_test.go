package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/systems/hooks"
	"weir/relay/web"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestModules(t *testing.T) {
	for _, m := range modules() {
		if name := m.New().Name(); name != m.Name {
			t.Errorf("%s calls itself %s", m.Name, name)
		}
		for _, x := range m.Metrics {
			if x.Part != "" {
				t.Errorf("%s: %s has a part", m.Name, x.Name)
			}
		}
	}
}

// TestOpenAPIDescribesSystems holds the document against the routes with every system switched on.
func TestOpenAPIDescribesSystems(t *testing.T) {
	cfg := config.Config{Dev: true, Known: known()}
	*config.Of[hooks.Config](&cfg) = hooks.Config{URL: "https://app.example/weir", Secrets: []string{"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}}
	srv, err := newServer(cfg.WithDefaults(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer discard(t, srv)
	var doc struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	if err := yaml.Unmarshal(web.File("openapi.yaml"), &doc); err != nil {
		t.Fatal(err)
	}
	var described []string
	for path, methods := range doc.Paths {
		for method := range methods {
			switch method {
			case "get", "put", "post", "delete", "patch", "x-query": // OpenAPI 3.1 has no other name for QUERY
				described = append(described, strings.ToUpper(strings.TrimPrefix(method, "x-"))+" "+path)
			}
		}
	}
	var have []string
	for _, route := range srv.(*relay.Relay).Routes() {
		if route != "GET /" && route != "GET /ws" && route != "GET /sse" && !strings.HasPrefix(route, "OPTIONS ") { // docs/protocol.md describes these
			have = append(have, route)
		}
	}
	for _, route := range have {
		if !slices.Contains(described, route) {
			t.Errorf("%s is not described", route)
		}
	}
	for _, route := range described {
		if !slices.Contains(have, route) {
			t.Errorf("%s is described, and does not exist", route)
		}
	}
}

// discard ends a server that was made and not served.
func discard(t *testing.T, srv server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a, b := loopbackListener(t), loopbackListener(t)
	if err := srv.(*relay.Relay).ServeOn(ctx, a, b); err != nil {
		t.Error(err)
	}
}

func loopbackListener(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}
