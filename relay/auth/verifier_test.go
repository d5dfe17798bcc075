package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func kid(id string) map[string]any { return map[string]any{"kid": id} }

// all is a configuration with one key of each algorithm.
func all(t testing.TB) Config {
	return Config{Keys: []TokenKey{
		{ID: "hs", Algorithm: "HS256", Secret: secret},
		{ID: "rs", Algorithm: "RS256", File: writeFile(t, pkix(&rsaKey().PublicKey))},
		{ID: "es", Algorithm: "ES256", File: writeFile(t, pkix(&ecKey().PublicKey))},
		{ID: "ed", Algorithm: "EdDSA", File: writeFile(t, pkix(ed25519Key().Public()))},
	}}
}

func TestVerifyAlgorithms(t *testing.T) {
	v := newVerifier(t, all(t))
	for _, token := range []string{
		sign(jwt.SigningMethodHS256, []byte(secret), kid("hs"), claimsAt()),
		sign(jwt.SigningMethodRS256, rsaKey(), kid("rs"), claimsAt()),
		sign(jwt.SigningMethodES256, ecKey(), kid("es"), claimsAt()),
		sign(jwt.SigningMethodEdDSA, ed25519Key(), kid("ed"), claimsAt()),
		sign(jwt.SigningMethodHS256, []byte(secret), map[string]any{"kid": "hs", "typ": "at+JWT", "x5t": "abc"}, claimsAt()),
		sign(jwt.SigningMethodHS256, []byte(secret), map[string]any{"kid": "hs", "typ": nil}, claimsAt()),
		sign(jwt.SigningMethodHS256, []byte(secret), map[string]any{"kid": "hs", "typ": "application/at+jwt"}, claimsAt()),
	} {
		id, err := v.Verify(token)
		if err != nil {
			t.Fatal(err)
		}
		if id.User != "u1" || !id.Expires.Time().Equal(noon.Add(time.Hour)) || id.Anonymous {
			t.Errorf("identity = %+v", id)
		}
	}
}

func TestForgedTokens(t *testing.T) {
	v := newVerifier(t, all(t))
	good := hs(secret, "hs", claimsAt())
	part := strings.Split(good, ".")
	ok := string(must(strict.DecodeString(part[1])))
	public := pkix(&rsaKey().PublicKey)
	header := func(extra string) string { return raw(secret, `{"alg":"HS256","kid":"hs"`+extra+`}`, ok) }
	flipped := []byte(good)
	flipped[len(part[0])+5] ^= 1
	otherEC := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	es := sign(jwt.SigningMethodES256, ecKey(), kid("es"), claimsAt())

	for _, tt := range []struct {
		name, token string
		want        Reason
	}{
		{"empty", "", ReasonMissing},
		{"one part", part[0], ReasonMalformed},
		{"two parts", part[0] + "." + part[1], ReasonMalformed},
		{"four parts", good + ".x", ReasonMalformed},
		{"dots", "...", ReasonMalformed},
		{"two dots", "..", ReasonMalformed},
		{"not base64", "!." + part[1] + "." + part[2], ReasonMalformed},
		{"padding", part[0] + "==." + part[1] + "." + part[2], ReasonMalformed},
		{"line break in the signature", good[:len(good)-4] + "\n" + good[len(good)-4:], ReasonMalformed},
		{"space in front", " " + good, ReasonMalformed},
		{"Bearer in front", "Bearer " + good, ReasonMalformed},
		{"over 8 KiB", good + strings.Repeat("A", MaxToken), ReasonMalformed},
		{"8 KiB header", strings.Repeat("A", 4000) + "." + part[1] + "." + part[2], ReasonMalformed},
		{"8 KiB signature", part[0] + "." + part[1] + "." + strings.Repeat("A", 4000), ReasonMalformed},

		{"alg none", b64(`{"alg":"none","kid":"hs"}`) + "." + part[1] + ".", ReasonAlgorithm},
		{"alg None", b64(`{"alg":"None","kid":"hs"}`) + "." + part[1] + ".", ReasonAlgorithm},
		{"alg none with a signature", raw(secret, `{"alg":"none","kid":"hs"}`, ok), ReasonAlgorithm},
		{"no alg", raw(secret, `{"kid":"hs"}`, ok), ReasonAlgorithm},
		{"alg null", raw(secret, `{"alg":null,"kid":"hs"}`, ok), ReasonAlgorithm},
		{"alg a list", raw(secret, `{"alg":["HS256"],"kid":"hs"}`, ok), ReasonAlgorithm},
		{"alg hs256", raw(secret, `{"alg":"hs256","kid":"hs"}`, ok), ReasonAlgorithm},
		{"Alg", raw(secret, `{"Alg":"HS256","kid":"hs"}`, ok), ReasonAlgorithm},
		{"HS384", sign(jwt.SigningMethodHS384, []byte(secret), kid("hs"), claimsAt()), ReasonAlgorithm},
		{"PS256", sign(jwt.SigningMethodPS256, rsaKey(), kid("rs"), claimsAt()), ReasonAlgorithm},
		{"alg twice", raw(secret, `{"alg":"HS256","alg":"HS256","kid":"hs"}`, ok), ReasonMalformed},

		{"HS with the RSA public key", sign(jwt.SigningMethodHS256, []byte(public), kid("rs"), claimsAt()), ReasonAlgorithm},
		{"HS with the RSA modulus", sign(jwt.SigningMethodHS256, rsaKey().N.Bytes(), kid("rs"), claimsAt()), ReasonAlgorithm},
		{"HS with the EC public key", sign(jwt.SigningMethodHS256, []byte(pkix(&ecKey().PublicKey)), kid("es"), claimsAt()), ReasonAlgorithm},
		{"RS under the kid of HS", sign(jwt.SigningMethodRS256, rsaKey(), kid("hs"), claimsAt()), ReasonAlgorithm},
		{"ES under the kid of RS", sign(jwt.SigningMethodES256, ecKey(), kid("rs"), claimsAt()), ReasonAlgorithm},

		{"unknown kid", hs(secret, "nobody", claimsAt()), ReasonKey},
		{"no kid", hs(secret, "", claimsAt()), ReasonKey},
		{"empty kid", sign(jwt.SigningMethodHS256, []byte(secret), kid(""), claimsAt()), ReasonKey},
		{"kid in another case", hs(secret, "HS", claimsAt()), ReasonKey},
		{"kid up the tree", sign(jwt.SigningMethodHS256, []byte(""), kid("../../../dev/null"), claimsAt()), ReasonKey},
		{"kid a device", sign(jwt.SigningMethodHS256, []byte(""), kid("/dev/null"), claimsAt()), ReasonKey},
		{"kid a file url", hs(secret, "file:///etc/passwd", claimsAt()), ReasonKey},
		{"kid with backslashes", hs(secret, `..\..\x`, claimsAt()), ReasonKey},
		{"kid with NUL", raw(secret, `{"alg":"HS256","kid":"hs\u0000"}`, ok), ReasonKey},
		{"kid SQL", hs(secret, `x' UNION SELECT 'k`, claimsAt()), ReasonKey},
		{"kid a number", raw(secret, `{"alg":"HS256","kid":1}`, ok), ReasonKey},
		{"kid null", raw(secret, `{"alg":"HS256","kid":null}`, ok), ReasonKey},
		{"kid huge", hs(secret, strings.Repeat("k", 129), claimsAt()), ReasonKey},
		{"kid twice", raw(secret, `{"alg":"HS256","kid":"hs","kid":"hs"}`, ok), ReasonMalformed},
		{"kid twice, one escaped", raw(secret, `{"alg":"HS256","kid":"hs","\u006bid":"hs"}`, ok), ReasonMalformed},

		{"jku", header(`,"jku":"https://evil.example.com/jwks"`), ReasonKey},
		{"jwk", header(`,"jwk":{"kty":"oct","k":"AAAA"}`), ReasonKey},
		{"x5u", header(`,"x5u":"https://evil.example.com/cert"`), ReasonKey},
		{"x5c", header(`,"x5c":["AAAA"]`), ReasonKey},
		{"crit", header(`,"crit":["exp"]`), ReasonMalformed},
		{"b64", header(`,"b64":false`), ReasonMalformed},
		{"zip", header(`,"zip":"DEF"`), ReasonMalformed},
		{"enc", header(`,"enc":"A128GCM"`), ReasonMalformed},
		{"typ of a logout token", header(`,"typ":"logout+jwt"`), ReasonMalformed},
		{"typ a number", header(`,"typ":1`), ReasonMalformed},
		{"typ twice", header(`,"typ":"JWT","typ":"JWT"`), ReasonMalformed},
		{"text behind the header", raw(secret, `{"alg":"HS256","kid":"hs"}x`, ok), ReasonMalformed},
		{"header a list", raw(secret, `["HS256"]`, ok), ReasonMalformed},
		{"header null", raw(secret, `null`, ok), ReasonMalformed},
		{"header not UTF-8", raw(secret, "{\"alg\":\"HS256\",\"kid\":\"hs\",\"a\":\"\xff\"}", ok), ReasonMalformed},
		{"header deep", header(`,"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)), ReasonMalformed},

		{"signed by another", hs(other, "hs", claimsAt()), ReasonSignature},
		{"signed by nobody", part[0] + "." + part[1] + ".", ReasonSignature},
		{"signature cut", part[0] + "." + part[1] + "." + b64(string(must(strict.DecodeString(part[2])))[:28]), ReasonSignature},
		{"claims of another token", part[0] + "." + b64(`{"sub":"root","exp":9999999999}`) + "." + part[2], ReasonSignature},
		{"one bit of the claims", string(flipped), ReasonSignature},
		{"ES by another", sign(jwt.SigningMethodES256, otherEC, kid("es"), claimsAt()), ReasonSignature},
		{"ES all zero", es[:strings.LastIndexByte(es, '.')+1] + b64(strings.Repeat("\x00", 64)), ReasonSignature},
		{"ES short", es[:strings.LastIndexByte(es, '.')+1] + b64("x"), ReasonSignature},
		{"RS empty", b64(`{"alg":"RS256","kid":"rs"}`) + "." + part[1] + ".", ReasonSignature},
		{"Ed empty", b64(`{"alg":"EdDSA","kid":"ed"}`) + "." + part[1] + ".", ReasonSignature},
		{"bad claims badly signed", raw(other, `{"alg":"HS256","kid":"hs"}`, "{"), ReasonSignature},

		{"no exp", hs(secret, "hs", with("exp", nil)), ReasonClaims},
		{"expired", hs(secret, "hs", with("exp", noon.Add(-time.Second).Unix())), ReasonExpired},
		{"claims not JSON", raw(secret, `{"alg":"HS256","kid":"hs"}`, "{"), ReasonMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := v.Verify(tt.token)
			if id != nil {
				t.Errorf("accepted as %+v", id)
			}
			wantReason(t, err, tt.want, tt.token)
		})
	}
	if _, err := v.Verify(good); err != nil {
		t.Errorf("the token the others are made from: %v", err)
	}
}

// Tokens have one spelling: the unused bits of the last character must be zero.
func TestSignatureHasOneSpelling(t *testing.T) {
	v := newVerifier(t, all(t))
	token := hs(secret, "hs", claimsAt())
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	passed := 0
	for _, c := range alphabet {
		if _, err := v.Verify(token[:len(token)-1] + string(c)); err == nil {
			passed++
		}
	}
	if passed != 1 {
		t.Errorf("%d last characters are accepted, want 1", passed)
	}
}

func TestTimes(t *testing.T) {
	unix := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for _, tt := range []struct {
		name   string
		leeway time.Duration
		claims jwt.MapClaims
		want   Reason
	}{
		{"exp in a second", 0, with("exp", unix(time.Second)), ""},
		{"exp now", 0, with("exp", unix(0)), ReasonExpired},
		{"exp within the leeway", time.Minute, with("exp", unix(-59*time.Second)), ""},
		{"exp at the leeway", time.Minute, with("exp", unix(-time.Minute)), ReasonExpired},
		{"nbf now", 0, with("nbf", unix(0)), ""},
		{"nbf in a second", 0, with("nbf", unix(time.Second)), ReasonNotYet},
		{"nbf at the leeway", time.Minute, with("nbf", unix(time.Minute)), ""},
		{"nbf past the leeway", time.Minute, with("nbf", unix(61*time.Second)), ReasonNotYet},
		{"iat now", 0, with("iat", unix(0)), ""},
		{"iat in a second", 0, with("iat", unix(time.Second)), ""},
		{"iat in an hour", 0, with("iat", unix(time.Hour)), ""},
		{"expired and not yet", 0, with("exp", unix(-1*time.Second), "nbf", unix(time.Hour)), ReasonExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}, Leeway: tt.leeway})
			token := hs(secret, "", tt.claims)
			id, err := v.Verify(token)
			if tt.want != "" {
				wantReason(t, err, tt.want, token)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := time.Unix(tt.claims["exp"].(int64), 0).Add(tt.leeway); !id.Expires.Time().Equal(want) {
				t.Errorf("Expires = %v, want exp and leeway: %v", id.Expires, want)
			}
		})
	}
}

func TestIssuerAndAudience(t *testing.T) {
	for _, tt := range []struct {
		name             string
		issuer, audience string
		claims           jwt.MapClaims
		want             Reason
	}{
		{"any", "", "", with("iss", "x", "aud", "y"), ""},
		{"none needed", "", "", with(), ""},
		{"issuer", "login", "", with("iss", "login"), ""},
		{"other issuer", "login", "", with("iss", "login2"), ReasonIssuer},
		{"issuer in another case", "login", "", with("iss", "Login"), ReasonIssuer},
		{"no issuer", "login", "", with(), ReasonIssuer},
		{"empty issuer", "login", "", with("iss", ""), ReasonIssuer},
		{"issuer a list", "login", "", with("iss", []string{"login"}), ReasonClaims},
		{"audience", "", "weir", with("aud", "weir"), ""},
		{"audience in a list", "", "weir", with("aud", []string{"x", "weir", "y"}), ""},
		{"other audience", "", "weir", with("aud", "weirdo"), ReasonAudience},
		{"other audiences", "", "weir", with("aud", []string{"x", "y"}), ReasonAudience},
		{"no audience", "", "weir", with(), ReasonAudience},
		{"empty audience", "", "weir", with("aud", []string{}), ReasonAudience},
		{"audience a number", "", "", with("aud", 1), ReasonClaims},
		{"audience a list of numbers", "", "", with("aud", []int{1}), ReasonClaims},
		{"audiences without end", "", "weir", with("aud", make([]string, 65)), ReasonClaims},
		{"both", "login", "weir", with("iss", "login", "aud", "weir"), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}, Issuer: tt.issuer, Audience: tt.audience})
			token := hs(secret, "", tt.claims)
			_, err := v.Verify(token)
			if tt.want != "" {
				wantReason(t, err, tt.want, token)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// Keys without an id are tried in turn, so that a secret can be replaced without a gap.
func TestReplacingASecret(t *testing.T) {
	v := newVerifier(t, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}})
	before, after := hs(secret, "", claimsAt()), hs(other, "", claimsAt())
	accepts := func(token string, want bool) {
		t.Helper()
		if _, err := v.Verify(token); (err == nil) != want {
			t.Errorf("err = %v, want accepted: %v", err, want)
		}
	}
	reload := func(secrets ...string) {
		t.Helper()
		cfg := Config{Now: atNoon}
		for _, s := range secrets {
			cfg.Keys = append(cfg.Keys, TokenKey{Algorithm: "HS256", Secret: s})
		}
		if err := v.Reload(cfg); err != nil {
			t.Fatal(err)
		}
	}
	accepts(before, true)
	accepts(after, false)
	reload(other, secret)
	accepts(before, true)
	accepts(after, true)
	reload(other)
	accepts(before, false)
	accepts(after, true)
	if err := v.Reload(Config{}); !errors.Is(err, errNoKeys) {
		t.Errorf("reload without keys: %v, want errNoKeys", err)
	}
	accepts(after, true)
}

func TestReloadWhileVerifying(t *testing.T) {
	cfg := Config{Now: atNoon, Keys: []TokenKey{{ID: "a", Algorithm: "HS256", Secret: secret}}}
	v := newVerifier(t, cfg)
	token := hs(secret, "a", claimsAt())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 200 {
				if _, err := v.Verify(token); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 50 {
		cfg.Keys = append(cfg.Keys[:1:1], TokenKey{ID: fmt.Sprint("k", i), Algorithm: "HS256", Secret: other})
		if err := v.Reload(cfg); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func TestClosed(t *testing.T) {
	cfg := Config{Now: atNoon, Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}}
	v := newVerifier(t, cfg)
	v.Close()
	v.Close()
	if err := v.Reload(cfg); !errors.Is(err, errClosed) {
		t.Errorf("reload: %v, want errClosed", err)
	}
	if _, err := v.Verify(hs(secret, "", claimsAt())); err != nil {
		t.Errorf("verify after close: %v", err)
	}
}

func TestTheWallClockIsTheDefault(t *testing.T) {
	v, err := NewVerifier(Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	token := must(Mint(secret, "", Claims{Sub: "u1", TTL: time.Minute}))
	if _, err := v.Verify(token); err != nil {
		t.Error(err)
	}
	old := must(Mint(secret, "", Claims{Sub: "u1", TTL: time.Minute, IssuedAt: time.Now().Add(-2 * time.Minute)}))
	_, err = v.Verify(old)
	wantReason(t, err, ReasonExpired, old)
}

// certificate wraps a public key, signed by the EC key of the tests.
func certificate(public any) string {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: noon.Add(time.Hour)}
	der := must(x509.CreateCertificate(rand.Reader, template, template, public, ecKey()))
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
