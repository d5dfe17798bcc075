package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "a secret of the tests, 32 bytes or more"
	other  = "another secret of the tests, as long as that"
)

// noon is the time at which most tests verify.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// private keys take a while to make, so the tests share them.
var (
	rsaKey     = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	ecKey      = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	ed25519Key = sync.OnceValue(func() ed25519.PrivateKey {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return must(private, err)
	})
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// claimsAt returns the least that a token needs, valid for an hour from noon.
func claimsAt() jwt.MapClaims {
	return jwt.MapClaims{"sub": "u1", "exp": noon.Add(time.Hour).Unix()}
}

// with returns the least that a token needs and some more; a nil value removes a claim.
func with(pairs ...any) jwt.MapClaims {
	c := claimsAt()
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == nil {
			delete(c, pairs[i].(string))
		} else {
			c[pairs[i].(string)] = pairs[i+1]
		}
	}
	return c
}

// sign makes a token the way an issuer would.
func sign(method jwt.SigningMethod, private any, header map[string]any, c jwt.MapClaims) string {
	t := jwt.NewWithClaims(method, c)
	for name, value := range header {
		if value == nil {
			delete(t.Header, name)
		} else {
			t.Header[name] = value
		}
	}
	return must(t.SignedString(private))
}

// hs signs with a secret and a key id.
func hs(secret, kid string, c jwt.MapClaims) string {
	var header map[string]any
	if kid != "" {
		header = map[string]any{"kid": kid}
	}
	return sign(jwt.SigningMethodHS256, []byte(secret), header, c)
}

// raw signs a header and claims that are given as text, whatever they say.
func raw(secret, header, claims string) string {
	text := b64(header) + "." + b64(claims)
	return text + "." + b64(string(must(jwt.SigningMethodHS256.Sign(text, []byte(secret)))))
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func pkix(public any) string {
	der := must(x509.MarshalPKIXPublicKey(public))
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func writeFile(t testing.TB, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func newVerifier(t testing.TB, cfg Config) *Verifier {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = atNoon
	}
	v, err := NewVerifier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// wantReason fails the test unless err refuses for that reason, in a known word, and without showing
// any part of the token.
func wantReason(t testing.TB, err error, want Reason, token string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Reason != want || ReasonOf(err) != want || !errors.Is(err, want) {
		t.Errorf("err = %v, want reason %q", err, want)
		return
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Errorf("the error shows a part of the token: %v", err)
		}
	}
}

// jwkOf returns the public key as an entry of a key set.
func jwkOf(kid string, public crypto.PublicKey) map[string]any {
	j := map[string]any{"use": "sig"}
	if kid != "" {
		j["kid"] = kid
	}
	switch p := public.(type) {
	case *rsa.PublicKey:
		j["kty"], j["alg"], j["n"], j["e"] = "RSA", "RS256", b64(string(p.N.Bytes())), "AQAB"
	case *ecdsa.PublicKey:
		point := must(p.Bytes())
		j["kty"], j["alg"], j["crv"] = "EC", "ES256", "P-256"
		j["x"], j["y"] = b64(string(point[1:33])), b64(string(point[33:]))
	case ed25519.PublicKey:
		j["kty"], j["alg"], j["crv"], j["x"] = "OKP", "EdDSA", "Ed25519", b64(string(p))
	}
	return j
}

// changed returns a copy of j with one member replaced; nil removes it.
func changed(j map[string]any, name string, value any) map[string]any {
	c := maps.Clone(j)
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

func setOf(keys ...any) []byte {
	return must(json.Marshal(map[string]any{"keys": keys}))
}

// splitPayload returns the second part of a token.
func splitPayload(token string) string {
	_, rest, _ := strings.Cut(token, ".")
	text, _, _ := strings.Cut(rest, ".")
	return text
}

// allSigned returns a token of each asymmetric key, under the kids that all gives them.
func allSigned() []string {
	return []string{
		sign(jwt.SigningMethodRS256, rsaKey(), kid("rs"), claimsAt()),
		sign(jwt.SigningMethodES256, ecKey(), kid("es"), claimsAt()),
		sign(jwt.SigningMethodEdDSA, ed25519Key(), kid("ed"), claimsAt()),
	}
}
