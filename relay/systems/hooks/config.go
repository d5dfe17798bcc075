package hooks

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"weir/relay/config"
	"weir/relay/httpcheck"
)

// Config says which backend is asked, and what about. Without an address no backend is asked.
type Config struct {
	URL string `yaml:"url"` // /connect, /subscribe, /publish and /call are below it, unless they have a url of their own. https; see AllowInsecure
	// AllowInsecure permits http and private addresses, for a backend beside the relay. Development mode permits loopback.
	AllowInsecure bool          `yaml:"allow_insecure"`
	Secrets       []string      `yaml:"secrets"`                                // one, or two while one replaces the other: whsec_ and 24 to 64 bytes in base64
	Ask           []string      `yaml:"ask"`                                    // which of connect, subscribe, publish and call are on below url; all
	Cookies       []string      `yaml:"cookies"`                                // that go along to connect, by name; none
	Headers       []string      `yaml:"headers"`                                // that go along to connect, by name; none
	Timeout       time.Duration `yaml:"timeout" default:"2s" range:"10ms..10s"` // of one question, waiting for its turn included
	Parallel      int           `yaml:"parallel" default:"64" range:"1..1024"`  // questions under way at once
	Connect       Connect       `yaml:"connect"`
	Subscribe     Subscribe     `yaml:"subscribe"`
	Publish       Publish       `yaml:"publish"`
	Call          Call          `yaml:"call"`
	Breaker       Breaker       `yaml:"breaker"`
}

// Connect is the question who a client without a token is.
type Connect struct {
	URL    string        `yaml:"url"`                                  // "": /connect below the url above
	Routes []string      `yaml:"routes"`                               // paths where it is asked, "/chat/*" for all that begin so; all
	Cache  time.Duration `yaml:"cache" default:"30s" range:"0s..1h"`   // how long an answer serves others with the same cookies
	Stale  time.Duration `yaml:"stale" default:"10m" range:"0s..24h"`  // for how long what was known holds while the backend does not answer
	Resume time.Duration `yaml:"resume" default:"10m" range:"0s..24h"` // within which a client may come back without a question; 0s: never
}

// Subscribe is the question whether a client may follow a channel.
type Subscribe struct {
	URL   string        `yaml:"url"`                                // "": /subscribe below the url above
	Cache time.Duration `yaml:"cache" default:"30s" range:"0s..1h"` // how long an answer without a ttl holds
}

// Publish is the question whether a publication may pass, and as what.
type Publish struct {
	URL string `yaml:"url"` // "": /publish below the url above
}

// Call is the question that a client asks the backend.
type Call struct {
	URL string `yaml:"url"` // "": /call below the url above
}

// Breaker says when a backend that does not answer is no longer asked, and when it is tried again.
type Breaker struct {
	After   int           `yaml:"after" default:"5" range:"1..1000"`       // failures in a row that open it
	Rest    time.Duration `yaml:"rest" default:"1s" range:"10ms..1h"`      // before the first probe
	RestMax time.Duration `yaml:"rest_max" default:"30s" range:"10ms..1h"` // between later ones
}

// Key implements config.Section.
func (*Config) Key() string { return "hooks" }

// The questions.
const (
	askConnect   = "connect"
	askSubscribe = "subscribe"
	askPublish   = "publish"
	askCall      = "call"
)

var questions = []string{askConnect, askSubscribe, askPublish, askCall}

// address is where a question goes; "" if it is not asked.
func (c *Config) address(question string) string {
	own := map[string]string{askConnect: c.Connect.URL, askSubscribe: c.Subscribe.URL, askPublish: c.Publish.URL, askCall: c.Call.URL}[question]
	if own != "" {
		return own
	}
	if c.URL == "" || len(c.Ask) > 0 && !slices.Contains(c.Ask, question) {
		return ""
	}
	return strings.TrimSuffix(c.URL, "/") + "/" + question
}

// on reports whether anything is asked.
func (c *Config) on() bool {
	return slices.ContainsFunc(questions, func(q string) bool { return c.address(q) != "" })
}

// never are the headers that do not go along: credentials of another kind, what is about a connection (RFC 9110, section 7.6.1),
// what the request to the backend says of itself, and what proxies say of addresses.
var never = []string{"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "Proxy-Connection", "Cookie", "Host", "Forwarded", "Connection",
	"Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Length", "Content-Type", "Content-Encoding",
	"Accept-Encoding", "User-Agent", "Origin", "Via"}

func forbiddenHeader(name string) bool {
	name = http.CanonicalHeaderKey(name)
	for _, prefix := range []string{"X-Forwarded-", "Webhook-", "Sec-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return slices.Contains(never, name)
}

// maxNames bounds the cookies and the headers that go along.
const maxNames = 32

// check checks the section.
func check(c *config.Config, k *config.Checks) {
	h := config.Of[Config](c)
	if !h.on() && h.URL == "" {
		if len(h.Cookies)+len(h.Headers)+len(h.Secrets) > 0 {
			k.Add("hooks.url", "there is no backend to ask: expected an address such as https://app.example.com/weir")
		}
		return
	}
	for key, address := range map[string]string{"hooks.url": h.URL, "hooks.connect.url": h.Connect.URL, "hooks.subscribe.url": h.Subscribe.URL,
		"hooks.publish.url": h.Publish.URL, "hooks.call.url": h.Call.URL} {
		if address != "" {
			k.Address(key, address, h.AllowInsecure || c.Dev)
		}
	}
	k.Signers("hooks.secrets", h.Secrets)
	for i, question := range h.Ask {
		k.OneOf(config.Element("hooks.ask", i), question, questions...)
	}
	names(k, "hooks.cookies", h.Cookies)
	names(k, "hooks.headers", h.Headers)
	for i, name := range h.Headers {
		if forbiddenHeader(name) {
			k.Add(config.Element("hooks.headers", i), "%s cannot be passed on to the backend: cookies are named in hooks.cookies; headers about addresses, credentials and connections are never passed on",
				config.Quote(name))
		}
	}
	for i, route := range h.Connect.Routes {
		if !strings.HasPrefix(route, "/") && route != "*" {
			k.Add(config.Element("hooks.connect.routes", i), `%s is not a path: expected one such as /ws, "/chat/*" for all that begin so, or "*"`, config.Quote(route))
		}
	}
	if h.Breaker.RestMax < h.Breaker.Rest {
		k.Add("hooks.breaker.rest_max", "%v is less than hooks.breaker.rest (%v)", h.Breaker.RestMax, h.Breaker.Rest)
	}
	if c.Auth.Webhook.URL != "" && h.decides() {
		k.Add("auth.webhook", "hooks ask a backend about channels already: remove auth.webhook, or leave subscribe and publish out of hooks.ask")
	}
}

// decides reports whether it is asked about channels.
func (c *Config) decides() bool { return c.address(askSubscribe) != "" || c.address(askPublish) != "" }

// names checks names of cookies or headers.
func names(k *config.Checks, key string, list []string) {
	if len(list) > maxNames {
		k.Add(key, "%d names: expected at most %d", len(list), maxNames)
	}
	for i, name := range list {
		if !httpcheck.IsToken([]byte(name)) {
			k.Add(config.Element(key, i), "%s is not a name: expected letters, digits and !#$%%&'*+-.^_`|~", config.Quote(name))
		}
	}
}
