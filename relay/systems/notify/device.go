package notify

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"weir/internal/safedial"
	"weir/relay/problem"
)

// The kinds of devices.
const (
	kindWebPush = "webpush" // a browser, by its push service
	kindFCM     = "fcm"     // an app, by Firebase Cloud Messaging
	kindAPNs    = "apns"    // an app, by Apple
	kindWebhook = "webhook" // anything that accepts a POST
)

// The limits of a device, in bytes.
const (
	maxURL   = 2048
	maxToken = 4096
	maxName  = 100 // code points
)

// device is where a user can be reached, as it is stored in a channel.
type device struct {
	Kind    string `json:"kind"`
	URL     string `json:"url,omitempty"`    // webpush, webhook
	P256dh  string `json:"p256dh,omitempty"` // webpush: the browser's public key, base64url
	Auth    string `json:"auth,omitempty"`   // webpush: its secret, base64url
	Token   string `json:"token,omitempty"`  // fcm, apns
	Secret  string `json:"secret,omitempty"` // webhook: what its requests are signed with
	Name    string `json:"name,omitempty"`   // for people
	Created int64  `json:"createdAt"`        // milliseconds
	Renewed int64  `json:"renewedAt"`        // when it was registered last

	id string // its key
}

// registration is the body of POST /devices. The members of a browser's subscription stand in it, or in "subscription".
type registration struct {
	Kind         string        `json:"kind"`
	URL          string        `json:"url"`
	Endpoint     string        `json:"endpoint"`
	Keys         keys          `json:"keys"`
	Subscription *subscription `json:"subscription"`
	Token        string        `json:"token"`
	Name         string        `json:"name"`
}

type subscription struct {
	Endpoint string `json:"endpoint"`
	Keys     keys   `json:"keys"`
}

type keys struct {
	P256dh string `json:"p256dh"`
	Auth   string `json:"auth"`
}

func bad(message string) error {
	return problem.New(http.StatusBadRequest, "bad_request", message, false)
}

// device checks a registration and returns the device. kinds are those that can be reached; loopback allows addresses of
// this machine, and http there.
func (r *registration) device(kinds []string, loopback bool) (*device, error) {
	if !slices.Contains(kinds, r.Kind) {
		return nil, bad("kind must be one of " + strings.Join(kinds, ", "))
	}
	if utf8.RuneCountInString(r.Name) > maxName {
		return nil, bad("name must be at most 100 characters")
	}
	d := &device{Kind: r.Kind, Name: r.Name}
	var err error
	switch r.Kind {
	case kindWebPush:
		s := subscription{r.Endpoint, r.Keys}
		field := ""
		if r.Subscription != nil {
			s, field = *r.Subscription, "subscription."
		}
		if d.URL, err = address(field+"endpoint", s.Endpoint, loopback); err != nil {
			return nil, err
		}
		if d.P256dh, d.Auth, err = s.Keys.check(field); err != nil {
			return nil, err
		}
	case kindWebhook:
		if d.URL, err = address("url", r.URL, loopback); err != nil {
			return nil, err
		}
		d.Secret = newSecret()
	case kindFCM:
		if r.Token == "" || len(r.Token) > maxToken || strings.ContainsFunc(r.Token, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, bad("token must be 1 to 4096 printable characters without spaces")
		}
		d.Token = r.Token
	case kindAPNs:
		token := strings.ToLower(r.Token)
		if b, err := hex.DecodeString(token); err != nil || len(b) < 16 || len(b) > 100 {
			return nil, bad("token must be the device token in hexadecimal")
		}
		d.Token = token
	}
	d.id = identify(d.Kind, d.URL+d.Token)
	return d, nil
}

// check returns the keys of a browser's subscription, which may be in any form of base64, in base64url.
func (k keys) check(field string) (p256dh, auth string, err error) {
	point, err := decode64(k.P256dh)
	if err == nil {
		_, err = ecdh.P256().NewPublicKey(point)
	}
	if err != nil {
		return "", "", bad(field + "keys.p256dh must be a public key on P-256, uncompressed, in base64url")
	}
	secret, err := decode64(k.Auth)
	if err != nil || len(secret) != 16 {
		return "", "", bad(field + "keys.auth must be 16 bytes in base64url")
	}
	return base64.RawURLEncoding.EncodeToString(point), base64.RawURLEncoding.EncodeToString(secret), nil
}

// decode64 decodes base64 with either alphabet, padded or not.
func decode64(s string) ([]byte, error) {
	s = strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
	return base64.RawURLEncoding.DecodeString(s)
}

// address checks the address of a device. What its name resolves to is checked when it is dialled.
func address(field, text string, loopback bool) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || len(text) > maxURL {
		return "", bad(field + " must be an https address of at most 2048 bytes")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	local := addr.IsLoopback() || u.Hostname() == "localhost"
	switch {
	case u.User != nil || u.Fragment != "":
		return "", bad(field + " must have no user and no fragment")
	case loopback && local && (u.Scheme == "http" || u.Scheme == "https"):
	case u.Scheme != "https":
		return "", bad(field + " must be an https address")
	case local, err == nil && !safedial.Public(addr):
		return "", bad(field + " must be a public address")
	}
	return u.String(), nil
}

// identify returns the id of a device: the same address is the same device.
func identify(kind, address string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + address))
	return "dev_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
}

// newSecret generates a secret in the form of the Standard Webhooks specification.
func newSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}

// shown is a device as its owner sees it: without anything that would let others reach it.
type shown struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Name    string `json:"name,omitempty"`
	Host    string `json:"host,omitempty"`
	Created int64  `json:"createdAt"`
	Renewed int64  `json:"renewedAt"`
	Secret  string `json:"secret,omitempty"` // in the response to its first registration only
}

func (d *device) shown() shown {
	return shown{ID: d.id, Kind: d.Kind, Name: d.Name, Host: d.host(), Created: d.Created, Renewed: d.Renewed}
}

// host is the host of the device's address; "" for devices of a configured service.
func (d *device) host() string {
	if d.URL == "" {
		return ""
	}
	u, err := url.Parse(d.URL)
	if err != nil {
		return ""
	}
	return u.Host
}

// hostKey is what the health of the device's host is known by.
func (d *device) hostKey() string {
	if host := d.host(); host != "" {
		return host
	}
	return d.Kind
}
