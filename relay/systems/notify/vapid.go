package notify

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// VAPID is the pair of keys that identifies a sender to push services (RFC 8292), in base64url.
type VAPID struct {
	Private string
	Public  string // what pages subscribe with, as applicationServerKey
}

// NewVAPID generates a pair of keys.
func NewVAPID() (*VAPID, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate a key for web push: %w", err)
	}
	return vapidOf(key), nil
}

// ParseVAPID parses a private key, from which the public one follows. Errors show nothing of it.
func ParseVAPID(private string) (*VAPID, error) {
	b, err := decode64(strings.TrimSpace(private))
	if err != nil {
		return nil, errors.New("a key for web push is base64url, as weir vapid prints it")
	}
	key, err := ecdh.P256().NewPrivateKey(b)
	if err != nil {
		return nil, errors.New("a key for web push is 32 bytes that are a private key on P-256, as weir vapid prints it")
	}
	return vapidOf(key), nil
}

func vapidOf(key *ecdh.PrivateKey) *VAPID {
	b64 := base64.RawURLEncoding.EncodeToString
	return &VAPID{b64(key.Bytes()), b64(key.PublicKey().Bytes())}
}

// CheckSubject returns an error unless the subject of web push is mailto: and an address, or an https address.
func CheckSubject(subject string) error {
	u, err := url.Parse(subject)
	if err == nil && (u.Scheme == "mailto" && strings.Contains(u.Opaque, "@") || u.Scheme == "https" && u.Host != "") {
		return nil
	}
	return errors.New("expected whom a push service may ask: mailto:ops@example.com, or an https address")
}
