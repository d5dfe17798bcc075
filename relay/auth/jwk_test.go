package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
)

func TestParseKeySet(t *testing.T) {
	r, e, d := jwkOf("r", &rsaKey().PublicKey), jwkOf("e", &ecKey().PublicKey), jwkOf("d", ed25519Key().Public())
	keys, err := parseKeySet(setOf(r, e, d))
	if err != nil {
		t.Fatal(err)
	}
	for id, alg := range map[string]string{"r": rs256, "e": es256, "d": eddsa} {
		if len(keys[id]) != 1 || keys[id][0].alg != alg {
			t.Errorf("keys of %s = %v, want one for %s", id, keys[id], alg)
		}
	}
	for name, j := range map[string]any{
		"no use":        changed(r, "use", nil),
		"no alg":        changed(e, "alg", nil),
		"key_ops":       changed(r, "key_ops", []string{"verify"}),
		"alg Ed25519":   changed(d, "alg", "Ed25519"),
		"no kid":        changed(r, "kid", nil),
		"others beside": changed(changed(r, "x5t", "abc"), "x5c", []string{"AAAA"}),
		"a slash":       changed(r, "kid", "/a+b/c=="),
	} {
		if _, err := parseKeySet(setOf(j)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysOfASetThatArePassedOver(t *testing.T) {
	r, e, d := jwkOf("r", &rsaKey().PublicKey), jwkOf("e", &ecKey().PublicKey), jwkOf("d", ed25519Key().Public())
	p384 := must(must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).PublicKey.Bytes())
	good := jwkOf("good", &ecKey().PublicKey)
	for name, j := range map[string]any{
		"for encryption":     changed(r, "use", "enc"),
		"for signing only":   changed(r, "key_ops", []string{"sign"}),
		"for nothing":        changed(r, "key_ops", []string{}),
		"RS512":              changed(r, "alg", "RS512"),
		"PS256":              changed(r, "alg", "PS256"),
		"RSA-OAEP":           changed(r, "alg", "RSA-OAEP"),
		"HS256 on RSA":       changed(r, "alg", "HS256"),
		"none":               changed(r, "alg", "none"),
		"symmetric":          map[string]any{"kty": "oct", "kid": "r", "use": "sig", "alg": "HS256", "k": b64(secret)},
		"RSA 1024":           jwkOf("r", weakRSA(1024)),
		"RSA 16384":          jwkOf("r", weakRSA(16384)),
		"even modulus":       changed(r, "n", b64("\x80"+strings.Repeat("\x00", 255))),
		"exponent 1":         changed(r, "e", "AQ"),
		"exponent 2":         changed(r, "e", "Ag"),
		"no exponent":        changed(r, "e", nil),
		"huge exponent":      changed(r, "e", b64("\xff\xff\xff\xff")),
		"exponent of 5":      changed(r, "e", b64("\x01\x00\x00\x00\x01")),
		"n not base64":       changed(r, "n", "!"),
		"n padded":           changed(r, "n", r["n"].(string)+"=="),
		"P-384":              changed(changed(changed(e, "crv", "P-384"), "x", b64(string(p384[1:49]))), "y", b64(string(p384[49:]))),
		"secp256k1":          changed(e, "crv", "secp256k1"),
		"off the curve":      changed(e, "y", e["x"]),
		"the zero point":     changed(changed(e, "x", b64(strings.Repeat("\x00", 32))), "y", b64(strings.Repeat("\x00", 32))),
		"short coordinate":   changed(e, "x", b64("x")),
		"EC without y":       changed(e, "y", nil),
		"EC for RS256":       changed(e, "alg", "RS256"),
		"X25519":             changed(d, "crv", "X25519"),
		"Ed25519 of 31":      changed(d, "x", b64(strings.Repeat("x", 31))),
		"kty unknown":        changed(r, "kty", "LMS"),
		"kid a path":         changed(r, "kid", "../../x"),
		"kid with a space":   changed(r, "kid", "a b"),
		"kid huge":           changed(r, "kid", strings.Repeat("k", 129)),
		"kid a number":       changed(r, "kid", 7),
		"not an object":      "x",
		"null":               nil,
		"n of another shape": changed(r, "n", []int{1}),
	} {
		if _, err := parseKeySet(setOf(j)); err == nil {
			t.Errorf("%s: taken", name)
		}
		// It does not spoil the others either.
		if keys, err := parseKeySet(setOf(j, good)); err != nil || len(keys) != 1 {
			t.Errorf("%s: beside a good key: %d keys, %v", name, len(keys), err)
		}
	}
}

func TestKeySetsThatAreRefused(t *testing.T) {
	many := make([]any, maxSetKeys+1)
	for i := range many {
		many[i] = jwkOf(fmt.Sprint(i), ed25519Key().Public())
	}
	for _, text := range []string{"", "null", "[]", "{}", `{"keys":[]}`, `{"keys":{}}`, `{"keys":"x"}`, "<html>", string(setOf(many...))} {
		if _, err := parseKeySet([]byte(text)); err == nil {
			t.Errorf("%.40s: taken", text)
		}
	}
}
