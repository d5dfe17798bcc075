package relay

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What a relay does not start with, and what it says then.
func TestNewRefuses(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for want, spoil := range map[string]func(*Config){
		"no key for client tokens":           func(c *Config) { c.Auth.Keys = nil },
		"no API key":                         func(c *Config) { c.API.Keys = nil },
		"tls needs both":                     func(c *Config) { c.TLS.Cert = "cert.pem" },
		"load certificate":                   func(c *Config) { c.TLS = TLS{missing, missing} },
		"heartbeat is shorter":               func(c *Config) { c.Heartbeat = time.Millisecond },
		"limits.request is smaller":          func(c *Config) { c.Limit.Request = 1 },
		"unknown access":                     func(c *Config) { c.Namespaces["bad"] = Namespace{Publish: "all"} },
		"trusted proxy":                      func(c *Config) { c.TrustedProxies = []string{"10.0.0.0/99"} },
		"development mode on 0.0.0.0:8080":   func(c *Config) { c.Dev, c.Listen = true, "0.0.0.0:8080" },
		"development mode on :9090":          func(c *Config) { c.Dev, c.Admin = true, ":9090" },
		"development mode on weir.test:8080": func(c *Config) { c.Dev, c.Listen = true, "weir.test:8080" },
		"development mode on nonsense":       func(c *Config) { c.Dev, c.Listen = true, "nonsense" },
		"32":                                 func(c *Config) { c.Auth.Keys[0].Secret = "short" },
		missing:                              func(c *Config) { c.API.Keys[0] = APIKey{Name: "a", File: missing} },
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
	for want, spoil := range map[string]func(*Config){
		"listen: ":           func(c *Config) { c.Listen = taken.Addr().String() },
		"listen for admin: ": func(c *Config) { c.Listen, c.Admin = "127.0.0.1:0", taken.Addr().String() },
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
