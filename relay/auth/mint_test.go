package auth

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestMint(t *testing.T) {
	cfg := Config{Now: atNoon, Issuer: "login", Audience: "weir", Keys: []TokenKey{{ID: "dev", Algorithm: "HS256", Secret: secret}}}
	v := newVerifier(t, cfg)
	token, err := Mint(secret, "dev", Claims{
		Sub: "u1", Name: "Ada", Avatar: "https://a/b.png", Roles: []string{"admin"},
		Channels: map[string][]string{"dm:{user}:*": {"subscribe", "publish"}},
		TTL:      time.Minute, Issuer: "login", Audience: "weir", IssuedAt: noon,
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	want := &Identity{
		User: "u1", Name: "Ada", Avatar: "https://a/b.png", Roles: []string{"admin"},
		Grants: []Grant{{"dm:u1:*", Subscribe | Publish}}, Expires: got.Expires, Issued: got.Issued,
	}
	if !reflect.DeepEqual(got, want) || !got.Expires.Time().Equal(noon.Add(time.Minute)) || !got.Issued.Time().Equal(noon) {
		t.Errorf("identity = %+v, want %+v", got, want)
	}
	token = must(Mint(secret, "", Claims{Sub: "u1", IssuedAt: noon}))
	v = newVerifier(t, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}})
	if got, err := v.Verify(token); err != nil || !got.Expires.Time().Equal(noon.Add(time.Hour)) {
		t.Errorf("with defaults: %+v, %v", got, err)
	}
}

func TestMintRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		secret, kid string
		claims      Claims
	}{
		"short secret":  {secret[:31], "", Claims{Sub: "u1"}},
		"path-like kid": {secret, "../x", Claims{Sub: "u1"}},
		"no sub":        {secret, "", Claims{}},
		"long sub":      {secret, "", Claims{Sub: strings.Repeat("u", 129)}},
		"control":       {secret, "", Claims{Sub: "u\n"}},
		"not UTF-8":     {secret, "", Claims{Sub: "u\xff\xfe\x1b"}},
		"negative life": {secret, "", Claims{Sub: "u1", TTL: -time.Hour}},
		"short life":    {secret, "", Claims{Sub: "u1", TTL: time.Millisecond}},
		"unknown op":    {secret, "", Claims{Sub: "u1", Channels: map[string][]string{"room:*": {"admin"}}}},
		"bad pattern":   {secret, "", Claims{Sub: "u1", Channels: map[string][]string{"ro*": {"*"}}}},
		"too many":      {secret, "", Claims{Sub: "u1", Roles: make([]string, 65)}},
		"too long": {secret, "", Claims{Sub: "u1", Avatar: strings.Repeat("a", 2048), Roles: func() (r []string) {
			for range 64 {
				r = append(r, strings.Repeat("r", 100))
			}
			return r
		}()}},
	} {
		if token, err := Mint(tt.secret, tt.kid, tt.claims); err == nil {
			t.Errorf("%s: minted %s", name, token)
		} else if strings.Contains(err.Error(), "secret of the tests") {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}
