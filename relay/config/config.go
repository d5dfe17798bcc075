package config

import (
	"time"

	"weir/broker/disk"
	"weir/internal/units"
)

// Config is everything that can be set about a relay. The zero value of a field means the default
// that its comment states; New copies the Config, fills those in and validates the result. The yaml
// tags are the names in the configuration file.
type Config struct {
	Listen string `yaml:"listen"` // address of the public listener; 127.0.0.1:8080
	Admin  string `yaml:"admin"`  // address of the admin listener (metrics, health, pprof); 127.0.0.1:9090
	// AdminToken is what the admin listener wants of everything but /healthz and /readyz: as a bearer token, or as
	// the password of HTTP's basic authentication, which browsers ask for. "": none, on loopback only.
	AdminToken string `yaml:"admin_token"`
	Dev        bool   `yaml:"-"` // development mode: published secret, API key "dev", open namespaces, loopback only

	TLS   TLS   `yaml:"tls"`
	Auth  Auth  `yaml:"auth"`
	API   API   `yaml:"api"`
	Limit Limit `yaml:"limits"`
	Log   Log   `yaml:"log"`

	// Systems are the names of those that are part of the relay, of SystemNames; none. In development mode, all.
	Systems []string `yaml:"systems"`
	Known   []System `yaml:"-"`      // the systems that there are, whether they are switched on or not
	Events  Events   `yaml:"events"` // which clients may emit, beside what their tokens say

	Origins        []string      `yaml:"origins"`         // exact origins of pages that may connect, e.g. https://app.example.com; the relay's own is always allowed
	RequireOrigin  bool          `yaml:"require_origin"`  // refuse WebSocket upgrades that carry no Origin (clients that are not browsers); false
	TrustedProxies []string      `yaml:"trusted_proxies"` // networks (CIDR) whose X-Forwarded-For is believed; none
	Heartbeat      time.Duration `yaml:"heartbeat"`       // pings and SSE comments; 25s, from 1s to 30s
	Pong           time.Duration `yaml:"pong"`            // how long after a ping the client may stay silent; 10s
	Drain          time.Duration `yaml:"drain"`           // how long a shutdown spreads its closes over; 10s, 30s at most
	Compression    bool          `yaml:"compression"`     // permessage-deflate, one compression a frame; false (see docs on compression beside secrets)
	Shards         int           `yaml:"shards"`          // pool shards; 0: GOMAXPROCS rounded up to a power of two
	Data           string        `yaml:"data"`            // directory of what durable namespaces and the systems keep; needed if a namespace is durable
	Page           bool          `yaml:"page"`            // the page at "/" for trying channels out, which asks for a token; false, and on in development mode
	Namespaces     Namespaces    `yaml:"namespaces"`      // policy by namespace; "default" is for channels without a known namespace
	Sections       []Section     `yaml:",inline"`         // what is set about each system, each under a key of its own; see Of

	// Load is what share of its processors the process uses, from 0 to 1, for windows that stretch; see ProcessLoad.
	// nil: they do not.
	Load func() float64 `yaml:"-"`

	// For tests.
	Clock func() time.Time `yaml:"-"` // wall clock, of tokens and of deadlines on disk; time.Now
	Wal   disk.FS          `yaml:"-"` // where the log of durable channels is; in Data
}

// TLS names the certificate of the public listener; both files or neither. They are read again when
// they change on disk, without a restart.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Auth says whose tokens are accepted from clients. At least one key or a JWKS URL is needed outside
// development mode.
type Auth struct {
	Keys       []TokenKey     `yaml:"keys"`
	JWKS       JWKS           `yaml:"jwks"`
	Webhook    AuthWebhook    `yaml:"webhook"`
	Issuer     string         `yaml:"issuer"`      // required iss; "" accepts any
	Audience   string         `yaml:"audience"`    // required aud; "" accepts any
	Leeway     *time.Duration `yaml:"leeway"`      // clock difference tolerated for exp and nbf; 5s, 60s at most
	Cookie     string         `yaml:"cookie"`      // cookie that may carry the token; "" none
	QueryToken bool           `yaml:"query_token"` // accept ?token=; false, since query strings end up in logs
	Anonymous  bool           `yaml:"anonymous"`   // let clients in without a token, to public namespaces only; false
}

// TokenKey is one key that signs client tokens. Exactly one of Secret and File is set.
type TokenKey struct {
	ID        string `yaml:"id"`        // kid; "" matches tokens without one
	Algorithm string `yaml:"algorithm"` // HS256, RS256, ES256 or EdDSA; a token signed with another is refused
	Secret    string `yaml:"secret"`    // HS256: at least 32 bytes
	File      string `yaml:"file"`      // HS256: the secret; others: a PEM public key
}

// JWKS is a key set fetched over HTTPS, cached, refreshed, and used stale while the fetch fails.
type JWKS struct {
	URL     string        `yaml:"url"`
	Refresh time.Duration `yaml:"refresh"` // 1h
	// AllowInsecure permits http and private addresses; for tests and service meshes only.
	AllowInsecure bool `yaml:"allow_insecure"`
}

// AuthWebhook is a backend that decides who may do what in namespaces with the access "webhook".
type AuthWebhook struct {
	URL     string        `yaml:"url"`     // https; see AllowInsecure. "": there is none
	Secrets []string      `yaml:"secrets"` // one, or two while one replaces the other: whsec_ and 24 to 64 bytes in base64
	Timeout time.Duration `yaml:"timeout"` // of one question; 2s, which is also the longest
	Cache   time.Duration `yaml:"cache"`   // how long an answer without a ttl holds; 30s, 1h at most
	// AllowInsecure permits http and private addresses, for backends beside the relay. Development mode does, too.
	AllowInsecure bool `yaml:"allow_insecure"`
}

// API holds the keys of backends. Several may be valid at once, so that a key can be replaced
// without a gap; a reload (SIGHUP) takes the new list.
type API struct {
	Keys []APIKey `yaml:"keys"`
}

// APIKey is one backend's key. Exactly one of Secret and File is set.
type APIKey struct {
	Name   string `yaml:"name"` // shown in logs and metrics instead of the key
	Secret string `yaml:"secret"`
	File   string `yaml:"file"`
}

// Limit bounds what one client, one address and all together may take.
type Limit struct {
	Connections   int        `yaml:"connections"`   // in all; 0: what RLIMIT_NOFILE leaves
	PerAddress    int        `yaml:"per_address"`   // connections of one address (IPv6: one /64); 0: no limit
	PerUser       int        `yaml:"per_user"`      // connections of one user; 100
	Subscriptions int        `yaml:"subscriptions"` // channels of one connection; 128
	Message       units.Size `yaml:"message"`       // one message of a client or backend; 64KiB
	Request       units.Size `yaml:"request"`       // one HTTP body; 1MiB
	Queue         units.Size `yaml:"queue"`         // output waiting for one connection; 1MiB
	Commands      units.Rate `yaml:"commands"`      // commands of one connection; 100/s, burst twice that
	Pings         units.Rate `yaml:"pings"`         // ping frames of one connection; 10/s
}

// Log says what is logged and how.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn or error; info
	Format string `yaml:"format"` // json or text; json
}

// Namespaces maps a namespace to its policy.
type Namespaces map[string]Namespace

// Namespace is the policy of the channels whose names begin with "name:".
type Namespace struct {
	History   History `yaml:"history"`
	Batch     Batch   `yaml:"batch"`
	Slow      Slow    `yaml:"slow"`      // what happens to a reader whose queue is full; disconnect
	Durable   bool    `yaml:"durable"`   // changes, items and positions are kept on disk, in Config.Data; false
	Deliver   Deliver `yaml:"deliver"`   // of a durable namespace: when readers get a change; live
	Presence  *bool   `yaml:"presence"`  // who is here, kept by the relay; true
	Subscribe Access  `yaml:"subscribe"` // who may subscribe; member
	Publish   Access  `yaml:"publish"`   // which clients may publish; member
	Limit     Bounds  `yaml:"limits"`

	Once bool `yaml:"-"` // of a system's: an idempotency key is known for as long as its change is kept
	// Unmeasured keeps what is delivered to Rooms out of the relay's own figures and latencies: who looks at them would
	// otherwise see mostly that. A system's.
	Unmeasured bool `yaml:"-"`
}

// History bounds the log of a channel. A reader further behind than this gets a snapshot.
type History struct {
	Size *int          `yaml:"size"` // changes kept; 256. 0 keeps none: nobody can resume
	TTL  time.Duration `yaml:"ttl"`  // how long they are kept; 10m
}

// Batch is how messages of a channel are gathered into frames.
type Batch struct {
	Window   *time.Duration `yaml:"window"`   // 50ms; 0 sends as soon as the shard is free; 10s at most
	Eager    *bool          `yaml:"eager"`    // the first message after an idle window leaves at once; true
	Conflate *bool          `yaml:"conflate"` // a later set of a key replaces the earlier one in the window; true
	Stretch  *bool          `yaml:"stretch"`  // under load the window is up to half longer; true
}

// Bounds limits one namespace's channels.
type Bounds struct {
	Message units.Size `yaml:"message"` // one message; the relay's limit
	Rate    units.Rate `yaml:"rate"`    // publishes of one connection; 50/s
	Items   int        `yaml:"items"`   // live items of one channel; 10000
}

// Slow is a policy for readers that do not keep up.
type Slow string

// The policies. Disconnect closes 4008, Resync drops what waits and sends a snapshot when the
// socket drains.
const (
	Disconnect Slow = "disconnect"
	Resync     Slow = "resync"
)

// Deliver says when readers of a durable channel get a change.
type Deliver string

// AtOnce does not wait for the disk: a reader may see what a crash then takes back, and is told so.
// AfterDisk delivers nothing that could be lost.
const (
	AtOnce    Deliver = "live"
	AfterDisk Deliver = "after-disk"
)

// Access says which clients may do something. Backends with an API key always may.
type Access string

// The kinds of access, from the widest to the narrowest.
const (
	Public        Access = "public"        // any client, anonymous ones included
	Authenticated Access = "authenticated" // any client with a token
	Member        Access = "member"        // members, as a system that keeps members (chat) says, and whoever Capability admits
	Capability    Access = "capability"    // clients whose token names the channel
	ByWebhook     Access = "webhook"       // whom the backend lets, which is asked at Auth.Webhook
	Backend       Access = "backend"       // no client
)
