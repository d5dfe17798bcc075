package loader

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/relay/auth"
)

// TestMistakes makes each mistake alone and wants its one line.
func TestMistakes(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ecKeyFile := filepath.Join(t.TempDir(), "ec.pem")
	if err := os.WriteFile(ecKeyFile, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, text, want string }{
		{"duration", "x: 1", "weir.yaml:1: x: unknown key: known here: listen, admin, admin_token, tls"},
		{"duration without unit", "\nnamespaces:\n  room:\n    batch:\n      window: 50", `weir.yaml:5: namespaces.room.batch.window: "50" is not a duration: expected e.g. 50ms`},
		{"negative duration", "drain: -1s", `weir.yaml:1: drain: "-1s" is not a duration`},
		{"size", "limits:\n  queue: 1MB", `weir.yaml:2: limits.queue: "1MB" is not a size: expected a whole number of B, KiB`},
		{"rate", "limits:\n  commands: 100", `weir.yaml:2: limits.commands: "100" is not a rate`},
		{"bool", "compression: yes", `weir.yaml:1: compression: "yes" is not true or false`},
		{"stretch of a word", "namespaces: {a: {batch: {stretch: yes}}}", `weir.yaml:1: namespaces.a.batch.stretch: "yes" is not true, false, or a number from 1.5 to 8`},
		{"stretch too small", "namespaces: {a: {batch: {stretch: 1}}}", `weir.yaml:1: namespaces.a.batch.stretch: "1" is not true, false, or a number from 1.5 to 8`},
		{"stretch too large", "namespaces: {a: {batch: {stretch: 8.5}}}", `weir.yaml:1: namespaces.a.batch.stretch: "8.5" is not true, false, or a number from 1.5 to 8`},
		{"stretch of no number", "namespaces: {a: {batch: {stretch: NaN}}}", `weir.yaml:1: namespaces.a.batch.stretch: "NaN" is not true, false, or a number from 1.5 to 8`},
		{"stretch without a value", "namespaces: {a: {batch: {stretch: }}}", "weir.yaml:1: namespaces.a.batch.stretch: no value: expected true, false or a number, e.g. 4"},
		{"int", "shards: two", `weir.yaml:1: shards: "two" is not a whole number`},
		{"int of another base", "shards: 0x10", `weir.yaml:1: shards: "0x10" is not a whole number`},
		{"huge int", "shards: 99999999999999999999", `weir.yaml:1: shards: "99999999999999999999" is not a whole number`},
		{"no value", "listen:\nadmin: 127.0.0.1:1", "weir.yaml:1: listen: no value: expected a text"},
		{"null", "heartbeat: ~", "weir.yaml:1: heartbeat: no value: expected a duration, e.g. 50ms"},
		{"list for word", "listen: [a]", "weir.yaml:1: listen: a list where a text is expected"},
		{"section for word", "drain:\n  x: 1", "weir.yaml:2: drain: a section where a duration, e.g. 50ms is expected"},
		{"word for section", "limits: 5", "weir.yaml:1: limits: a word where a section with the keys connections, per_address"},
		{"word for list", "origins: https://a.example", "weir.yaml:1: origins: a word where a list of texts, e.g. [a, b] is expected"},
		{"word for sections", "auth:\n  keys: [a]", "weir.yaml:2: auth.keys[0]: a word where a section with the keys id, algorithm, secret, file is expected"},
		{"list at top", "- a", "weir.yaml:1: a list where a section with the keys listen"},
		{"text at top", "listen", "weir.yaml:1: a word where a section"},
		{"control characters", "auth:\n  issuer: \"a\\nb\"", "weir.yaml:2: auth.issuer: the text holds a line break"},
		{"typo", "listn: :1", "weir.yaml:1: listn: unknown key: did you mean listen? known here: listen, admin"},
		{"nested typo", "namespaces:\n  room:\n    bacth: {}", "weir.yaml:3: namespaces.room.bacth: unknown key: did you mean batch? known here: history, batch"},
		{"wrong section", "window: 50ms", "weir.yaml:1: window: unknown key: did you mean namespaces.NAME.batch.window?"},
		{"dev in a file", "dev: true", "weir.yaml:1: dev: unknown key"},
		{"capitals", "Listen: :1", "weir.yaml:1: Listen: unknown key: did you mean listen?"},
		{"key with odd letters", "\"a\\nb\": 1", `weir.yaml:1: "a\nb": unknown key`},
		{"twice", "listen: :1\nadmin: 127.0.0.1:2\nlisten: :3", "weir.yaml:3: listen: given twice: the first is on line 1"},
		{"namespace twice", "namespaces:\n  a: {}\n  a: {}", "weir.yaml:3: namespaces.a: given twice: the first is on line 2"},
		{"tab", "limits:\n\tqueue: 1MiB", "weir.yaml:2: indented with a tab: expected spaces"},
		{"second tab", "limits:\n  queue: 1MiB\n\tmessage: 1", "weir.yaml:3: indented with a tab"},
		{"two documents", "listen: :1\n---\nadmin: 127.0.0.1:1\n", "weir.yaml:2: a second document begins here"},
		{"anchor", "tls: &a {}", `weir.yaml:1: "&": anchors, aliases`},
		{"merge", "limits:\n  <<: {queue: 1MiB}", `weir.yaml:2: "<<": anchors`},
		{"tag", "listen: !!str :1", `weir.yaml:1: "!!str": anchors`},
		{"directive", "%YAML 1.2\n---\nlisten: :1", `weir.yaml:1: "%": anchors`},
		{"complex key", "? listen\n: a", `weir.yaml:1: "?": anchors`},
		{"unclosed", "origins: [a", "weir.yaml:1: not valid YAML: sequence end token"},
		{"bad quote", "listen: \"a", "weir.yaml:1: not valid YAML: could not find end character"},
		{"bad indent", "  listen: :1\n admin: :2", "weir.yaml:2: not valid YAML"},
		{"not text", "listen: \xff", "weir.yaml: not a text in UTF-8"},
		{"binary", "listen: a\x00b", "weir.yaml: not a text in UTF-8"},
		{"depth", "origins: " + strings.Repeat("[", 100), "weir.yaml:1: nested too deeply"},
		{"depth of dashes", "origins:\n" + strings.Repeat("- ", 100), "weir.yaml:2: nested too deeply"},

		{"routes in plain text", "cluster: {node: a, embed: {listen: '10.0.0.1:6222', data: d, routes: ['10.0.0.2:6222']}}", "weir.yaml:1: cluster.embed.listen: \"10.0.0.1:6222\" is open to everybody, in plain text: expected cluster.tls"},
		{"routes with half a TLS", "cluster: {node: a, embed: {listen: '10.0.0.1:6222', data: d, routes: ['10.0.0.2:6222']}, tls: {cert: c, key: k}}", "weir.yaml:1: cluster.tls: embedded servers check each other's certificates: expected cert, key and ca"},
		{"short password of routes", "cluster: {node: a, embed: {listen: '127.0.0.1:6222', data: d, routes: ['10.0.0.2:6222'], password: abc}}", "weir.yaml:1: cluster.embed.password: has 3 bytes: expected 32"},
		{"credentials for embedded servers", "cluster: {node: a, embed: {listen: '127.0.0.1:6222', data: d, routes: ['10.0.0.2:6222']}, nkey: f}", "weir.yaml:1: cluster: credentials and nkey are for servers in cluster.nats"},
		{"servers without others", "cluster: {node: a, embed: {listen: '127.0.0.1:6222', routes: ['127.0.0.1:6222'], data: d}}", "weir.yaml:1: cluster.embed.routes: expected the addresses of the other nodes' servers, too"},
		{"servers in plain text", "cluster: {node: a, nats: ['nats://n1:4222']}", "weir.yaml:1: cluster.nats[0]: \"nats://n1:4222\" would be reached in plain text"},

		{"listen", "listen: localhost", `weir.yaml:1: listen: "localhost" is not an address to listen on: expected host:port`},
		{"empty listen", "listen: \"\"", `weir.yaml:1: listen: "" is not an address`},
		{"port", "listen: :70000", `weir.yaml:1: listen: ":70000" is not an address`},
		{"open admin", "admin: 0.0.0.0:9090", `weir.yaml:1: admin: "0.0.0.0:9090" is not a loopback address`},
		{"admin on all", "admin: :9090", `weir.yaml:1: admin: ":9090" is not a loopback address`},
		{"short admin token", "admin: :9090\nadmin_token: secret", "weir.yaml:2: admin_token: has 6 bytes: expected 32 to 4096"},
		{"same port", "listen: :9000\nadmin: 127.0.0.1:9000", `weir.yaml:2: admin: "127.0.0.1:9000" is the port of the public listener`},
		{"half tls", "tls:\n  cert: a.pem", "weir.yaml:1: tls: expected both cert and key, or neither"},
		{"missing tls", "tls:\n  cert: no-such.pem\n  key: doc.go", `weir.yaml:2: tls.cert: "no-such.pem": no such file`},
		{"origin with path", "origins:\n- https://a.example/x", `weir.yaml:2: origins[0]: "https://a.example/x" is more than an origin: expected "https://a.example"`},
		{"origin without scheme", "origins: [a.example]", `weir.yaml:1: origins[0]: "a.example" is not an origin: expected scheme://host[:port]`},
		{"any origin", "origins: [\"*\"]", `weir.yaml:1: origins[0]: "*" is not an origin`},
		{"wildcard origin", "origins: [\"https://*.example\"]", `weir.yaml:1: origins[0]: "https://*.example" is not an origin`},
		{"null origin", "origins: [\"null\"]", `weir.yaml:1: origins[0]: "null" is not an origin`},
		{"origin in capitals", "origins: [\"https://App.example\"]", `weir.yaml:1: origins[0]: "https://App.example" has capitals`},
		{"origin with port", "origins: [\"https://a.example:443\"]", `weir.yaml:1: origins[0]: "https://a.example:443" names the standard port, which browsers leave out: expected "https://a.example"`},
		{"proxy", "trusted_proxies: [10.0.0.0/99]", `weir.yaml:1: trusted_proxies[0]: "10.0.0.0/99" is not a network`},
		{"proxy bits", "trusted_proxies: [10.0.0.1/8]", `weir.yaml:1: trusted_proxies[0]: "10.0.0.1/8" has address bits beyond its length: did you mean 10.0.0.0/8?`},
		{"heartbeat", "heartbeat: 31s", "weir.yaml:1: heartbeat: 31s is out of range: expected 1s to 30s"},
		{"heartbeat 0", "heartbeat: 0s", "weir.yaml:1: heartbeat: 0s is out of range"},
		{"drain", "drain: 1m", "weir.yaml:1: drain: 1m is out of range: expected 0s to 30s"},
		{"per user 0", "limits:\n  per_user: 0", "weir.yaml:2: limits.per_user: 0 is out of range: expected 1 to"},
		{"negative", "limits:\n  per_address: -1", "weir.yaml:2: limits.per_address: -1 is out of range: expected 0 to"},
		{"message 0", "limits:\n  message: 0", "weir.yaml:2: limits.message: 0B is out of range: expected 1B to 64MiB"},
		{"queue", "limits:\n  queue: 1KiB", "weir.yaml:2: limits.queue: 1KiB is less than limits.message (64KiB)"},
		{"request", "limits:\n  request: 1KiB", "weir.yaml:2: limits.request: 1KiB is less than limits.message (64KiB)"},
		{"level", "log:\n  level: loud", `weir.yaml:2: log.level: "loud" is not possible here: expected debug, info, warn or error`},
		{"system", "log: {level: info}\nsystems:\n- feed\n- chta", `weir.yaml:4: systems[1]: "chta" is not a system: did you mean chat? known: `},
		{"system twice", "systems: [chat, chat]", `weir.yaml:1: systems[1]: "chat" is listed twice`},
		{"alerts that are off", "analytics:\n  alerts:\n  - {name: a, metric: api.request, threshold: 1}", "weir.yaml:2: analytics.alerts: alerts are configured but the system is off: add \"analytics\" to systems"},
		{"no metrics", "analytics: {metrics: 0}", "weir.yaml:1: analytics.metrics: 0 is out of range"},
		{"too many metrics", "analytics:\n  metrics: 2000", "weir.yaml:2: analytics.metrics: 2000 is out of range: expected 1 to 1024"},
		{"alert name", alert("name: a b"), `weir.yaml:5: analytics.alerts[0].name: "a b" is not a name`},
		{"alert twice", alert("level: info") + alertLine("when: above"), `weir.yaml:6: analytics.alerts[1].name: duplicate name "a": already used by alerts[0]`},
		{"alert metric", alert("metric: api.requests"), `weir.yaml:5: analytics.alerts[0].metric: "api.requests" is not a metric: expected api.request, user.action`},
		{"alert own metric", alert("metric: weir.latency/p42"), `weir.yaml:5: analytics.alerts[0].metric: "weir.latency/p42" is not a metric`},
		{"alert of", alert("of: median"), `weir.yaml:5: analytics.alerts[0].of: "median"`},
		{"alert when", alert("when: over"), `weir.yaml:5: analytics.alerts[0].when: "over"`},
		{"alert level", alert("level: loud"), `weir.yaml:5: analytics.alerts[0].level: "loud"`},
		{"alert window", alert("window: 2h"), "weir.yaml:5: analytics.alerts[0].window: 2h is out of range: expected 1s to 1h"},
		{"alert part of a second", alert("window: 1500ms"), "weir.yaml:5: analytics.alerts[0].window: 1.5s is not whole seconds"},
		{"alert hold", alert("hold: 61m"), "weir.yaml:5: analytics.alerts[0].hold: 1h1m is out of range"},
		{"alert threshold", "systems: [analytics]\nanalytics:\n  alerts:\n  - {name: a, metric: api.request}", "weir.yaml:4: analytics.alerts[0].threshold: expected the value"},
		{"alert threshold is no number", alert("threshold: many"), `weir.yaml:5: analytics.alerts[0].threshold: "many" is not a number: expected e.g. 100 or 0.5`},
		{"alert threshold without end", alert("threshold: .inf"), `weir.yaml:5: analytics.alerts[0].threshold: ".inf" is not a number`},
		{"alert clear", alert("clear: 11"), "weir.yaml:5: analytics.alerts[0].clear: 11 must not exceed threshold (10)"},
		{"alert clear below", alert("clear: 9, when: below"), "weir.yaml:5: analytics.alerts[0].clear: 9 must not be below threshold (10)"},
		{"webhook that is off", "webhooks: [{name: a, url: https://a.example, topics: [a], secrets: [whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD]}]", "weir.yaml:1: webhooks: webhooks are configured but the system is off: add \"webhook\" to systems"},
		{"webhook name", hook("name: a b"), `weir.yaml:3: webhooks[0].name: "a b" is not a name`},
		{"webhook twice", hook("queue: 5") + hookLine("topics: [b]"), `weir.yaml:4: webhooks[1].name: duplicate name "a": already used by webhooks[0]`},
		{"webhook url", hook("url: a.example/hunter2"), "weir.yaml:3: webhooks[0].url: not an absolute address"},
		{"webhook http", hook("url: http://a.example/hunter2"), "weir.yaml:3: webhooks[0].url: not an https address"},
		{"webhook to itself", hook("url: https://127.0.0.1/"), "weir.yaml:3: webhooks[0].url: a private address, which needs allow_insecure"},
		{"webhook user", hook("url: https://u:hunter2@a.example/"), "weir.yaml:3: webhooks[0].url: holds a user"},
		{"webhook topics", hook("topics: []"), "weir.yaml:3: webhooks[0].topics: expected topics"},
		{"webhook topic", hook("topics: [a, b c]"), `weir.yaml:3: webhooks[0].topics[1]: "b c" is not a topic`},
		{"webhook secrets", hook("secrets: []"), "weir.yaml:3: webhooks[0].secrets: expected one secret"},
		{"webhook secret", hook("secrets: [hunter2]"), "weir.yaml:3: webhooks[0].secrets[0]: the secret must begin with whsec_"},
		{"webhook timeout", hook("timeout: 3s"), "weir.yaml:3: webhooks[0].timeout: 3s is out of range: expected 10ms to 2s"},
		{"webhook retry", hook("retry: 25h"), "weir.yaml:3: webhooks[0].retry: 25h is out of range"},
		{"document size", "documents: {size: 9MiB}", "weir.yaml:1: documents.size: 9MiB is out of range: expected 1KiB to 8MiB"},
		{"document message", "documents: {message: 0}", "weir.yaml:1: documents.message: 0B is out of range"},
		{"documents open", "documents: {open: 0}", "weir.yaml:1: documents.open: 0 is out of range"},
		{"document cursors", "documents: {cursors: -1}", "weir.yaml:1: documents.cursors: -1 is out of range"},
		{"documents idle", "documents: {idle: 0s}", "weir.yaml:1: documents.idle: "},
		{"webhook queue", hook("queue: 0"), "weir.yaml:3: webhooks[0].queue: 0 is out of range"},
		{"webhook batch", hook("batch: 101"), "weir.yaml:3: webhooks[0].batch: 101 is out of range"},
		{"events", "events:\n  clients: [page.view, a b]", `weir.yaml:2: events.clients[1]: "a b" is not a topic`},
		{"notify that is off", "notify: {webpush: {secret: rfGRDOZSHfvAAWOqbP1-5OKzNhNvlxxdeSSSZUW_BlI, subject: \"mailto:a@b.example\"}}", "weir.yaml:1: notify: push services are configured but the system is off: add \"notify\" to systems"},
		{"notify timeout", "notify:\n  timeout: 11s", "weir.yaml:2: notify.timeout: 11s is out of range: expected 10ms to 10s"},
		{"notify retry", "notify:\n  retry: 2h", "weir.yaml:2: notify.retry: 2h is out of range"},
		{"notify ttl", "notify:\n  ttl: 0s", "weir.yaml:2: notify.ttl: 0s is out of range"},
		{"notify keep", "notify:\n  keep: 1s", "weir.yaml:2: notify.keep: 1s is out of range"},
		{"notify inbox", "notify:\n  inbox: 0", "weir.yaml:2: notify.inbox: 0 is out of range: expected 1 to 1000"},
		{"notify devices", "notify:\n  devices: 101", "weir.yaml:2: notify.devices: 101 is out of range"},
		{"notify queue", "notify:\n  queue: -1", "weir.yaml:2: notify.queue: -1 is out of range"},
		{"notify parallel", "notify:\n  parallel: 0", "weir.yaml:2: notify.parallel: 0 is out of range"},
		{"notify unknown", "notify:\n  webpsh: {}", "weir.yaml:2: notify.webpsh: unknown key: did you mean webpush?"},
		{"webpush secret", notifies("webpush: {secret: hunter2, subject: \"mailto:a@b.example\"}"), "weir.yaml:3: notify.webpush.secret: expected a key for web push, a private key on P-256 of 32 bytes"},
		{"webpush redacted", notifies("webpush: {secret: <redacted>, subject: \"mailto:a@b.example\"}"), "weir.yaml:3: notify.webpush.secret: <redacted> stands for a secret"},
		{"webpush subject", notifies("webpush: {secret: rfGRDOZSHfvAAWOqbP1-5OKzNhNvlxxdeSSSZUW_BlI, subject: ops}"), "weir.yaml:3: notify.webpush.subject: expected an address for questions"},
		{"webpush without a key", notifies("webpush: {subject: \"mailto:a@b.example\"}"), "weir.yaml:3: notify.webpush: expected exactly one of secret and file"},
		{"webpush file", notifies("webpush: {file: doc.go, subject: \"mailto:a@b.example\"}"), "weir.yaml:3: notify.webpush.file: expected a key for web push in base64url"},
		{"fcm file", notifies("fcm: {file: no-such.json}"), `weir.yaml:3: notify.fcm.file: "no-such.json": no such file`},
		{"fcm content", notifies("fcm: {file: doc.go}"), `weir.yaml:3: notify.fcm.file: "doc.go": expected the JSON file of a service account`},
		{"fcm url", notifies("fcm: {url: \"http://fcm.example/hunter2\"}"), "weir.yaml:3: notify.fcm.url: not an https address"},
		{"apns file", notifies("apns: {file: doc.go, key_id: ABC123DEFG, team_id: DEF123GHIJ, topic: com.example.app}"), `weir.yaml:3: notify.apns.file: "doc.go": expected a signing key for APNs`},
		{"apns url", notifies("apns: {url: \"https://10.0.0.1/\"}"), "weir.yaml:3: notify.apns.url: a private address"},
		{"window", "namespaces:\n  room:\n    batch: {window: 11s}", "weir.yaml:3: namespaces.room.batch.window: 11s is out of range: expected 0s to 10s"},
		{"slow", "namespaces:\n  room:\n    slow: drop", `weir.yaml:3: namespaces.room.slow: "drop" is not possible here: expected disconnect or resync`},
		{"access", "namespaces:\n  room:\n    subscribe: anyone", `weir.yaml:3: namespaces.room.subscribe: "anyone" is not a kind of access: expected public, authenticated`},
		{"webhook", "namespaces:\n  room:\n    publish: webhook", `weir.yaml:3: namespaces.room.publish: "webhook" requires a backend to ask: set auth.webhook.url`},
		{"hooks", "hooks:\n  url: https://app.example/weir\n  secrets: [whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=]\n  headers: [X-Forwarded-For]", `weir.yaml:4: hooks.headers[0]: "X-Forwarded-For" cannot be passed on`},
		{"hooks in vain", "hooks:\n  cookies: [session]", `weir.yaml:1: hooks.url: there is no backend to ask`},
		{"hooks ask", "hooks:\n  url: https://app.example/weir\n  ask: [everything]\n  secrets: [whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=]", `weir.yaml:3: hooks.ask[0]: "everything" is not possible here`},
		{"auth webhook", "auth:\n  webhook: {url: \"http://a.example/\", secrets: [whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=]}", `weir.yaml:2: auth.webhook.url: not an https address`},
		{"auth webhook unsigned", "auth:\n  webhook: {url: \"https://a.example/\"}", `weir.yaml:2: auth.webhook.secrets: expected one secret`},
		{"auth webhook cache", "auth:\n  webhook: {url: \"https://a.example/\", secrets: [whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=], cache: 2h}", `weir.yaml:2: auth.webhook.cache: 2h is out of range: expected 0s to 1h`},
		{"ttl 0", "namespaces:\n  room:\n    history: {ttl: 0s}", "weir.yaml:3: namespaces.room.history.ttl: 0s is out of range"},
		{"namespace message", "namespaces:\n  room:\n    limits: {message: 1MiB}", "weir.yaml:3: namespaces.room.limits.message: 1MiB is more than limits.message (64KiB)"},
		{"namespace with colon", "namespaces:\n  \"room:1\": {}", `weir.yaml:2: namespaces."room:1": the name holds a colon`},
		{"namespace with space", "namespaces:\n  a b: {}", `weir.yaml:2: namespaces."a b": not a namespace: expected 1 to`},
		{"namespace with dot", "namespaces:\n  .a: {}", `weir.yaml:2: namespaces.".a": not a namespace`},
		{"leeway", "auth:\n  leeway: 61s", "weir.yaml:2: auth.leeway: 1m1s is out of range: expected 0s to 1m"},
		{"cookie", "auth:\n  cookie: a b", `weir.yaml:2: auth.cookie: "a b" is not the name of a cookie`},
		{"jwks", "auth:\n  jwks: {url: http://a.example/k}", "weir.yaml:2: auth.jwks.url: not an https address"},
		{"jwks relative", "auth:\n  jwks: {url: keys.json}", "weir.yaml:2: auth.jwks.url: not an absolute address"},
		{"jwks with user", "auth:\n  jwks: {url: https://u:p@a.example/k}", "weir.yaml:2: auth.jwks.url: holds a user or a fragment"},
		{"jwks refresh", "auth:\n  jwks: {refresh: 1s}", "weir.yaml:2: auth.jwks.refresh: 1s is out of range"},
		{"no algorithm", "auth:\n  keys:\n    - id: a\n      secret: " + secret, `weir.yaml:3: auth.keys[0].algorithm: "" is not possible here: expected HS256, RS256, ES256 or EdDSA`},
		{"no secret", "auth:\n  keys:\n    - algorithm: HS256", "weir.yaml:3: auth.keys[0]: expected exactly one of secret and file"},
		{"short secret", "auth:\n  keys:\n    - algorithm: HS256\n      secret: hunter2", "weir.yaml:4: auth.keys[0].secret: has 7 bytes: expected 32 to"},
		{"redacted secret", "auth:\n  keys:\n    - algorithm: HS256\n      secret: <redacted>", "weir.yaml:4: auth.keys[0].secret: <redacted> stands for a secret"},
		{"secret for RSA", "auth:\n  keys:\n    - algorithm: RS256\n      secret: " + secret, "weir.yaml:4: auth.keys[0].secret: goes with HS256 only"},
		{"missing key file", "auth:\n  keys:\n    - algorithm: RS256\n      file: no-such.pem", `weir.yaml:4: auth.keys[0].file: "no-such.pem": no such file`},
		{"directory for key", "auth:\n  keys:\n    - algorithm: RS256\n      file: .", `weir.yaml:4: auth.keys[0].file: ".": not a regular file`},
		{"not a key file", "auth:\n  keys:\n    - algorithm: RS256\n      file: doc.go", `weir.yaml:4: auth.keys[0].file: "doc.go": the file is not PEM`},
		{"key id", "auth:\n  keys:\n    - {id: a b, algorithm: HS256, secret: " + secret + "}", `weir.yaml:3: auth.keys[0].id: "a b" is not a key id: expected at most 128`},
		{"key for another algorithm", "auth:\n  keys:\n    - algorithm: RS256\n      file: " + ecKeyFile, `weir.yaml:4: auth.keys[0].file: "` + ecKeyFile + `": RS256 does not go with an EC key`},
		{"nameless api key", "api:\n  keys:\n    - secret: " + secret + "2", `weir.yaml:3: api.keys[0].name: "" is not a name`},
		{"short api key", "api:\n  keys:\n    - name: a\n      secret: hunter2", "weir.yaml:4: api.keys[0].secret: has 7 bytes"},
		{"api key with space", "api:\n  keys:\n    - name: a\n      secret: " + secret + " x", "weir.yaml:4: api.keys[0].secret: holds spaces"},
		{"typo in a key", "api:\n  keys:\n    - name: a\n      sekret: hunter2hunter2", "weir.yaml:4: api.keys[0].sekret: unknown key: did you mean secret?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := loadText(tt.text, keysEnv, nil)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("%q: want %q, got:\n%v", tt.text, tt.want, err)
			}
			if lines := strings.Split(err.Error(), "\n"); len(lines) != 1 {
				t.Errorf("want one line, got:\n%v", err)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the secret is shown: %v", err)
			}
		})
	}
}

func TestAllProblemsInOrder(t *testing.T) {
	text := "listn: :1\ndrain: 50\nheartbeat: 99s\nnamespaces:\n  room: {slow: drop, batch: {window: x}}\n"
	env := append(keysEnv, "WEIR_LIMITS_QUEUE=a", "WEIR_LISTN=:1", "WEIR_PONG=2h")
	_, _, err := loadText(text, env, map[string]string{"log.level": "loud", "tls.cert": "a"})
	var got []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		got = append(got, strings.SplitN(line, ": ", 2)[0])
	}
	want := "weir.yaml:1 weir.yaml:2 weir.yaml:3 weir.yaml:5 weir.yaml:5 WEIR_LIMITS_QUEUE WEIR_LISTN WEIR_PONG --log-level tls"
	if strings.Join(got, " ") != want {
		t.Errorf("want %s, got:\n%v", want, err)
	}
}

func TestNothingConfigured(t *testing.T) {
	_, _, err := loadText("", nil, nil)
	want(t, err, "auth.keys: no secret or key for client tokens is configured", "api.keys: no secret or key for backends is configured")
	for _, hint := range []string{"--dev", "WEIR_AUTH_SECRET", "WEIR_API_KEY", "openssl rand"} {
		if !strings.Contains(err.Error(), hint) {
			t.Errorf("want %s in:\n%v", hint, err)
		}
	}
	_, _, err = loadText("", []string{"WEIR_AUTH_SECRET=short", "WEIR_API_KEY=short"}, nil)
	want(t, err, "WEIR_AUTH_SECRET: has 5 bytes", "WEIR_API_KEY: has 5 bytes")
}

func TestVariables(t *testing.T) {
	tests := []struct{ entry, want string }{
		{"WEIR_LISTN=:1", "WEIR_LISTN: unknown variable: did you mean WEIR_LISTEN?"},
		{"WEIR_API_KEE=x", "WEIR_API_KEE: unknown variable: did you mean WEIR_API_KEY?"},
		{"WEIR_LISTEN_ON=x", ""}, // three edits
		{"WEIR_=1", ""},
		{"WEIR_URL=http://127.0.0.1:8080", ""},
		{"WEIR_WEBHOOK_SECRET=whsec_x", ""},
		{"WEIR_AUTH_SECERT=x", "WEIR_AUTH_SECERT: unknown variable: did you mean WEIR_AUTH_SECRET?"},
		{"WEIR_DEV=true", "WEIR_DEV: unknown variable: development mode is the flag --dev"},
		{"WEIR_NAMESPACES_ROOM_SLOW=resync", "WEIR_NAMESPACES_ROOM_SLOW: unknown variable: namespaces are set in the file only"},
		{"WEIR_AUTH_KEYS=x", "WEIR_AUTH_KEYS: unknown variable: lists of keys"},
		{"WEIR_\x1b[31m=x", ""},
		{"WEIR_LIMITS_QUEUE=1MB", `WEIR_LIMITS_QUEUE: "1MB" is not a size`},
		{"WEIR_HEARTBEAT=1h", "WEIR_HEARTBEAT: 1h is out of range"},
		{"WEIR_SHARDS=\x1b", `WEIR_SHARDS: "\x1b" is not a whole number`},
		// What Kubernetes adds for a Service named weir is nobody's mistake.
		{"WEIR_SERVICE_HOST=10.0.0.1", ""},
		{"WEIR_SERVICE_PORT_HTTP=80", ""},
		{"WEIR_PORT=tcp://10.0.0.1:80", ""},
		{"WEIR_PORT_80_TCP_ADDR=10.0.0.1", ""},
		{"WEIR_ADMIN_PORT_9090_TCP=tcp://10.0.0.1:9090", ""},
		{"WEIRD=1", ""},
		{"WEIR_LISTN=", ""},
		{"NOTWEIR_LISTN=1", ""},
	}
	for _, tt := range tests {
		_, _, err := loadText("", append(keysEnv, tt.entry), nil)
		got := ""
		if err != nil {
			got = err.Error()
		}
		w := tt.want
		if (tt.want == "") != (got == "") || !strings.HasPrefix(got, w) {
			t.Errorf("%q: want %q, got %q", tt.entry, w, got)
		}
	}
}

// What begins like a variable of weir's and sets nothing is named, once, and is no reason not to start.
func TestUnusedVariables(t *testing.T) {
	loaded, err := Load(Source{Systems: systems(), Env: append(keysEnv,
		"WEIR_URL=http://x", "WEIR_WEBHOOK_SECRET=whsec_x", "WEIR_URL=http://y", "WEIR_\x1b[31m=x", "WEIR_=1", // named
		"WEIR_LISTEN=:1", "WEIR_CONFIG=x", "WEIR_EMPTY=", "WEIR_PORT=tcp://10.0.0.1:80", "WEIRD=1", "PATH=/", "alone",
	)})
	if want := []string{"WEIR_", `"WEIR_\x1b[31m"`, "WEIR_URL", "WEIR_WEBHOOK_SECRET"}; err != nil || !slices.Equal(loaded.Unused, want) {
		t.Errorf("want %q, got %q, %v", want, loaded.Unused, err)
	}
}

// Off loopback development mode wants keys of one's own, and says what to type.
func TestDevOffLoopback(t *testing.T) {
	const secret, key = "dev_token_secret", "dev_api_key"
	own := strings.Repeat("k", 32)
	for addr, local := range map[string]bool{
		"127.0.0.1:0": true, "127.9.9.9:1": true, "[::1]:1": true, "localhost:1": true, "[::ffff:127.0.0.1]:1": true,
		":8080": false, "0.0.0.0:1": false, "[::]:1": false, "192.168.0.1:1": false, "example.com:1": false,
	} {
		for _, flags := range []map[string]string{{}, {secret: own}, {key: own}} {
			flags["dev"], flags["listen"] = "true", addr
			_, _, err := loadText("", nil, flags)
			if (err == nil) != local {
				t.Errorf("%s: %v", addr, err)
			}
			if err != nil {
				want(t, err, "--listen: ")
			}
			if typed := `weir serve --dev --listen "` + addr + `" --dev-token-secret "$(openssl rand -hex 32)" --dev-api-key "$(openssl rand -hex 32)"`; err != nil && !strings.Contains(err.Error(), typed) {
				t.Errorf("want %s in %v", typed, err)
			}
		}
		c, _, err := loadText("", nil, map[string]string{"dev": "true", "listen": addr, secret: own, key: own})
		if err != nil || c.DevTokenSecret != own || c.DevAPIKey != own || c.DevLocal() != local {
			t.Errorf("%s with keys: %v", addr, err)
		}
	}
	both := []string{"WEIR_DEV_TOKEN_SECRET=" + own, "WEIR_DEV_API_KEY=" + own + "\r\n"}
	c, _, err := loadText("", both, map[string]string{"dev": "true", "listen": ":1"})
	if err != nil || c.DevTokenSecret != own || c.DevAPIKey != own {
		t.Errorf("variables: %v", err)
	}
	other := strings.Repeat("f", 32)
	if c, _, err = loadText("", both, map[string]string{"dev": "true", key: other}); err != nil || c.DevAPIKey != other || c.DevTokenSecret != own {
		t.Errorf("a flag before a variable: %v", err)
	}
	for flag, text := range map[[2]string]string{
		{secret, auth.DevSecret}: "--dev-token-secret: is the published secret",
		{secret, own[1:]}:        "--dev-token-secret: has 31 bytes: expected 32",
		{key, "dev"}:             "--dev-api-key: has 3 bytes: expected 32",
		{key, own + " "}:         "--dev-api-key: holds spaces",
		{key, own + "\n"}:        "--dev-api-key: the text holds a line break",
		{secret, ""}:             "--dev-token-secret: expected a secret",
	} {
		_, _, err := loadText("", nil, map[string]string{"dev": "true", flag[0]: flag[1]})
		want(t, err, text)
	}
	// Without --dev a flag is a mistake, and a variable one that is not used.
	_, _, err = loadText("", keysEnv, map[string]string{key: own})
	want(t, err, "--dev-api-key: goes with --dev only")
	loaded, err := Load(Source{Systems: systems(), Env: append(both, keysEnv...)})
	if notes := strings.Join(loaded.Notes, "\n"); err != nil || strings.Count(notes, "goes with --dev only") != 2 {
		t.Errorf("notes %q, %v", notes, err)
	}
}

// notifies is a configuration that notifies.
func notifies(section string) string { return "systems: [notify]\nnotify:\n  " + section }

// hook is a configuration with one webhook, of which one key is as given.
func hook(line string) string { return "systems: [webhook]\nwebhooks:\n" + hookLine(line) }

func hookLine(line string) string {
	keys := map[string]string{
		"name": "a", "url": "https://a.example/", "topics": "[\"*\"]", "secrets": "[whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD]",
	}
	name, value, _ := strings.Cut(line, ": ")
	keys[name] = value
	var list []string
	for _, name := range []string{"name", "url", "topics", "secrets", "timeout", "retry", "queue", "batch"} {
		if value, ok := keys[name]; ok {
			list = append(list, name+": "+value)
		}
	}
	return "- {" + strings.Join(list, ", ") + "}\n"
}

// alert is a configuration with one rule, of which some keys are as given.
func alert(line string) string {
	return "systems: [analytics]\nanalytics:\n  metrics: 10\n  alerts:\n" + alertLine(line)
}

func alertLine(line string) string {
	keys := map[string]string{"name": "a", "metric": "api.request", "threshold": "10"}
	for part := range strings.SplitSeq(line, ", ") {
		name, value, _ := strings.Cut(part, ": ")
		keys[name] = value
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(keys)) {
		list = append(list, name+": "+keys[name])
	}
	return "  - {" + strings.Join(list, ", ") + "}\n"
}
