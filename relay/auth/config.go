package auth

import (
	"fmt"
	"net/url"
	"slices"
	"time"

	"weir/internal/contain"
)

// Config is the keys and claims of the tokens that a Verifier accepts.
type Config struct {
	Keys     []TokenKey    // tried by id; at most 64
	JWKS     JWKS          // a further source of keys; those above come first
	Issuer   string        // required iss; "" accepts any
	Audience string        // required aud; "" accepts any
	Leeway   time.Duration // clock difference tolerated; 0 to 60s

	// Now is the wall clock that exp, nbf and iat are held against; time.Now.
	Now func() time.Time

	// Keyless lets a Verifier do without keys: it refuses every token.
	Keyless bool

	// Panic is told of panics while the key set is fetched, which count as failures; nil: they end the process.
	Panic contain.Hook
}

// TokenKey is one key that signs client tokens. Exactly one of Secret and File is set.
type TokenKey struct {
	// ID is the kid of the tokens it signs; "" for tokens without one. Several keys may have no id:
	// they are tried in turn, so that a secret can be replaced.
	ID        string `yaml:"id"`
	Algorithm string `yaml:"algorithm" oneof:"HS256 RS256 ES256 EdDSA"` // a token signed with another is refused
	Secret    string `yaml:"secret"`                                    // HS256: at least 32 bytes
	File      string `yaml:"file"`                                      // HS256: the secret, a newline at its end ignored; others: PEM, a public key (PKIX) or certificate
}

// JWKS is a key set fetched over the network, cached, refreshed, and used stale while the fetch fails. The zero value means none.
type JWKS struct {
	URL     string        `yaml:"url"`                                   // https, without user or fragment
	Refresh time.Duration `yaml:"refresh" default:"1h" range:"10s..24h"` // how often it is fetched
	// AllowInsecure permits http and addresses that are not public; for tests and service meshes only.
	AllowInsecure bool `yaml:"allow_insecure"`
}

const (
	maxKeys       = 64
	maxLeeway     = time.Minute
	defaultPeriod = time.Hour
	minPeriod     = 10 * time.Second
	maxPeriod     = 24 * time.Hour
)

// filled returns a checked copy of cfg with the defaults in place; the files of keys are not read yet.
func (cfg Config) filled() (Config, error) {
	cfg.Keys = slices.Clone(cfg.Keys)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Leeway < 0 || cfg.Leeway > maxLeeway {
		return cfg, fmt.Errorf("configure tokens: leeway is %v: expected 0 to %v", cfg.Leeway, maxLeeway)
	}
	if len(cfg.Keys) == 0 && cfg.JWKS.URL == "" && !cfg.Keyless {
		return cfg, fmt.Errorf("configure tokens: %w", errNoKeys)
	}
	if len(cfg.Keys) > maxKeys {
		return cfg, fmt.Errorf("configure tokens: %d keys: expected at most %d", len(cfg.Keys), maxKeys)
	}
	if cfg.JWKS.URL == "" {
		cfg.JWKS = JWKS{}
		return cfg, nil
	}
	var err error
	cfg.JWKS, err = cfg.JWKS.filled()
	return cfg, err
}

// filled returns a checked copy of j with the defaults in place.
func (j JWKS) filled() (JWKS, error) {
	// The address may hold a password by mistake, so no message shows it.
	u, err := url.Parse(j.URL)
	switch {
	case err != nil || u.Host == "":
		return j, fmt.Errorf("configure jwks: url is not an absolute address such as https://login.example.com/jwks.json")
	case u.User != nil || u.Fragment != "":
		return j, fmt.Errorf("configure jwks: url must hold neither a user nor a fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !j.AllowInsecure):
		return j, fmt.Errorf("configure jwks: url must be https (http only with allow_insecure)")
	}
	if j.Refresh == 0 {
		j.Refresh = defaultPeriod
	}
	if j.Refresh < minPeriod || j.Refresh > maxPeriod {
		return j, fmt.Errorf("configure jwks: refresh is %v: expected %v to %v", j.Refresh, minPeriod, maxPeriod)
	}
	return j, nil
}
