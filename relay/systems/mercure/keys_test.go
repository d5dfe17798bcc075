package mercure_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/mercure"
)

var everything = jwt.MapClaims{"mercure": map[string]any{"publish": []string{"*"}, "subscribe": []string{"*"}}}

// sign signs the claims of a token for everything.
func sign(t testing.TB, method jwt.SigningMethod, key any, id string) string {
	t.Helper()
	token := jwt.NewWithClaims(method, everything)
	if id != "" {
		token.Header["kid"] = id
	}
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// publicFile is a file with a public key.
func publicFile(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestAlgorithms takes tokens of each algorithm that has a key, and none of another: a public key is no secret.
func TestAlgorithms(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rFile, eFile := publicFile(t, &r.PublicKey), publicFile(t, &e.PublicKey)
	short := []byte("ten bytes!")
	g := start(t, func(_ *config.Config, c *mercure.Config) {
		c.Publisher = []mercure.Key{
			{Algorithm: "HS256", Secret: string(short)}, {Algorithm: "HS384", Secret: string(short)}, {Algorithm: "HS512", Secret: string(short)},
			{Algorithm: "RS256", File: rFile}, {Algorithm: "PS512", File: rFile}, {Algorithm: "ES384", File: eFile},
		}
	})
	public, err := os.ReadFile(rFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		token  string
		status int
	}{
		"HS256":                      {sign(t, jwt.SigningMethodHS256, short, ""), 200},
		"HS384":                      {sign(t, jwt.SigningMethodHS384, short, ""), 200},
		"HS512":                      {sign(t, jwt.SigningMethodHS512, short, ""), 200},
		"RS256":                      {sign(t, jwt.SigningMethodRS256, r, ""), 200},
		"PS512":                      {sign(t, jwt.SigningMethodPS512, r, ""), 200},
		"ES384":                      {sign(t, jwt.SigningMethodES384, e, ""), 200},
		"an algorithm without a key": {sign(t, jwt.SigningMethodRS512, r, ""), 401},
		"a public key as a secret":   {sign(t, jwt.SigningMethodHS256, public, ""), 401},
		"another secret":             {sign(t, jwt.SigningMethodHS256, []byte("ten bytes?"), ""), 401},
		"the subscribers' key":       {sign(t, jwt.SigningMethodHS256, []byte(mercure.DevKey), ""), 401},
	} {
		if status, _, body := g.post("topic=a", bearer(x.token)); status != x.status {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if status, _, _ := g.request("GET", path+"?topic=a", "", bearer(sign(t, jwt.SigningMethodHS256, short, ""))); status != 401 {
		t.Error("the publishers' key subscribes:", status)
	}
}

// keySet is a server of a key set whose keys can be replaced.
type keySet struct {
	*httptest.Server
	body    atomic.Pointer[string]
	fetches atomic.Int64
}

func serveKeys(t *testing.T) *keySet {
	s := &keySet{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fetches.Add(1)
		body := s.body.Load()
		if body == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(*body))
	}))
	t.Cleanup(s.Close)
	return s
}

// set serves the public keys of ids.
func (s *keySet) set(keys map[string]*rsa.PrivateKey) {
	type entry map[string]string
	var list []entry
	for id, k := range keys {
		list = append(list, entry{"kty": "RSA", "kid": id, "alg": "RS256", "use": "sig",
			"n": base64.RawURLEncoding.EncodeToString(k.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString([]byte{1, 0, 1})})
	}
	b, _ := json.Marshal(map[string]any{"keys": list})
	text := string(b)
	s.body.Store(&text)
}

// TestKeySet takes tokens of the keys of a key set, also of one that has just been added there, beside a secret.
func TestKeySet(t *testing.T) {
	one, _ := rsa.GenerateKey(rand.Reader, 2048)
	two, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := serveKeys(t)
	g := start(t, func(_ *config.Config, c *mercure.Config) {
		c.Publisher = []mercure.Key{{JWKS: auth.JWKS{URL: keys.URL, AllowInsecure: true}}}
		c.Subscriber = append(c.Subscriber, c.Publisher[0])
	})
	if status, h, _ := g.post("topic=a", bearer(sign(t, jwt.SigningMethodRS256, one, "1"))); status != 503 || h.Get("Retry-After") == "" {
		t.Error("no keys yet:", status, h)
	}
	keys.set(map[string]*rsa.PrivateKey{"1": one})
	relaytest.Until(t, "the keys are fetched", func() bool {
		status, _, _ := g.post("topic=a", bearer(sign(t, jwt.SigningMethodRS256, one, "1")))
		return status == 200
	})
	for name, token := range map[string]string{
		"another key":     sign(t, jwt.SigningMethodRS256, two, "1"),
		"an unknown id":   sign(t, jwt.SigningMethodRS256, two, "3"),
		"no id":           sign(t, jwt.SigningMethodRS256, one, ""),
		"another alg":     sign(t, jwt.SigningMethodRS512, one, "1"),
		"a secret's":      sign(t, jwt.SigningMethodHS256, []byte(mercure.DevKey), ""),
		"a secret's, kid": sign(t, jwt.SigningMethodHS256, []byte(mercure.DevKey), "1"),
	} {
		if status, _, _ := g.post("topic=a", bearer(token)); status != 401 {
			t.Error(name, status)
		}
	}
	keys.set(map[string]*rsa.PrivateKey{"2": two})
	relaytest.Until(t, "a new key is fetched", func() bool {
		status, _, _ := g.post("topic=a", bearer(sign(t, jwt.SigningMethodRS256, two, "2")))
		return status == 200
	})
	s := g.follow("topic=a", bearer(sign(t, jwt.SigningMethodRS256, two, "2")))
	other := g.follow("topic=a", bearer(sign(t, jwt.SigningMethodHS256, []byte(mercure.DevKey), "")))
	if status, _, _ := g.post("topic=a&private=on&data=x", bearer(sign(t, jwt.SigningMethodRS256, two, "2"))); status != 200 {
		t.Fatal(status)
	}
	expect(t, s, "x")
	expect(t, other, "x")
}

// TestReload replaces keys, origins and who is let in while streams are open.
func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(secret string) {
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("the first secret")
	system := mercure.New()
	var cfg config.Config
	g := rig{relaytest.Start(t, func(c *config.Config) {
		own := config.Of[mercure.Config](c)
		own.Publisher, own.Subscriber = []mercure.Key{{File: file}}, []mercure.Key{{File: file}}
		own.Anonymous = true
		cfg = c.Clone()
	}, system)}
	first, second := sign(t, jwt.SigningMethodHS256, []byte("the first secret"), ""), sign(t, jwt.SigningMethodHS256, []byte("the second secret"), "")
	s := g.follow("topic=a", bearer(first))
	publish := func(token string) int {
		status, _, _ := g.post("topic=a&data=x", bearer(token))
		return status
	}
	if a, b := publish(first), publish(second); a != 200 || b != 401 {
		t.Fatal(a, b)
	}
	expect(t, s, "x")
	reload := func(change func(c *mercure.Config)) error {
		c := cfg.Clone()
		change(config.Of[mercure.Config](&c))
		if err := c.Complete(); err != nil {
			return err
		}
		return system.Reload(&c)
	}
	write("the second secret")
	if err := reload(func(c *mercure.Config) { c.Anonymous, c.CORSOrigins = false, []string{"https://new.example"} }); err != nil {
		t.Fatal(err)
	}
	if a, b := publish(first), publish(second); a != 401 || b != 200 {
		t.Error("after a reload:", a, b)
	}
	expect(t, s, "x") // streams stay
	if status, _, _ := g.request("GET", path+"?topic=a", ""); status != 401 {
		t.Error("anonymous after a reload:", status)
	}
	if _, h, _ := g.request("OPTIONS", path, "", "Origin: https://new.example", "Access-Control-Request-Method: GET"); h.Get("Access-Control-Allow-Origin") == "" {
		t.Error("origins after a reload:", h)
	}
	keys := serveKeys(t)
	set := mercure.Key{JWKS: auth.JWKS{URL: keys.URL, AllowInsecure: true}}
	if err := reload(func(c *mercure.Config) { c.Publisher = append(c.Publisher, set) }); err != nil {
		t.Fatal(err)
	}
	relaytest.Until(t, "the key set is fetched", func() bool { return keys.fetches.Load() > 0 })
	write("") // cannot be a key: nothing changes
	if err := reload(func(c *mercure.Config) { c.Publisher = []mercure.Key{{Algorithm: "RS256", File: file}} }); err == nil {
		t.Error("a key that is none was taken")
	}
	if a := publish(second); a != 200 {
		t.Error("after a reload that failed:", a)
	}
}

// TestChecks finds what is wrong with settings.
func TestChecks(t *testing.T) {
	for name, x := range map[string]struct {
		change func(c *mercure.Config)
		want   string
	}{
		"9 bytes":         {func(c *mercure.Config) { c.Publisher = []mercure.Key{{Secret: "123456789"}} }, "9 bytes: expected at least 10"},
		"secret and file": {func(c *mercure.Config) { c.Publisher = []mercure.Key{{Secret: "1234567890", File: "x"}} }, "expected one of secret, file and jwks.url"},
		"secret and jwks": {func(c *mercure.Config) {
			c.Publisher = []mercure.Key{{Secret: "1234567890", JWKS: auth.JWKS{URL: "https://x"}}}
		}, "expected one of secret, file and jwks.url"},
		"no key":            {func(c *mercure.Config) { c.Publisher = nil }, "expected a key, or nobody could publish"},
		"a plain key set":   {func(c *mercure.Config) { c.Publisher = []mercure.Key{{JWKS: auth.JWKS{URL: "http://x"}}} }, "not an https address"},
		"a secret of RS256": {func(c *mercure.Config) { c.Publisher = []mercure.Key{{Algorithm: "RS256", Secret: "1234567890"}} }, "has a public key: expected file"},
		"no origin":         {func(c *mercure.Config) { c.CORSOrigins = []string{"example.com"} }, "is not an origin"},
		"no address":        {func(c *mercure.Config) { c.URL = "example.com" }, "not an address"},
		"no cookie":         {func(c *mercure.Config) { c.Cookie = new("a b") }, "is not the name of a cookie"},
	} {
		own := &mercure.Config{Publisher: []mercure.Key{{Secret: mercure.DevKey}}, Subscriber: []mercure.Key{{Secret: mercure.DevKey}}}
		x.change(own)
		c := config.Config{Known: []config.System{mercure.Module().System}, Systems: []string{mercure.Name}, Sections: []config.Section{own},
			Auth: config.Auth{Keys: []config.TokenKey{{Algorithm: "HS256", Secret: strings.Repeat("s", 32)}}}, API: config.API{Keys: []config.APIKey{{Name: "a", Secret: strings.Repeat("k", 32)}}}}
		if err := c.Complete(); err != nil {
			t.Fatal(err)
		}
		found := fmt.Sprint(config.Check(c).Problems)
		if !strings.Contains(found, x.want) {
			t.Errorf("%s: %s, want %s", name, found, x.want)
		}
	}
}
