package main

import (
	"bytes"
	"cmp"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"weir/loadtest/scenario"
	"weir/relay/auth"
)

// tokens makes the token of a user; nil: there are none. ours: the target is a weir on this machine, whose development secret may be used.
func (f *targetFlags) tokens(p *program, s scenario.Scenario, ours bool) (func(string) (string, error), error) {
	secret := f.Secret
	if f.SignWith == "" && f.Tokens == "" && f.Token == "" {
		secret = cmp.Or(secret, p.getenv("WEIR_AUTH_SECRET"))
		if secret == "" && ours {
			secret = auth.DevSecret
		}
	}
	if (f.Claims != "" || f.KeyID != "") && secret == "" && f.SignWith == "" {
		return nil, wrongf("bench: --claims or --kid: expected --secret or --token-key beside it")
	}
	claims := map[string]json.RawMessage{}
	if f.Claims != "" {
		if err := json.Unmarshal([]byte(f.Claims), &claims); err != nil {
			return nil, wrongf("bench: --claims: expected a JSON object such as {\"aud\":\"app\"}: %w", err)
		}
	}
	switch {
	case f.Token != "":
		return func(string) (string, error) { return f.Token, nil }, nil
	case f.Tokens != "":
		return listed(f.Tokens)
	case f.SignWith != "":
		method, key, err := privateKey(f.SignWith)
		if err != nil {
			return nil, err
		}
		return signer(s, method, key, f.KeyID, claims), nil
	case secret == "":
		return nil, nil
	case f.Claims != "":
		return signer(s, jwt.SigningMethodHS256, []byte(secret), f.KeyID, claims), nil
	}
	return minter(secret, f.KeyID, s), nil
}

// listed reads a file of tokens.
func listed(name string) (func(string) (string, error), error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, wrongf("bench: --token-file: %w", err)
	}
	list := strings.Fields(string(b))
	if len(list) == 0 {
		return nil, wrongf("bench: --token-file %s: expected a token a line", name)
	}
	return func(user string) (string, error) {
		n, err := strconv.Atoi(strings.TrimPrefix(user, "u"))
		if err != nil { // not one of the users that are numbered
			n = 0
		}
		return list[n%len(list)], nil
	}, nil
}

// privateKey reads a key, and how tokens are signed with it.
func privateKey(name string) (jwt.SigningMethod, any, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, wrongf("bench: --token-key: %w", err)
	}
	if key, err := jwt.ParseRSAPrivateKeyFromPEM(b); err == nil {
		return jwt.SigningMethodRS256, key, nil
	}
	if key, err := jwt.ParseECPrivateKeyFromPEM(b); err == nil && key.Curve == elliptic.P256() {
		return jwt.SigningMethodES256, key, nil
	}
	return nil, nil, wrongf("bench: --token-key %s: expected a private key of RSA or P-256 in PEM", name)
}

// granted are the claims of tokens that may do what the scenario does.
func granted(s scenario.Scenario, user string) auth.Claims {
	prefix := cmp.Or(s.Prefix, "bench:")
	may := []string{"subscribe", "publish", "history", "presence"}
	return auth.Claims{Sub: user, Roles: []string{"admin"}, TTL: 24 * time.Hour, Channels: map[string][]string{prefix + "*": may, "presence:" + prefix + "*": may}}
}

// minter makes tokens with a secret of weir's.
func minter(secret, kid string, s scenario.Scenario) func(string) (string, error) {
	return func(user string) (string, error) { return auth.Mint(secret, kid, granted(s, user)) }
}

// signer makes tokens with any key, and claims over those that weir needs. A claim of null is left out.
func signer(s scenario.Scenario, method jwt.SigningMethod, key any, kid string, claims map[string]json.RawMessage) func(string) (string, error) {
	return func(user string) (string, error) {
		usual, err := auth.Mint(auth.DevSecret, "", granted(s, user)) // only its claims are used
		if err != nil {
			return "", err
		}
		text, err := base64.RawURLEncoding.DecodeString(strings.Split(usual, ".")[1])
		if err != nil {
			return "", fmt.Errorf("make a token: %w", err)
		}
		all := map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &all); err != nil {
			return "", fmt.Errorf("make a token: %w", err)
		}
		maps.Copy(all, claims)
		signed := jwt.MapClaims{}
		for name, raw := range all {
			if string(raw) == "null" {
				continue
			}
			signed[name] = json.RawMessage(bytes.ReplaceAll(raw, []byte("{{user}}"), []byte(user)))
		}
		t := jwt.NewWithClaims(method, signed)
		if kid != "" {
			t.Header["kid"] = kid
		}
		token, err := t.SignedString(key)
		if err != nil {
			return "", fmt.Errorf("make a token: %w", err)
		}
		return token, nil
	}
}
