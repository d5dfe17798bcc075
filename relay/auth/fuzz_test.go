package auth

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzVerify: no token panics, every refusal has a known reason, and what is accepted an independent
// parser accepts, too.
func FuzzVerify(f *testing.F) {
	v := newVerifier(f, all(f))
	good := hs(secret, "hs", fullClaims())
	f.Add(good)
	f.Add(raw(secret, `{"alg":"none"}`, `{"sub":"u1"}`))
	f.Add(raw(secret, `{"alg":"HS256","kid":"hs"}`, `{"sub":"u1","exp":1e300}`))
	f.Add("..")
	f.Add(good[:len(good)-1])
	f.Add(b64(`{"alg":"ES256","kid":"es"}`) + ".." + b64(strings.Repeat("x", 64)))
	f.Add(b64(`{"alg":"RS256","kid":"rs"}`) + ".." + b64(strings.Repeat("x", 256)))
	f.Fuzz(func(t *testing.T, token string) {
		id, err := v.Verify(token)
		if err != nil {
			if id != nil || !slices.Contains(Reasons(), ReasonOf(err)) {
				t.Fatalf("%v, %v", id, err)
			}
			return
		}
		parsed, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return []byte(secret), nil },
			jwt.WithValidMethods([]string{hs256}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(atNoon))
		if err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		if sub, _ := parsed.Claims.GetSubject(); sub != id.User {
			t.Fatalf("user %q, but sub is %q", id.User, sub)
		}
	})
}

// FuzzClaims signs whatever it is given: what issuers may say.
func FuzzClaims(f *testing.F) {
	v := newVerifier(f, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}})
	f.Add([]byte(claimsText("")))
	f.Add([]byte(claimsText(`,"roles":["a"],"channels":{"room:*":["subscribe"],"user:{user}":["*"]},"name":"A\u00e9"`)))
	f.Add([]byte(claimsText(`,"channels":[{"pattern":"a:*","ops":["history"]}],"aud":["x"],"iss":"y","nbf":1,"iat":1.5e3`)))
	f.Add([]byte(`{"sub":"\ud800","exp":9999999999}`))
	f.Add([]byte(`{"sub":"a","sub":"b","exp":9999999999}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		token := raw(secret, `{"alg":"HS256"}`, string(text))
		id, err := v.Verify(token)
		if err != nil {
			wantReason(t, err, ReasonOf(err), "")
			return
		}
		if id.User == "" || len(id.User) > maxUser || len(id.Roles) > maxRoles || len(id.Grants) > maxGrants {
			t.Fatalf("identity out of bounds: %+v", id)
		}
		var want struct {
			Sub, Name, Avatar string
			Roles             []string
		}
		// By way of a map, since struct fields match names in any case.
		var exact map[string]json.RawMessage
		if err := json.Unmarshal(text, &exact); err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		for name, into := range map[string]any{"sub": &want.Sub, "name": &want.Name, "avatar": &want.Avatar, "roles": &want.Roles} {
			if exact[name] != nil {
				if err := json.Unmarshal(exact[name], into); err != nil {
					t.Fatal(err)
				}
			}
		}
		if id.User != want.Sub || id.Name != want.Name || id.Avatar != want.Avatar || !slices.Equal(id.Roles, want.Roles) {
			t.Fatalf("identity %+v, want %+v", id, want)
		}
		for _, g := range id.Grants {
			if g.Ops == 0 || g.Ops > AllOps || strings.ContainsAny(g.Pattern, "{} \n") || strings.Count(g.Pattern, "*") > 1 {
				t.Fatalf("grant %+v", g)
			}
		}
	})
}

// FuzzMatchPattern holds the matcher against a plainer one, and expansion against both.
func FuzzMatchPattern(f *testing.F) {
	for _, seed := range [][2]string{{"room:*", "room:42"}, {"*", "x"}, {"room:42", "room:42"}, {"ro*m", "room"}, {":*", ":"}, {"", ""}, {"dm:{user}:*", "a:b"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, channel string) {
		want := pattern != "" && channel == pattern && !strings.Contains(pattern, "*")
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && !strings.Contains(prefix, "*") && (prefix == "" || strings.HasSuffix(prefix, ":")) {
			rest, ok := strings.CutPrefix(channel, prefix)
			want = ok && rest != ""
		}
		if got := MatchPattern(pattern, channel); got != want {
			t.Fatalf("MatchPattern(%q, %q) = %v", pattern, channel, got)
		}
		// With channel as the user: whatever is expanded has as many segments and stars as before.
		expanded, err := expandPattern(pattern, channel)
		if err != nil {
			return
		}
		if len(expanded) > maxChannel || strings.Count(expanded, "*") != strings.Count(pattern, "*") || strings.Count(expanded, ":") != strings.Count(pattern, ":") {
			t.Fatalf("expandPattern(%q, %q) = %q", pattern, channel, expanded)
		}
	})
}

// FuzzKeySet: no key set panics, and what is taken is sound.
func FuzzKeySet(f *testing.F) {
	f.Add(setOf(map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB"}))
	f.Add(setOf(map[string]any{"kty": "EC", "crv": "P-256", "x": b64(strings.Repeat("x", 32)), "y": b64(strings.Repeat("y", 32))}))
	f.Add(setOf(map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": b64(strings.Repeat("x", 32))}))
	f.Add(setOf(map[string]any{"kty": "oct", "k": "AAAA"}))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeySet(text)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for id, list := range keys {
			for _, k := range list {
				if k.public == nil || k.alg == hs256 || (id != "" && !ValidKeyID(id)) {
					t.Fatalf("key %q: %+v", id, k)
				}
				k.verify("text", make([]byte, 64))
			}
		}
	})
}
