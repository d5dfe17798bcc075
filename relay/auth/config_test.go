package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// weakRSA returns a public key of so many bits. Nobody needs its factors.
func weakRSA(bits uint) *rsa.PublicKey {
	n := must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), bits)))
	n.SetBit(n, int(bits)-1, 1)
	n.SetBit(n, 0, 1)
	return &rsa.PublicKey{N: n, E: 65537}
}

func TestKeysThatAreRefused(t *testing.T) {
	p384 := must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(ecKey()))}))
	ec := pkix(&ecKey().PublicKey)
	for _, tt := range []struct {
		name string
		key  TokenKey
		want string // part of the message
	}{
		{"no algorithm", TokenKey{Secret: secret}, "expected HS256, RS256, ES256 or EdDSA"},
		{"none", TokenKey{Algorithm: "none", Secret: secret}, "expected HS256"},
		{"lower case", TokenKey{Algorithm: "hs256", Secret: secret}, "expected HS256"},
		{"nothing", TokenKey{Algorithm: "HS256"}, "exactly one of secret and file"},
		{"both", TokenKey{Algorithm: "HS256", Secret: secret, File: "x"}, "exactly one of secret and file"},
		{"short secret", TokenKey{Algorithm: "HS256", Secret: secret[:31]}, "at least 32"},
		{"long secret", TokenKey{Algorithm: "HS256", Secret: strings.Repeat("x", 4097)}, "at most 4096"},
		{"short secret in a file", TokenKey{Algorithm: "HS256", File: writeFile(t, secret[:31]+"\n")}, "at least 32"},
		{"a public key as the secret", TokenKey{Algorithm: "HS256", File: writeFile(t, pkix(&rsaKey().PublicKey))}, "PEM"},
		{"a secret for RS256", TokenKey{Algorithm: "RS256", Secret: secret}, "takes file"},
		{"path-like id", TokenKey{ID: "../x", Algorithm: "HS256", Secret: secret}, "id: expected"},
		{"id with a space", TokenKey{ID: "a b", Algorithm: "HS256", Secret: secret}, "id: expected"},
		{"not PEM", TokenKey{Algorithm: "RS256", File: writeFile(t, "hello")}, "not PEM"},
		{"private key", TokenKey{Algorithm: "ES256", File: writeFile(t, private)}, "private key"},
		{"two keys", TokenKey{Algorithm: "ES256", File: writeFile(t, ec+ec)}, "more than one"},
		{"PKCS #1", TokenKey{Algorithm: "RS256", File: writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY"})))}, "expected PUBLIC KEY or CERTIFICATE"},
		{"bad PKIX", TokenKey{Algorithm: "RS256", File: writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})))}, "not a supported PKIX"},
		{"bad certificate", TokenKey{Algorithm: "RS256", File: writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})))}, "not an X.509"},
		{"RSA 1024", TokenKey{Algorithm: "RS256", File: writeFile(t, pkix(weakRSA(1024)))}, "1024 bits"},
		{"RSA 2047", TokenKey{Algorithm: "RS256", File: writeFile(t, pkix(weakRSA(2047)))}, "2047 bits"},
		{"RSA 16384", TokenKey{Algorithm: "RS256", File: writeFile(t, pkix(weakRSA(16384)))}, "16384 bits"},
		{"RSA with exponent 1", TokenKey{Algorithm: "RS256", File: writeFile(t, pkix(&rsa.PublicKey{N: rsaKey().N, E: 1}))}, "not valid"},
		{"P-384", TokenKey{Algorithm: "ES256", File: writeFile(t, pkix(&p384.PublicKey))}, "not on P-256"},
		{"EC for RS256", TokenKey{Algorithm: "RS256", File: writeFile(t, ec)}, "RS256 does not go with an EC key"},
		{"RSA for ES256", TokenKey{Algorithm: "ES256", File: writeFile(t, pkix(&rsaKey().PublicKey))}, "ES256 does not go with an RSA key"},
		{"Ed25519 for ES256", TokenKey{Algorithm: "ES256", File: writeFile(t, pkix(ed25519Key().Public()))}, "Ed25519"},
		{"EC for EdDSA", TokenKey{Algorithm: "EdDSA", File: writeFile(t, ec)}, "EdDSA does not go with an EC key"},
		{"too large", TokenKey{Algorithm: "RS256", File: writeFile(t, strings.Repeat("x", 64<<10+1))}, "more than 65536 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := NewVerifier(Config{Keys: []TokenKey{tt.key}})
			if err == nil {
				v.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %q, want it to say %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "secret of the tests") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

func TestConfigThatIsRefused(t *testing.T) {
	key := TokenKey{Algorithm: "HS256", Secret: secret}
	named := TokenKey{ID: "a", Algorithm: "HS256", Secret: secret}
	for name, cfg := range map[string]Config{
		"no keys":             {},
		"one id twice":        {Keys: []TokenKey{named, named}},
		"too many":            {Keys: make([]TokenKey, 65)},
		"leeway over 60s":     {Keys: []TokenKey{key}, Leeway: 61 * time.Second},
		"negative leeway":     {Keys: []TokenKey{key}, Leeway: -1},
		"jwks http":           {JWKS: JWKS{URL: "http://login.example.com/jwks"}},
		"jwks ftp":            {JWKS: JWKS{URL: "ftp://login.example.com/jwks", AllowInsecure: true}},
		"jwks file":           {JWKS: JWKS{URL: "file:///etc/jwks"}},
		"jwks without a host": {JWKS: JWKS{URL: "https:///jwks"}},
		"jwks with a user":    {JWKS: JWKS{URL: "https://u:hunter2@login.example.com/jwks"}},
		"jwks not a url":      {JWKS: JWKS{URL: "https://hunter2\x7f/"}},
		"jwks too often":      {JWKS: JWKS{URL: "https://login.example.com/jwks", Refresh: time.Second}},
		"jwks too seldom":     {JWKS: JWKS{URL: "https://login.example.com/jwks", Refresh: 25 * time.Hour}},
	} {
		v, err := NewVerifier(cfg)
		if err == nil {
			v.Close()
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows the address: %v", name, err)
		}
	}
	_, err := NewVerifier(Config{Keys: []TokenKey{{Algorithm: "HS256", File: filepath.Join(t.TempDir(), "nothing")}}})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := NewVerifier(Config{Keys: []TokenKey{{Algorithm: "HS256", File: t.TempDir()}}}); err == nil {
		t.Error("a directory is accepted as a key file")
	}
}

func TestKeyFiles(t *testing.T) {
	v := newVerifier(t, Config{Keys: []TokenKey{
		{ID: "crlf", Algorithm: "HS256", File: writeFile(t, secret+"\r\n")},
		{ID: "bare", Algorithm: "HS256", File: writeFile(t, secret)},
		{ID: "a/b+c==", Algorithm: "HS256", Secret: secret}, // a slash is part of base64
		{ID: "rsa", Algorithm: "RS256", File: writeFile(t, certificate(&rsaKey().PublicKey))},
		{ID: "ec", Algorithm: "ES256", File: writeFile(t, certificate(&ecKey().PublicKey))},
	}})
	for _, token := range []string{
		hs(secret, "crlf", claimsAt()),
		hs(secret, "bare", claimsAt()),
		hs(secret, "a/b+c==", claimsAt()),
		sign(jwt.SigningMethodRS256, rsaKey(), kid("rsa"), claimsAt()),
		sign(jwt.SigningMethodES256, ecKey(), kid("ec"), claimsAt()),
	} {
		if _, err := v.Verify(token); err != nil {
			t.Error(err)
		}
	}
}
