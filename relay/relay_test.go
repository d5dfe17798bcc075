package relay

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/relay/config"
)

// What a relay does not start with, and what it says then.
func TestNewRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for want, spoil := range map[string]func(*config.Config){
		"no secret or key for client":                func(c *config.Config) { c.Auth.Keys = nil },
		"no secret or key for backends":              func(c *config.Config) { c.API.Keys = nil },
		"tls: expected both":                         func(c *config.Config) { c.TLS.Cert = "cert.pem" },
		"load certificate":                           func(c *config.Config) { c.TLS = config.TLS{Cert: missing, Key: missing} },
		"heartbeat: 1ms is shorter":                  func(c *config.Config) { c.Heartbeat = time.Millisecond },
		"limits.request: 1B is less":                 func(c *config.Config) { c.Limit.Request = 1 },
		"unknown access":                             func(c *config.Config) { c.Namespaces["bad"] = config.Namespace{Publish: "all"} },
		"trusted proxy":                              func(c *config.Config) { c.TrustedProxies = []string{"10.0.0.0/99"} },
		`listen: "0.0.0.0:8080" is not a loopback`:   func(c *config.Config) { c.Dev, c.Listen = true, "0.0.0.0:8080" },
		`admin: ":9090" is not a loopback`:           func(c *config.Config) { c.Dev, c.Admin = true, ":9090" },
		`listen: "weir.test:8080" is not a loopback`: func(c *config.Config) { c.Dev, c.Listen = true, "weir.test:8080" },
		`listen: "nonsense" is not an address`:       func(c *config.Config) { c.Dev, c.Listen = true, "nonsense" },
		"32":                                         func(c *config.Config) { c.Auth.Keys[0].Secret = "short" },
		missing:                                      func(c *config.Config) { c.API.Keys[0] = config.APIKey{Name: "a", File: missing} },
	} {
		cfg := openConfig()
		spoil(&cfg)
		if r, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
			if r != nil {
				r.closeCore()
			}
		}
	}
}

// A listener that does not open ends Serve, which leaves nothing behind.
func TestServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for want, spoil := range map[string]func(*config.Config){
		"listen: ":           func(c *config.Config) { c.Listen = taken.Addr().String() },
		"listen for admin: ": func(c *config.Config) { c.Listen, c.Admin = "127.0.0.1:0", taken.Addr().String() },
	} {
		cfg := openConfig()
		spoil(&cfg)
		r, err := New(cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Serve(context.Background()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
