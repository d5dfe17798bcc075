package notify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/config"
)

// Config is how notifications reach the devices of users.
type Config struct {
	Timeout  time.Duration `yaml:"timeout" default:"5s" range:"10ms..10s"`   // of one attempt at one device
	Retry    time.Duration `yaml:"retry" default:"2m" range:"1s..1h"`        // how long a device that does not answer is tried
	TTL      time.Duration `yaml:"ttl" default:"24h" range:"1s..672h"`       // how long push services keep a notification for a device that is off
	Keep     time.Duration `yaml:"keep" default:"720h" range:"1m..8784h"`    // how long it stays in the user's channel
	Inbox    int           `yaml:"inbox" default:"100" range:"1..1000"`      // notifications in the channel of one user; the oldest go
	Devices  int           `yaml:"devices" default:"20" range:"1..100"`      // devices of one user; the ones registered longest ago go
	Queue    int           `yaml:"queue" default:"10000" range:"1..1000000"` // notifications on their way to devices at once
	Parallel int           `yaml:"parallel" default:"64" range:"1..1024"`    // attempts at devices at once

	WebPush WebPush `yaml:"webpush"`
	FCM     FCM     `yaml:"fcm"`
	APNs    APNs    `yaml:"apns"`
}

// WebPush is the key that push services of browsers know the relay by (VAPID). Without one there is no web push,
// but in development mode, where a key is made at the start.
type WebPush struct {
	Secret  string `yaml:"secret"`  // private key, 32 bytes in base64url, as weir vapid prints it; or
	File    string `yaml:"file"`    // a file that holds it
	Subject string `yaml:"subject"` // whom a push service may ask: mailto:ops@example.com, or an https address
}

// FCM is Firebase Cloud Messaging, for Android and others.
type FCM struct {
	File string `yaml:"file"` // the service account's JSON file; "": there is no FCM
	URL  string `yaml:"url" default:"https://fcm.googleapis.com"`
	// AllowInsecure permits http and private addresses for this service; for tests.
	AllowInsecure bool `yaml:"allow_insecure"`
}

// APNs is the Apple Push Notification service.
type APNs struct {
	File   string `yaml:"file"`                                     // the signing key, a .p8 file; "": there is no APNs
	KeyID  string `yaml:"key_id"`                                   // of the key: 10 letters and digits
	TeamID string `yaml:"team_id"`                                  // of the developer account, alike
	Topic  string `yaml:"topic"`                                    // bundle id of the app
	URL    string `yaml:"url" default:"https://api.push.apple.com"` // https://api.sandbox.push.apple.com for development builds
	// AllowInsecure permits http and private addresses for this service; for tests.
	AllowInsecure bool `yaml:"allow_insecure"`
}

// Key implements config.Section.
func (*Config) Key() string { return "notify" }

// check checks how devices are reached.
func check(c *config.Config, k *config.Checks) {
	n := config.Of[Config](c)
	checkWebPush(k, n.WebPush)
	checkService(k, "notify.fcm.url", n.FCM.URL, n.FCM.AllowInsecure || c.Dev)
	checkService(k, "notify.apns.url", n.APNs.URL, n.APNs.AllowInsecure || c.Dev)
	if n.APNs.File != "" {
		checkApns(k, n.APNs)
	}
	checkFiles(k, n)
	uses := n.WebPush != (WebPush{}) || n.FCM.File != "" || n.APNs.File != ""
	if uses && !slices.Contains(c.Systems, Name) {
		k.Add("notify", `push services are configured but the system is off: add "notify" to systems`)
	}
}

func checkWebPush(k *config.Checks, w WebPush) {
	const key = "notify.webpush"
	if w == (WebPush{}) {
		return
	}
	if (w.Secret == "") == (w.File == "") {
		k.Add(key, "expected exactly one of secret and file; weir vapid prints a secret")
	}
	if w.Secret != "" {
		checkVapid(k, key+".secret", w.Secret)
	}
	if err := checkSubject(w.Subject); err != nil {
		k.Add(key+".subject", "%s", err)
	}
}

func checkVapid(k *config.Checks, key, secret string) {
	if secret == config.Redacted {
		k.Add(key, "%s stands for a secret in the output of config print: expected the secret", config.Redacted)
	} else if _, err := parseVAPID(secret); err != nil {
		k.Add(key, "%s", err)
	}
}

func checkApns(k *config.Checks, a APNs) {
	for _, id := range []struct{ key, value string }{{"notify.apns.key_id", a.KeyID}, {"notify.apns.team_id", a.TeamID}} {
		if len(id.value) != 10 || strings.Trim(id.value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			k.Add(id.key, "%s is not an id of Apple's: expected 10 capitals and digits", config.Quote(id.value))
		}
	}
	if a.Topic == "" || len(a.Topic) > 255 || strings.Trim(a.Topic, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
		k.Add("notify.apns.topic", "%s is not a bundle id: expected one such as com.example.app", config.Quote(a.Topic))
	}
}

// checkService checks the address of a push service.
func checkService(k *config.Checks, key, text string, insecure bool) {
	k.Address(key, text, insecure)
	if strings.Contains(text, "?") { // paths are appended to it
		k.Add(key, "holds a query: expected an address without")
	}
}

// checkFiles reads the keys of push services.
func checkFiles(k *config.Checks, n *Config) {
	if data, ok := k.File("notify.webpush.file", n.WebPush.File); ok {
		checkVapid(k, "notify.webpush.file", string(data))
	}
	if data, ok := k.File("notify.fcm.file", n.FCM.File); ok {
		if _, err := parseServiceAccount(data); err != nil {
			k.Add("notify.fcm.file", "%s: %s", config.Quote(n.FCM.File), err)
		}
	}
	if data, ok := k.File("notify.apns.file", n.APNs.File); ok {
		if _, err := parseAPNsKey(data); err != nil {
			k.Add("notify.apns.file", "%s: %s", config.Quote(n.APNs.File), err)
		}
	}
}

// Name is what the configuration calls the system.
const Name = "notify"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			Section:     func() config.Section { return new(Config) },
			Check:       check,
			Namespaces:  []string{Namespace},
			Kept:        []string{Namespace, wire.UserNamespace},
			Place:       placeOf,
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_notify_notifications_total", Type: relay.Counter, Help: "Notifications that were accepted."},
			{Name: "weir_notify_refused_total", Type: relay.Counter, Help: "Notifications that were refused because the queue was full."},
			{Name: "weir_notify_results_total", Type: relay.Counter, Labels: []string{"outcome"}, Help: "Notifications by outcome: at least one device was reached (delivered), or none (failed)."},
			{Name: "weir_notify_attempts_total", Type: relay.Counter, Labels: []string{"kind", "outcome"}, Help: "Attempts at a device, by its kind and the outcome. alarming: the push service does not accept the key."},
			{Name: "weir_notify_waiting", Type: relay.Gauge, Help: "Notifications on their way to devices."},
		},
	}
}

// counters are the metrics of the system.
type counters struct {
	attempts map[string]*[verdicts]*metrics.Counter // by kind of device
	accepted *metrics.Counter                       // notifications
	refused  *metrics.Counter                       // no room
	reached  *metrics.Counter                       // notifications that reached at least one device
	missed   *metrics.Counter                       // notifications that reached none
}

func newCounters(set *metrics.Set, kinds []string, waiting func() int) *counters {
	c := &counters{
		attempts: make(map[string]*[verdicts]*metrics.Counter),
		accepted: set.NewCounter("weir_notify_notifications_total"),
		refused:  set.NewCounter("weir_notify_refused_total"),
		reached:  set.NewCounter(`weir_notify_results_total{outcome="delivered"}`),
		missed:   set.NewCounter(`weir_notify_results_total{outcome="failed"}`),
	}
	for _, kind := range kinds {
		list := new([verdicts]*metrics.Counter)
		for v, name := range verdictNames {
			list[v] = set.NewCounter(fmt.Sprintf("weir_notify_attempts_total{kind=%q,outcome=%q}", kind, name))
		}
		c.attempts[kind] = list
	}
	set.NewGauge("weir_notify_waiting", func() float64 { return float64(waiting()) })
	return c
}
