package auth

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims is what a minted token says.
type Claims struct {
	Sub, Name, Avatar string
	Roles             []string
	Channels          map[string][]string // operations by pattern
	TTL               time.Duration       // until it expires; 1h
	Issuer, Audience  string              // "" leaves the claim out
	IssuedAt          time.Time           // now
}

// payload is Claims as a token spells them.
type payload struct {
	Sub      string              `json:"sub"`
	Name     string              `json:"name,omitempty"`
	Avatar   string              `json:"avatar,omitempty"`
	Roles    []string            `json:"roles,omitempty"`
	Channels map[string][]string `json:"channels,omitempty"`
	Issuer   string              `json:"iss,omitempty"`
	Audience string              `json:"aud,omitempty"`
	IssuedAt int64               `json:"iat"`
	Expires  int64               `json:"exp"`
	// The claims above are held against our own rules; jwt has none to add.
	jwt.Claims `json:"-"`
}

// Mint signs a token with HS256, for development and tests. kid "" leaves the key id out. What a
// Verifier would refuse is refused here already, so a token that was minted is a token that works.
func Mint(secret, kid string, c Claims) (string, error) {
	if len(secret) < minSecret {
		return "", fmt.Errorf("mint token: the secret has %d bytes: HS256 needs at least %d", len(secret), minSecret)
	}
	if kid != "" && !ValidKeyID(kid) {
		return "", fmt.Errorf("mint token: the key id is not printable ASCII of at most %d bytes", maxKeyID)
	}
	p, text, err := c.payload()
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	if _, err := parseClaims(text, "", ""); err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, p)
	if kid != "" {
		t.Header["kid"] = kid
	}
	token, err := t.SignedString([]byte(secret))
	if err != nil {
		return "", fmt.Errorf("mint token: %w", err)
	}
	if len(token) > MaxToken {
		return "", fmt.Errorf("mint token: it would have %d bytes: at most %d are accepted", len(token), MaxToken)
	}
	return token, nil
}

// payload is the claims as a token spells them, with the defaults in place.
func (c Claims) payload() (payload, []byte, error) {
	if c.TTL == 0 {
		c.TTL = time.Hour
	}
	if c.TTL < time.Second {
		return payload{}, nil, fmt.Errorf("ttl is %v: expected at least 1s", c.TTL)
	}
	if c.IssuedAt.IsZero() {
		c.IssuedAt = time.Now()
	}
	p := payload{
		Sub: c.Sub, Name: c.Name, Avatar: c.Avatar, Roles: c.Roles, Channels: c.Channels,
		Issuer: c.Issuer, Audience: c.Audience,
		IssuedAt: c.IssuedAt.Unix(), Expires: c.IssuedAt.Add(c.TTL).Unix(),
	}
	text, err := json.Marshal(p)
	return p, text, err
}

// Vouch is the identity that a token with the claims would give, held against the same rules, for a
// backend whose word needs no signature. Issuer and audience are left out of account.
func Vouch(c Claims) (*Identity, error) {
	_, text, err := c.payload()
	if err != nil {
		return nil, fmt.Errorf("vouch: %w", err)
	}
	now := c.IssuedAt
	if now.IsZero() {
		now = time.Now()
	}
	id, err := (&rules{now: func() time.Time { return now }}).identify(text)
	if err != nil {
		return nil, fmt.Errorf("vouch: %w", err)
	}
	return id, nil
}
