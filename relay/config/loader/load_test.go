package loader

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/internal/units"
	"weir/relay/config"
	"weir/relay/systems/analytics"
	"weir/relay/systems/authz"
	"weir/relay/systems/chat"
	"weir/relay/systems/documents"
	"weir/relay/systems/feed"
	"weir/relay/systems/hooks"
	"weir/relay/systems/mercure"
	"weir/relay/systems/motia"
	"weir/relay/systems/notify"
	"weir/relay/systems/outbox"
	"weir/relay/systems/presence"
	"weir/relay/systems/pusher"
	"weir/relay/systems/webhook"
)

const secret = "0123456789abcdef0123456789abcdef"

// keys makes a configuration complete, in one line so that tests can count the others.
const keys = "{auth: {keys: [{algorithm: HS256, secret: " + secret + "}]}, api: {keys: [{name: app, secret: " + secret + "}]}}"

// keysEnv does so from outside the file.
var keysEnv = []string{"WEIR_AUTH_SECRET=" + secret, "WEIR_API_KEY=" + secret}

// systems are those that the tests set something about.
func systems() []config.System {
	return []config.System{
		chat.Module().System, presence.Module().System, feed.Module().System, notify.Module().System,
		documents.Module().System, analytics.Module().System, pusher.Module().System, mercure.Module().System, motia.Module().System, webhook.Module().System, authz.Module().System, hooks.Module().System, outbox.Module().System,
	}
}

func loadText(text string, env []string, flags map[string]string) (config.Config, Origins, error) {
	l := newLoader(systems())
	l.readYAML("weir.yaml", []byte(text))
	loaded, err := l.load(Source{Env: env, Flags: flags})
	return loaded.Config, loaded.Origins, err
}

func mustLoad(t *testing.T, text string, env []string, flags map[string]string) (config.Config, Origins) {
	t.Helper()
	c, o, err := loadText(text, append(keysEnv, env...), flags)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return c, o
}

func TestPrecedence(t *testing.T) {
	file := "listen: :1111\nheartbeat: 11s\nlimits:\n  per_address: 1\n  message: 1KiB\n"
	env := []string{"PATH=/bin", "WEIR_HEARTBEAT=12s", "WEIR_LIMITS_PER_ADDRESS=2", "WEIR_CONFIG=weir.yaml", "WEIR_LOG_LEVEL="}
	c, o := mustLoad(t, file, env, map[string]string{"limits.per_address": "3"})
	if c.Listen != ":1111" || c.Heartbeat != 12*time.Second || c.Limit.PerAddress != 3 ||
		c.Limit.Message != units.KiB || c.Limit.Queue != units.MiB || c.Log.Level != "info" {
		t.Errorf("got %+v", c)
	}
	for key, want := range map[string]string{
		"listen":                 "file weir.yaml:1",
		"heartbeat":              "env WEIR_HEARTBEAT",
		"limits.per_address":     "flag --limits-per-address",
		"limits.message":         "file weir.yaml:5",
		"limits.queue":           "default",
		"log.level":              "default",
		"auth.keys[0].secret":    "env WEIR_AUTH_SECRET",
		"auth.keys[0].algorithm": "env WEIR_AUTH_SECRET",
		"api.keys[0].name":       "env WEIR_API_KEY",
	} {
		if got := o[key].String(); got != want {
			t.Errorf("origin of %s: want %q, got %q", key, want, got)
		}
	}
}

func TestEveryKind(t *testing.T) {
	text := `
listen: "0.0.0.0:80"
compression: true
shards: 8
drain: 0s
origins: [https://app.example.com, "http://localhost:3000"]
trusted_proxies:
- 10.0.0.0/8
- ::1
auth:
  anonymous: true
  issuer: 0123
  keys:
    - id: k1
      algorithm: HS256
      secret: >-
        0123456789abcdef0123456789abcdef
limits: {message: 16KiB, commands: none, pings: 5/s}
namespaces:
  "room.a/b":
    history: {size: 0}
    batch:
      window: 0s
      eager: false
    slow: resync
    presence: false
    subscribe: public
    limits: {rate: 600/m}
  empty:
`
	c, o := mustLoad(t, text, nil, nil)
	n := c.Namespaces["room.a/b"]
	switch {
	case c.Listen != "0.0.0.0:80", !c.Compression, c.Shards != 8, c.Drain != config.Immediately:
		t.Errorf("top: %+v", c)
	case !reflect.DeepEqual(c.Origins, []string{"https://app.example.com", "http://localhost:3000"}):
		t.Errorf("origins: %q", c.Origins)
	case !reflect.DeepEqual(c.TrustedProxies, []string{"10.0.0.0/8", "::1"}):
		t.Errorf("proxies: %q", c.TrustedProxies)
	case c.Auth.Issuer != "0123", !c.Auth.Anonymous, len(c.Auth.Keys) != 2, c.Auth.Keys[0].Secret != secret:
		t.Errorf("auth: %+v", c.Auth)
	case c.Limit.Message != 16*units.KiB, c.Limit.Commands != config.Unlimited, c.Limit.Pings != units.Rate{Count: 5, Per: time.Second}:
		t.Errorf("limits: %+v", c.Limit)
	case *n.History.Size != 0, *n.Batch.Window != 0, *n.Batch.Eager, !*n.Batch.Conflate, n.Slow != config.Resync,
		*n.Presence, n.Subscribe != config.Public, n.Publish != config.Member, n.Limit.Rate != units.Rate{Count: 600, Per: time.Minute}, n.Limit.Message != 16*units.KiB:
		t.Errorf("namespace: %+v", n)
	case c.Namespaces["empty"].Publish != config.Member, c.Namespaces[config.DefaultNamespace].Subscribe != config.Member:
		t.Errorf("namespaces: %+v", c.Namespaces)
	}
	if got := o[`namespaces."room.a/b".batch.window`].String(); got != "file weir.yaml:23" {
		t.Errorf("origin of the window: %s", got)
	}
}

func TestListsFromOutsideReplace(t *testing.T) {
	c, o := mustLoad(t, "origins:\n- https://a.example\n- https://b.example\n", []string{"WEIR_ORIGINS=https://c.example, https://d.example,"}, nil)
	if !reflect.DeepEqual(c.Origins, []string{"https://c.example", "https://d.example"}) || o["origins"].Name != "WEIR_ORIGINS" {
		t.Errorf("got %q from %v", c.Origins, o["origins"])
	}
	_, _, err := loadText("", append(keysEnv, "WEIR_ORIGINS=https://c.example,nonsense"), nil)
	want(t, err, "WEIR_ORIGINS: \"nonsense\" is not an origin")
}

func TestKeysAddUp(t *testing.T) {
	c, _, err := loadText(keys, []string{"WEIR_AUTH_SECRET=" + secret + "2", "WEIR_API_KEY=" + secret + "2"}, nil)
	if err != nil || len(c.Auth.Keys) != 2 || len(c.API.Keys) != 2 || c.API.Keys[1].Name != "env" || c.Auth.Keys[1].Algorithm != "HS256" {
		t.Errorf("got %+v %+v, %v", c.Auth.Keys, c.API.Keys, err)
	}
}

func TestEmptyFiles(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "---\n# nothing\n...\n", "\ufeff", "\ufeff# x\n", "limits:\n", "auth:\n  keys:\n  # - id: a\n", "origins:\n", "{}"} {
		if c, _, err := loadText(text, keysEnv, nil); err != nil || c.Listen != "127.0.0.1:8080" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDev(t *testing.T) {
	c, o, err := loadText("log: {format: text}", nil, map[string]string{"dev": "true"})
	if err != nil {
		t.Fatal(err)
	}
	n := c.Namespaces[config.DefaultNamespace]
	if !c.Dev || n.Subscribe != config.Authenticated || n.Publish != config.Authenticated || *n.History.Size != 4096 || n.History.TTL != time.Hour {
		t.Errorf("got %+v", c)
	}
	for key, want := range map[string]string{"namespaces.default.history.size": "flag --dev", "namespaces.default.slow": "default", "log.format": "file weir.yaml:1"} {
		if got := o[key].String(); got != want {
			t.Errorf("origin of %s: want %q, got %q", key, want, got)
		}
	}
	c, _, err = loadText("namespaces: {default: {slow: resync}}", nil, map[string]string{"dev": "true"})
	if err != nil || c.Namespaces[config.DefaultNamespace].Subscribe != config.Member {
		t.Errorf("a default namespace that is written down: %+v, %v", c.Namespaces, err)
	}
}

func TestFileErrors(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.yaml")
	_, err := Load(Source{Systems: systems(), File: missing, Env: keysEnv})
	want(t, err, missing+": no such file")
	_, err = Load(Source{Systems: systems(), File: missing, Env: []string{"WEIR_LISTN=1"}})
	want(t, err, missing+": no such file", "WEIR_LISTN: unknown variable")
	if len(strings.Split(err.Error(), "\n")) != 2 {
		t.Errorf("keys that may be in the file are missed: %v", err)
	}
	_, err = Load(Source{Systems: systems(), File: dir, Env: keysEnv})
	want(t, err, dir+": is a directory")
	big := filepath.Join(dir, "big.yaml")
	if err := os.WriteFile(big, []byte(strings.Repeat("#", maxFile+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(Source{Systems: systems(), File: big, Env: keysEnv})
	want(t, err, big+": larger than 256 KiB")
	good := filepath.Join(dir, "good.yaml")
	if err := os.WriteFile(good, []byte("listen: :1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Load(Source{Systems: systems(), File: good, Env: keysEnv}); err != nil || l.Config.Listen != ":1" || l.Origins["listen"].Line != 1 {
		t.Errorf("got %v %v %v", l.Config.Listen, l.Origins["listen"], err)
	}
}

// want checks that err is problems, one line of which begins with each prefix.
func want(t *testing.T, err error, prefixes ...string) {
	t.Helper()
	var problems problems
	if !errors.As(err, &problems) {
		t.Errorf("want problems, got %v", err)
		return
	}
	lines := strings.Split(err.Error(), "\n")
	for _, p := range prefixes {
		found := false
		for _, l := range lines {
			found = found || strings.HasPrefix(l, p)
		}
		if !found {
			t.Errorf("want %q in:\n%v", p, err)
		}
	}
}
