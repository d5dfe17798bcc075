package config

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"weir/relay/auth"
)

// DevKey is the API key of development mode.
const DevKey = "dev"

// Complete fills in the defaults and the published keys of development mode, and checks what a relay could not work with.
// Finer checks, with the line of the file, are made where the file is read.
func (c *Config) Complete() error {
	*c = c.WithDefaults()
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Dev {
		for _, addr := range []string{c.Listen, c.Admin} {
			if !Loopback(addr) {
				return fmt.Errorf("development mode on %s: its secret is published, so it listens on loopback only", addr)
			}
		}
		c.Auth.Keys = append([]TokenKey{{Algorithm: "HS256", Secret: auth.DevSecret}}, c.Auth.Keys...)
		c.API.Keys = append([]APIKey{{Name: "dev", Secret: DevKey}}, c.API.Keys...)
	}
	switch {
	case len(c.Auth.Keys) == 0 && c.Auth.JWKS.URL == "":
		return errors.New("no key for client tokens is configured: set auth.keys or auth.jwks, or use --dev to try things out")
	case len(c.API.Keys) == 0:
		return errors.New("no API key for backends is configured: set api.keys, or use --dev to try things out")
	case c.AdminToken == "" && !Loopback(c.Admin):
		return fmt.Errorf("the admin listener on %s would be open to everybody: set admin_token, or listen on loopback", c.Admin)
	case (c.TLS.Cert == "") != (c.TLS.Key == ""):
		return errors.New("tls needs both cert and key")
	case c.Heartbeat < time.Second:
		return errors.New("heartbeat is shorter than a second")
	case c.Limit.Request < c.Limit.Message:
		return errors.New("limits.request is smaller than limits.message")
	}
	for name, ns := range c.Namespaces {
		if ns.Durable && c.Data == "" {
			return fmt.Errorf("namespace %s is durable, but there is no data directory: set data, or --data", name)
		}
	}
	return nil
}

// Loopback reports whether an address can be reached from this machine only.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	return LoopbackHost(host)
}

// LoopbackHost is Loopback for a host, with or without a port.
func LoopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return ip != nil && ip.IsLoopback()
}

// TokenChecks returns how tokens are checked.
func (c *Config) TokenChecks() auth.Config {
	a := c.Auth
	return auth.Config{Now: c.Clock, Keys: a.Keys, JWKS: a.JWKS, Issuer: a.Issuer, Audience: a.Audience, Leeway: *a.Leeway}
}

// APIConfig returns how the keys of backends are checked.
func (c *Config) APIConfig() auth.APIConfig {
	return auth.APIConfig{Dev: c.Dev, Keys: c.API.Keys}
}
