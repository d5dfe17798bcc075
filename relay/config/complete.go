package config

import (
	"errors"
	"net"
	"strings"
	"time"

	"weir/relay/auth"
)

// Complete fills in the defaults and the keys of development mode, and checks what a relay could not work with, and
// what would open it to everybody. Finer checks, with the line of the file, are made where the file is read.
func (c *Config) Complete() error {
	*c = c.WithDefaults()
	if c.Clock == nil {
		c.Clock = time.Now
	}
	k := &Checks{}
	k.essentials(*c)
	if c.Heartbeat < time.Second {
		k.Add("heartbeat", "%v is shorter than a second", c.Heartbeat)
	}
	if c.Dev {
		secret, key := c.DevKeys()
		c.Auth.Keys = append([]TokenKey{{Algorithm: "HS256", Secret: secret}}, c.Auth.Keys...)
		c.API.Keys = append([]APIKey{{Name: "dev", Secret: key}}, c.API.Keys...)
	}
	var problems []error
	for _, p := range k.Problems {
		problems = append(problems, errors.New(p.Key+": "+p.Message))
	}
	return errors.Join(problems...)
}

// LoopbackHost reports whether a host, with or without a port, can be reached from this machine only.
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
	return auth.Config{Now: c.Clock, Keys: a.Keys, JWKS: a.JWKS, Issuer: a.Issuer, Audience: a.Audience, Leeway: *a.Leeway, Keyless: c.identified()}
}

// APIConfig returns how the keys of backends are checked.
func (c *Config) APIConfig() auth.APIConfig {
	return auth.APIConfig{Dev: c.DevLocal(), Keys: c.API.Keys}
}
