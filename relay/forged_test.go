package relay

import (
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
	"time"

	"github.com/golang-jwt/jwt/v5"

	"weir/relay/auth"
	"weir/relay/config"
)

// segment is a part of a token.
func segment(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// Forged tokens are refused before the upgrade, on both transports.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := openConfig()
	cfg.Auth.Keys = append(cfg.Auth.Keys, config.TokenKey{ID: "rs", Algorithm: "RS256", File: file})
	cfg.Auth.Issuer, cfg.Auth.Audience = "issuer", "weir"
	cfg.Auth.Cookie = "session"
	g := launch(t, cfg)
	claims := func(change ...any) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix(), "iss": "issuer", "aud": "weir"}
		for i := 0; i < len(change); i += 2 {
			if change[i+1] == nil {
				delete(c, change[i].(string))
			} else {
				c[change[i].(string)] = change[i+1]
			}
		}
		return c
	}
	sign := func(m jwt.SigningMethod, with any, header map[string]any, c jwt.MapClaims) string {
		token := jwt.NewWithClaims(m, c)
		for k, v := range header {
			token.Header[k] = v
		}
		s, err := token.SignedString(with)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	hs := func(c jwt.MapClaims) string { return sign(jwt.SigningMethodHS256, []byte(tokenSecret), nil, c) }
	rs := map[string]any{"kid": "rs"}
	good := hs(claims())
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"good":                            good,
		"good RS":                         sign(jwt.SigningMethodRS256, key, rs, claims()),
		"good list":                       hs(claims("aud", []string{"x", "weir"})),
		"issued by a clock that is ahead": hs(claims("iat", time.Now().Add(time.Hour).Unix())),
	} {
		if a := g.shake("/ws", "Authorization: Bearer "+token); a.StatusCode != 101 {
			t.Errorf("%s: %d", name, a.StatusCode)
		}
	}
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	for name, token := range map[string]string{
		"none":                        segment(map[string]string{"alg": "none"}) + "." + parts[1] + ".",
		"None":                        segment(map[string]string{"alg": "None"}) + "." + parts[1] + ".",
		"none, signed":                segment(map[string]string{"alg": "none"}) + "." + parts[1] + "." + parts[2],
		"no algorithm":                segment(map[string]string{"typ": "JWT"}) + "." + parts[1] + "." + parts[2],
		"HS384":                       sign(jwt.SigningMethodHS384, []byte(tokenSecret), nil, claims()),
		"HS with the RS key":          sign(jwt.SigningMethodHS256, text, rs, claims()),
		"HS with the RS key, bare":    sign(jwt.SigningMethodHS256, public, rs, claims()),
		"HS with the secret, as rs":   sign(jwt.SigningMethodHS256, []byte(tokenSecret), rs, claims()),
		"RS without kid":              sign(jwt.SigningMethodRS256, key, nil, claims()),
		"PS256":                       sign(jwt.SigningMethodPS256, key, rs, claims()),
		"another secret":              sign(jwt.SigningMethodHS256, []byte(tokenSecret+"x"), nil, claims()),
		"the published secret":        sign(jwt.SigningMethodHS256, []byte(auth.DevSecret), nil, claims()),
		"an empty secret":             sign(jwt.SigningMethodHS256, []byte{}, nil, claims()),
		"unknown kid":                 sign(jwt.SigningMethodHS256, []byte(tokenSecret), map[string]any{"kid": "x"}, claims()),
		"kid like a path":             sign(jwt.SigningMethodHS256, []byte(tokenSecret), map[string]any{"kid": "../../dev/null"}, claims()),
		"kid like SQL":                sign(jwt.SigningMethodHS256, []byte(tokenSecret), map[string]any{"kid": "' OR 1=1--"}, claims()),
		"kid a number":                sign(jwt.SigningMethodHS256, []byte(tokenSecret), map[string]any{"kid": 1}, claims()),
		"jku":                         sign(jwt.SigningMethodHS256, []byte(tokenSecret), map[string]any{"jku": "https://evil.example/k"}, claims()),
		"x5u":                         sign(jwt.SigningMethodHS256, []byte(tokenSecret), map[string]any{"x5u": "https://evil.example/k"}, claims()),
		"jwk":                         sign(jwt.SigningMethodHS256, []byte(tokenSecret), map[string]any{"jwk": map[string]string{"kty": "oct"}}, claims()),
		"crit":                        sign(jwt.SigningMethodHS256, []byte(tokenSecret), map[string]any{"crit": []string{"exp"}}, claims()),
		"b64 false":                   sign(jwt.SigningMethodHS256, []byte(tokenSecret), map[string]any{"b64": false, "crit": []string{"b64"}}, claims()),
		"expired":                     hs(claims("exp", past)),
		"no exp":                      hs(claims("exp", nil)),
		"exp a string":                hs(claims("exp", fmt.Sprint(future))),
		"exp beyond all":              hs(claims("exp", 1e300)),
		"not yet":                     hs(claims("nbf", future)),
		"another issuer":              hs(claims("iss", "evil")),
		"no issuer":                   hs(claims("iss", nil)),
		"another audience":            hs(claims("aud", "evil")),
		"no audience":                 hs(claims("aud", nil)),
		"no sub":                      hs(claims("sub", nil)),
		"empty sub":                   hs(claims("sub", "")),
		"sub a number":                hs(claims("sub", 1)),
		"sub with a line break":       hs(claims("sub", "a\r\nb")),
		"sub too long for a channel":  hs(claims("sub", strings.Repeat("é", 64))),
		"no signature":                parts[0] + "." + parts[1] + ".",
		"two parts":                   parts[0] + "." + parts[1],
		"four parts":                  good + "." + parts[2],
		"five parts":                  good + "..",
		"a changed signature":         parts[0] + "." + parts[1] + "." + flip(parts[2]),
		"changed claims":              parts[0] + "." + segment(claims("sub", "admin")) + "." + parts[2],
		"another signature's padding": good + "=",
		"over 8 KiB":                  hs(claims("x", strings.Repeat("x", 6<<10))),
		"junk":                        "junk",
		"dots":                        "..",
		"an API key":                  apiKey,
	} {
		lines := []string{"Authorization: Bearer " + token}
		if len(token) > 7<<10 {
			if a := g.shake("/ws", lines...); a.StatusCode != 401 && a.StatusCode != 431 {
				t.Errorf("%s: %d", name, a.StatusCode)
			}
			continue
		}
		for _, l := range [][]string{lines, {"Cookie: session=" + token}, {"Sec-WebSocket-Protocol: weir, token." + token}} {
			if strings.ContainsAny(token, "=") && l[0][0] != 'A' {
				continue
			}
			a := g.shake("/ws", l...)
			if a.StatusCode != 401 || !strings.Contains(a.body, `"unauthorized"`) {
				t.Errorf("%s, %.20s: /ws answers %d %s, want 401", name, l[0], a.StatusCode, a.body)
			}
		}
		if a := g.ask("GET", "/sse?channel=a", "", lines...); a.StatusCode != 401 {
			t.Errorf("%s: /sse answers %d, want 401", name, a.StatusCode)
		}
	}
	if a := g.shake("/ws"); a.StatusCode != 401 {
		t.Errorf("no token: %d", a.StatusCode)
	}
	if a := g.shake("/ws?token=" + good); a.StatusCode != 401 {
		t.Errorf("a token in the query, which is off by default: %d", a.StatusCode)
	}
	if n := g.relay.sessions.Len(); n > 3 {
		t.Errorf("%d sessions", n)
	}
}

// flip changes the first character of a part of a token.
func flip(s string) string {
	if s[0] == 'A' {
		return "B" + s[1:]
	}
	return "A" + s[1:]
}

// While the keys of a JWKS have never been fetched, tokens of unknown keys cannot be judged: try again.
func TestKeysAreNotThereYet(t *testing.T) {
	t.Parallel()
	var there atomic.Bool
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !there.Load() {
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(`{"keys":[]}`))
	}))
	defer keys.Close()
	cfg := openConfig()
	cfg.Auth.JWKS = config.JWKS{URL: keys.URL, AllowInsecure: true}
	g := launch(t, cfg)
	token := segment(map[string]string{"alg": "RS256", "kid": "k"}) + "." + segment(map[string]any{"sub": "u"}) + "." + strings.Repeat("A", 342)
	a := g.shake("/ws", "Authorization: Bearer "+token)
	if a.StatusCode != 503 || a.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s, want 503 and Retry-After", a.StatusCode, a.body)
	}
	g.ws("u1").alive()
}

// Without a token a client gets in only where that is configured, and then to public channels only.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Auth.Anonymous = true
	cfg.Namespaces["news"] = config.Namespace{Subscribe: config.Public, Publish: config.Backend}
	g := launch(t, cfg)
	p := g.wsOn(g.dial(), "/ws")
	if p.hello.UserID != "" {
		t.Errorf("%s", p.hello.raw)
	}
	p.say(`{"type":"subscribe","channel":"news:1"}`)
	p.want("subscribed")
	for _, ch := range []string{"a", "closed:1", "user:", "user:u1", "presence:a", "event:message.received"} {
		p.say(`{"type":"subscribe","channel":"` + ch + `"}`)
		p.wantError("forbidden")
	}
	p.say(`{"type":"publish","channel":"news:1","data":1}`)
	p.wantError("forbidden")
	if a := g.shake("/ws", "Authorization: Bearer junk"); a.StatusCode != 401 {
		t.Errorf("a token that does not hold: %d", a.StatusCode)
	}
	if m := p.refresh(mint(t, "u1")); m.Code != "forbidden" {
		t.Errorf("an anonymous client becomes %s", m.raw)
	}
	for range 100 { // they are no user, so the limit of one does not count them
		g.wsOn(g.dial(), "/ws").alive()
	}
}
