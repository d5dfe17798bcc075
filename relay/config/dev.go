package config

import (
	"cmp"
	"net"

	"weir/relay/auth"
)

// DevKey is the published API key of development mode.
const DevKey = "dev"

// The keys of development mode that are one's own, as the flags and variables are named, and in messages.
const (
	DevTokenSecretKey = "dev_token_secret"
	DevAPIKeyKey      = "dev_api_key"
)

// DevLocal reports whether this is development mode, and only this machine can reach the relay. What is published (keys, an
// app of pusher, a hub of mercure), and what is open to clients without a token, exists only then.
func (c *Config) DevLocal() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return c.Dev && (c.Listen == "" || err == nil && isLoopback(host))
}

// DevKeys returns what development mode signs tokens with and knows backends by: one's own, or on loopback the published
// ones. "": there is none.
func (c *Config) DevKeys() (tokenSecret, apiKey string) {
	if c.DevLocal() {
		return cmp.Or(c.DevTokenSecret, auth.DevSecret), cmp.Or(c.DevAPIKey, DevKey)
	}
	return c.DevTokenSecret, c.DevAPIKey
}

// development checks the keys of development mode. Exposed: the relay listens elsewhere than on loopback.
func (k *Checks) development(c Config, exposed bool) {
	if exposed && (c.DevTokenSecret == "" || c.DevAPIKey == "") {
		k.Add("listen", "%s is not a loopback address, and elsewhere development mode has none of its published keys: expected your own, "+
			"--dev-token-secret and --dev-api-key, or the variables WEIR_DEV_TOKEN_SECRET and WEIR_DEV_API_KEY, such as: weir serve --dev --listen %[1]s "+
			`--dev-token-secret "$(openssl rand -hex 32)" --dev-api-key "$(openssl rand -hex 32)"`, Quote(c.Listen))
	}
	if c.DevTokenSecret != "" {
		k.secret(DevTokenSecretKey, []byte(c.DevTokenSecret), maxSecret)
	}
	if c.DevTokenSecret == auth.DevSecret {
		k.Add(DevTokenSecretKey, "is the published secret: expected one of your own, e.g. from `openssl rand -hex 32`")
	}
	if c.DevAPIKey != "" {
		k.apiSecret(DevAPIKeyKey, []byte(c.DevAPIKey))
	}
}
