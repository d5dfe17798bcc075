package config

import (
	"time"

	"weir/broker/disk"
	"weir/internal/mesh"
	"weir/internal/units"
	"weir/relay/auth"
)

// Config is everything that can be set about a relay. The zero value of a field means the default that its tag states;
// New copies the Config, fills those in and checks the result. See [Field] for the tags.
type Config struct {
	Listen string `yaml:"listen" default:"127.0.0.1:8080"` // address of the public listener
	Admin  string `yaml:"admin" default:"127.0.0.1:9090"`  // address of the admin listener (metrics, health, pprof)
	// AdminToken is what the admin listener wants of everything but /healthz and /readyz: as a bearer token, or as
	// the password of HTTP's basic authentication, which browsers ask for. "": none, on loopback only.
	AdminToken string `yaml:"admin_token"`
	Dev        bool   `yaml:"-"` // development mode: open namespaces, and on loopback a published secret and the API key "dev"
	// DevTokenSecret (HS256) and DevAPIKey take the place of the published ones of development mode. They are needed where it
	// listens elsewhere than on loopback; see DevLocal.
	DevTokenSecret string `yaml:"-"`
	DevAPIKey      string `yaml:"-"`

	TLS   TLS   `yaml:"tls"`
	Auth  Auth  `yaml:"auth"`
	API   API   `yaml:"api"`
	Limit Limit `yaml:"limits"`
	Log   Log   `yaml:"log"`

	// Systems are the names of those that are part of the relay, of SystemNames; none. In development mode, all.
	Systems []string `yaml:"systems"`
	Known   []System `yaml:"-"`      // the systems that there are, whether they are switched on or not
	Events  Events   `yaml:"events"` // which clients may emit, beside what their tokens say

	Origins        []string      `yaml:"origins"`                                 // exact origins of pages that may connect, e.g. https://app.example.com; the relay's own is always allowed
	RequireOrigin  bool          `yaml:"require_origin"`                          // refuse WebSocket upgrades that carry no Origin (clients that are not browsers); false
	TrustedProxies []string      `yaml:"trusted_proxies"`                         // networks (CIDR) whose X-Forwarded-For is believed; none
	Heartbeat      time.Duration `yaml:"heartbeat" default:"25s" range:"1s..30s"` // pings and SSE comments
	Pong           time.Duration `yaml:"pong" default:"10s" range:"1s..1m"`       // how long after a ping the client may stay silent
	Drain          time.Duration `yaml:"drain" default:"10s" range:"0s..30s"`     // how long a shutdown spreads its closes over
	Compression    bool          `yaml:"compression"`                             // permessage-deflate, one compression a frame; false (see docs on compression beside secrets)
	Shards         int           `yaml:"shards" range:"0..1024"`                  // pool shards; 0: GOMAXPROCS rounded up to a power of two
	Data           string        `yaml:"data"`                                    // directory of what durable namespaces and the systems keep; needed if a namespace is durable
	Tracing        Tracing       `yaml:"tracing"`                                 // where spans of publications go; nowhere
	Page           bool          `yaml:"page"`                                    // the page at "/" for trying channels out, which asks for a token; false, and on in development mode
	Cluster        Cluster       `yaml:"cluster"`                                 // several processes as one relay; off
	Namespaces     Namespaces    `yaml:"namespaces"`                              // policy by namespace; "default" is for channels without a known namespace
	Sections       []Section     `yaml:",inline"`                                 // what is set about each system, each under a key of its own; see Of

	// Load is what share of its processors the process uses, from 0 to 1, for windows that stretch; see ProcessLoad.
	// nil: they do not.
	Load func() float64 `yaml:"-"`

	// Mesh is what is between the nodes of a cluster; the reader of Cluster makes it. nil: this is the only node.
	Mesh mesh.Opener `yaml:"-"`

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

// Auth is the issuers whose tokens are accepted from clients. At least one key or a JWKS URL is needed outside
// development mode.
type Auth struct {
	Keys       []TokenKey     `yaml:"keys"`
	JWKS       JWKS           `yaml:"jwks"`
	Webhook    AuthWebhook    `yaml:"webhook"`
	Issuer     string         `yaml:"issuer"`                             // required iss; "" accepts any
	Audience   string         `yaml:"audience"`                           // required aud; "" accepts any
	Leeway     *time.Duration `yaml:"leeway" default:"5s" range:"0s..1m"` // clock difference tolerated for exp and nbf
	Cookie     string         `yaml:"cookie"`                             // cookie that may carry the token; "" none
	QueryToken bool           `yaml:"query_token"`                        // accept ?token=; false, since query strings end up in logs
	Anonymous  bool           `yaml:"anonymous"`                          // let clients in without a token, to public namespaces only; false
}

// What package auth reads of the file.
type (
	TokenKey = auth.TokenKey
	JWKS     = auth.JWKS
	APIKey   = auth.APIKey
)

// AuthWebhook is a backend that decides who may do what in namespaces with the access "webhook".
type AuthWebhook struct {
	URL     string        `yaml:"url"`                                   // https; see AllowInsecure. "": there is none
	Secrets []string      `yaml:"secrets"`                               // one, or two while one replaces the other: whsec_ and 24 to 64 bytes in base64
	Timeout time.Duration `yaml:"timeout" default:"2s" range:"10ms..2s"` // of one question
	Cache   time.Duration `yaml:"cache" default:"30s" range:"0s..1h"`    // how long an answer without a ttl holds
	// AllowInsecure permits http and private addresses, for backends beside the relay. Development mode does, too.
	AllowInsecure bool `yaml:"allow_insecure"`
}

// API holds the keys of backends. Several may be valid at once, so that a key can be replaced
// without a gap; a reload (SIGHUP) takes the new list.
type API struct {
	Keys []APIKey `yaml:"keys"`
}

// Limit bounds what one client, one address and all together may take.
type Limit struct {
	Connections   int        `yaml:"connections" range:"0..100000000"`                 // in all; 0: what RLIMIT_NOFILE leaves
	PerAddress    int        `yaml:"per_address" range:"0..100000000"`                 // connections of one address (IPv6: one /64); 0: no limit
	PerUser       int        `yaml:"per_user" default:"100" range:"1..100000000"`      // connections of one user
	Subscriptions int        `yaml:"subscriptions" default:"128" range:"1..100000000"` // channels of one connection
	Message       units.Size `yaml:"message" default:"64KiB" range:"1B..64MiB"`        // one message of a client or backend
	Request       units.Size `yaml:"request" default:"1MiB" range:"1B..1GiB"`          // one HTTP body
	Queue         units.Size `yaml:"queue" default:"1MiB" range:"1B..1GiB"`            // output waiting for one connection
	Commands      units.Rate `yaml:"commands" default:"100/s"`                         // commands of one connection, bursts of twice that
	Pings         units.Rate `yaml:"pings" default:"10/s"`                             // ping frames of one connection
}

// Log is the level and the format of the log.
type Log struct {
	Level  string `yaml:"level" default:"info" oneof:"debug info warn error"`
	Format string `yaml:"format" default:"json" oneof:"json text"`
}

// Namespaces maps a namespace to its policy.
type Namespaces map[string]Namespace

// Namespace is the policy of the channels whose names begin with "name:".
type Namespace struct {
	History   History `yaml:"history"`
	Batch     Batch   `yaml:"batch"`
	Slow      Slow    `yaml:"slow" default:"disconnect" oneof:"disconnect resync"` // what happens to a reader whose queue is full
	Durable   bool    `yaml:"durable"`                                             // changes, items and positions are kept on disk, in Config.Data; false
	Deliver   Deliver `yaml:"deliver" default:"live" oneof:"live after-disk"`      // of a durable namespace: when readers get a change
	Presence  *bool   `yaml:"presence" default:"true"`                             // who is here, kept by the relay
	Subscribe Access  `yaml:"subscribe" default:"member"`                          // who may subscribe
	Publish   Access  `yaml:"publish" default:"member"`                            // which clients may publish
	Limit     Bounds  `yaml:"limits"`

	Once bool `yaml:"-"` // of a system's: an idempotency key is known for as long as its change is kept
	// Unmeasured keeps what is delivered to Rooms out of the relay's own counts and latencies, which would
	// otherwise show mostly that. A system's.
	Unmeasured bool `yaml:"-"`
	// Events says that sets are events, too, and none stands in for another: nothing is conflated, whatever Batch says. Bytes that
	// wait in the windows of the namespace are counted; see relay.Host.Held. A system's.
	Events bool `yaml:"-"`
}

// History bounds the log of a channel. A reader further behind than this gets a snapshot.
type History struct {
	Size *int          `yaml:"size" default:"256" range:"0..100000000"` // changes kept. 0 keeps none: nobody can resume
	TTL  time.Duration `yaml:"ttl" default:"10m" range:"1ms..8784h"`    // how long they are kept
}

// Batch is how messages of a channel are gathered into frames.
type Batch struct {
	Window   *time.Duration `yaml:"window" default:"50ms" range:"0s..10s"` // 0 sends as soon as the shard is free
	Eager    *bool          `yaml:"eager" default:"true"`                  // the first message after an idle window leaves at once
	Conflate *bool          `yaml:"conflate" default:"true"`               // a later set of a key replaces the earlier one in the window
	Stretch  *Stretch       `yaml:"stretch" default:"true"`                // under load the window is longer
}

// Bounds limits one namespace's channels.
type Bounds struct {
	Message units.Size `yaml:"message" range:"1B..64MiB"`                  // one message; the relay's limit
	Rate    units.Rate `yaml:"rate" default:"50/s"`                        // publishes of one connection
	Items   int        `yaml:"items" default:"10000" range:"1..100000000"` // live items of one channel
}

// Slow is a policy for readers that do not keep up.
type Slow string

// The policies. Disconnect closes 4008, Resync drops what waits and sends a snapshot when the
// socket drains.
const (
	Disconnect Slow = "disconnect"
	Resync     Slow = "resync"
)

// Deliver is the moment at which readers of a durable channel get a change.
type Deliver string

// AtOnce does not wait for the disk: a reader may see what a crash then takes back, and is told so.
// AfterDisk delivers nothing that could be lost.
const (
	AtOnce    Deliver = "live"
	AfterDisk Deliver = "after-disk"
)

// Access is the clients that may do something. Backends with an API key always may.
type Access string

// The kinds of access, from the widest to the narrowest.
const (
	Public        Access = "public"        // any client, anonymous ones included
	Authenticated Access = "authenticated" // any client with a token
	Member        Access = "member"        // members, as a system that keeps members (chat) says, and clients that Capability admits
	Capability    Access = "capability"    // clients whose token names the channel
	ByWebhook     Access = "webhook"       // whom the backend lets, which is asked at Auth.Webhook
	Backend       Access = "backend"       // no client
)
