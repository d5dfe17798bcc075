package mercure

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "mercure"

// Namespace has the channel of the hub's log.
const Namespace = "mercure"

// Module returns the system for the list of the binary.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			Section:     func() config.Section { return new(Config) },
			Check:       check,
			Namespaces:  []string{Namespace},
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_mercure_updates_total", Type: relay.Counter, Help: "Updates that were published, those about subscriptions included."},
			{Name: "weir_mercure_subscribers", Type: relay.Gauge, Help: "Streams that are open."},
			{Name: "weir_mercure_classes", Type: relay.Gauge, Help: "Different choices of topics and rights among the subscribers: each has a window of its own."},
			{Name: "weir_mercure_selectors", Type: relay.Gauge, Help: "Different selectors of topics among the subscribers and their rights."},
			{Name: "weir_mercure_refused_total", Type: relay.Counter, Labels: []string{"reason"}, Help: "Requests that were refused: token, scope, origin, request."},
		},
	}
}

// Config says whose tokens the hub accepts, and what clients may do.
type Config struct {
	Publisher  []Key `yaml:"publisher"`  // which sign the tokens of publishers
	Subscriber []Key `yaml:"subscriber"` // and those of subscribers

	Anonymous     bool `yaml:"anonymous"`     // clients without a token may follow public updates; on in development mode
	Subscriptions bool `yaml:"subscriptions"` // who follows what is shown to those whose tokens say so; on in development mode

	Cookie         *string       `yaml:"cookie" default:"mercureAuthorization"` // of 0.x tokens; "": none
	PublishOrigins []string      `yaml:"publish_origins"`                       // of pages that may publish with a cookie, beside the relay's own
	CORSOrigins    []string      `yaml:"cors_origins"`                          // of pages that may use the hub, beside those of origins; any in development mode
	Lifetime       time.Duration `yaml:"lifetime" default:"10m" range:"1s..8784h"`

	URL     string   `yaml:"url"`     // the hub's address, which tokens of 1.0 must name; "": as it was asked for
	Issuers []string `yaml:"issuers"` // whose tokens of 1.0 are taken; none; any in development mode
}

// Key verifies tokens. Exactly one of Secret, File and JWKS.URL is set.
type Key struct {
	Algorithm string    `yaml:"algorithm" default:"HS256" oneof:"HS256 HS384 HS512 RS256 RS384 RS512 ES256 ES384 ES512 PS256 PS384 PS512 EdDSA"`
	Secret    string    `yaml:"secret"` // of HS: at least 10 bytes
	File      string    `yaml:"file"`   // of HS: the secret, a newline at its end ignored; of others a public key in PEM
	JWKS      auth.JWKS `yaml:"jwks"`   // a key set, whose keys say their algorithm: RS256, ES256 or EdDSA
}

// DevKey is the key of tokens in development mode on loopback. The documentation of the protocol uses it as well.
const DevKey = "!ChangeThisMercureHubJWTSecretKey!"

// The bounds of a secret: below the first it is refused, below the second there is a warning (RFC 7518, section 3.2).
const (
	leastSecret = 10
	goodSecret  = 32
)

// Key implements config.Section.
func (*Config) Key() string { return Name }

// Fill sets the defaults that tags cannot express. dev is development mode on loopback.
func (c *Config) Fill(dev bool) {
	if !dev {
		return
	}
	if c.Publisher == nil && c.Subscriber == nil {
		c.Publisher, c.Subscriber = []Key{{Secret: DevKey}}, []Key{{Secret: DevKey}}
		c.Anonymous, c.Subscriptions = true, true
	}
	if c.CORSOrigins == nil {
		c.CORSOrigins = []string{"*"}
	}
	if c.Issuers == nil {
		c.Issuers = []string{"*"}
	}
}

// read returns the bytes of the key.
func (k *Key) read() ([]byte, error) {
	if k.File == "" {
		return []byte(k.Secret), nil
	}
	b, err := os.ReadFile(k.File)
	if err == nil && k.symmetric() {
		b = []byte(strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"))
	}
	return b, err
}

func (k *Key) symmetric() bool { return strings.HasPrefix(k.Algorithm, "HS") }

// check checks the hub's settings.
func check(c *config.Config, k *config.Checks) {
	own := config.Of[Config](c)
	on := slices.Contains(c.Systems, Name)
	if (own.Publisher != nil || own.Subscriber != nil) && !on && !c.Dev {
		k.Add(Name, `the hub is configured but the system is off: add "mercure" to systems`)
	}
	none := c.Dev && !c.DevLocal() && own.Publisher == nil && own.Subscriber == nil // it is there because all are, and takes nobody
	if on && len(own.Publisher) == 0 && !none {
		k.Add(config.Join(Name, "publisher"), "expected a key, or nobody could publish")
	}
	if on && len(own.Subscriber) == 0 && !own.Anonymous && !none {
		k.Add(config.Join(Name, "subscriber"), "expected a key, or anonymous: true, or nobody could subscribe")
	}
	checkKeys(k, "publisher", own.Publisher)
	checkKeys(k, "subscriber", own.Subscriber)
	checkOrigins(k, "publish_origins", own.PublishOrigins)
	checkOrigins(k, "cors_origins", own.CORSOrigins)
	if u, err := url.Parse(own.URL); own.URL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		k.Add(config.Join(Name, "url"), "not an address: expected the hub's, such as https://example.com/.well-known/mercure")
	}
	if own.Cookie != nil && strings.Trim(*own.Cookie, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
		k.Add(config.Join(Name, "cookie"), "%s is not the name of a cookie", config.Quote(*own.Cookie))
	}
}

func checkKeys(k *config.Checks, name string, keys []Key) {
	for i, key := range keys {
		path := config.Element(config.Join(Name, name), i)
		if key.JWKS.URL != "" && key.Secret == "" && key.File == "" {
			k.Address(config.Join(path, "jwks.url"), key.JWKS.URL, key.JWKS.AllowInsecure)
			continue
		}
		switch {
		case (key.Secret == "") == (key.File == "") || key.JWKS.URL != "":
			k.Add(path, "expected one of secret, file and jwks.url")
			continue
		case key.Secret == config.Redacted:
			k.Add(config.Join(path, "secret"), "%s stands for a secret in the output of config print: expected the secret", config.Redacted)
			continue
		case key.Secret != "" && !key.symmetric():
			k.Add(config.Join(path, "secret"), "%s has a public key: expected file", key.Algorithm)
			continue
		}
		b, err := key.read()
		switch {
		case err != nil:
			k.Add(config.Join(path, "file"), "%v", err)
		case !key.symmetric():
			if _, err := key.parse(); err != nil {
				k.Add(config.Join(path, "file"), "%v", err)
			}
		case len(b) < leastSecret:
			k.Add(path, "%d bytes: expected at least %d, better %d", len(b), leastSecret, goodSecret)
		case len(b) < goodSecret:
			k.Notes = append(k.Notes, path+" has "+plural(len(b))+": a secret of less than 32 can be guessed from a token")
		}
	}
}

func checkOrigins(k *config.Checks, name string, list []string) {
	for i, origin := range list {
		if origin == "*" || origin == "null" {
			continue
		}
		u, err := url.Parse(strings.Replace(origin, "://*.", "://", 1))
		if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || strings.Contains(u.Host, "*") {
			k.Add(config.Element(config.Join(Name, name), i), "%s is not an origin: expected one such as https://example.com, https://*.example.com, null or *", config.Quote(origin))
		}
	}
}
