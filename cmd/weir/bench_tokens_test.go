package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"weir/loadtest/scenario"
)

func keyFile(t *testing.T, key any) string {
	t.Helper()
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Tokens are made with keys of every kind, carry the claims that were asked for, and those that weir needs.
func TestBenchMakesTokens(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	secret := strings.Repeat("s", 40)
	claims := `{"aud":"app","name":"I am {{user}}","roles":null}`
	for alg, one := range map[string]struct {
		flags  targetFlags
		public any
	}{
		"RS256": {targetFlags{SignWith: keyFile(t, rsaKey), Claims: claims, KeyID: "k1"}, rsaKey.Public()},
		"ES256": {targetFlags{SignWith: keyFile(t, ecKey), Claims: claims, KeyID: "k1"}, ecKey.Public()},
		"HS256": {targetFlags{Secret: secret, Claims: claims, KeyID: "k1"}, []byte(secret)},
	} {
		mint, err := one.flags.tokens(&program{}, scenario.Scenario{}, false)
		if err != nil {
			t.Fatal(err)
		}
		text, err := mint("u7")
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.Parse(text, func(*jwt.Token) (any, error) { return one.public, nil }, jwt.WithValidMethods([]string{alg}), jwt.WithExpirationRequired(), jwt.WithAudience("app"))
		if err != nil {
			t.Fatal(alg, err)
		}
		got := token.Claims.(jwt.MapClaims)
		if got["sub"] != "u7" || got["name"] != "I am u7" || got["roles"] != nil || got["channels"] == nil || token.Header["kid"] != "k1" {
			t.Error(alg, got)
		}
	}
	list := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(list, []byte("a\nb\n\nc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mint, err := (&targetFlags{Tokens: list}).tokens(&program{}, scenario.Scenario{}, true)
	if err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]string{"u0": "a", "u2": "c", "u4": "b", "bench-1": "a"} {
		if got, _ := mint(user); got != want {
			t.Error(user, got)
		}
	}
}

func TestWrongTokenFlagsAreOneLine(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--token-file", "/nowhere"}, "/nowhere"},
		{[]string{"--token-file", empty}, "expected a token a line"},
		{[]string{"--token-key", "/nowhere"}, "/nowhere"},
		{[]string{"--token-key", keyFile(t, p384)}, "expected a private key of RSA or P-256"},
		{[]string{"--token", "x", "--claims", "{}"}, "expected --secret or --token-key"},
		{[]string{"--secret", "x", "--claims", "[]"}, "--claims: expected a JSON object"},
		{[]string{"--secret", "x", "--token", "y"}, "--token"},
	} {
		var said bytes.Buffer
		code := (&program{stdout: io.Discard, stderr: &said}).run(append([]string{"bench", "fanout"}, tt.args...))
		if code != exitUsage || !strings.Contains(said.String(), tt.want) || strings.Count(said.String(), "\n") != 1 {
			t.Errorf("%q: exit %d, %q", tt.args, code, said.String())
		}
	}
}
