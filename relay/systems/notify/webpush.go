package notify

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"weir/relay/systems/internal/encode"

	"github.com/SherClockHolmes/webpush-go"
)

// maxWebPush bounds the plain text of one encrypted record, in bytes: 4096, less its header of 86, the delimiter and the
// tag.
const maxWebPush = 4096 - 86 - 1 - 16

// webPush reaches browsers through their push services (RFC 8030, 8291, 8292).
type webPush struct {
	client  *http.Client
	vapid   *VAPID
	subject string
	ttl     time.Duration
}

var urgencies = map[string]webpush.Urgency{low: webpush.UrgencyLow, normal: webpush.UrgencyNormal, high: webpush.UrgencyHigh}

func (w *webPush) send(ctx context.Context, d *device, n *notification) outcome {
	now := time.Now()
	body := n.fit(maxWebPush, func(p *payload) []byte { return encode.Line(p) })
	// The library appends to what it is given, so that it gets no room to do so; and it puts mailto: before
	// a subject that is no https address.
	resp, err := webpush.SendNotificationWithContext(ctx, slices.Clip(body), &webpush.Subscription{
		Endpoint: d.URL,
		Keys:     webpush.Keys{P256dh: d.P256dh, Auth: d.Auth},
	}, &webpush.Options{
		HTTPClient:      w.client,
		Subscriber:      strings.TrimPrefix(w.subject, "mailto:"),
		Topic:           n.topic(),
		TTL:             int(w.ttl / time.Second),
		Urgency:         urgencies[n.Priority],
		VAPIDPublicKey:  w.vapid.Public,
		VAPIDPrivateKey: w.vapid.Private,
	})
	if err != nil {
		return silence(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // so that the connection can be used again
	o := judge(resp.StatusCode, resp.Header, now)
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		o.verdict = gone
	case http.StatusUnauthorized, http.StatusForbidden:
		o.verdict, o.problem = alarming, o.problem+": the push service does not accept the key for web push, or its subject"
	}
	return o
}

// topic is what makes a later message replace an earlier one that has not reached the device: 32 characters of
// base64url. Without a tag it is the notification's own, so that one that is sent again after a lost response is
// not shown twice.
func (n *notification) topic() string {
	about := "t" + n.Tag
	if n.Tag == "" {
		about = "i" + n.ID
	}
	sum := sha256.Sum256([]byte(about))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

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

// parseVAPID parses a private key, from which the public one follows. Errors show nothing of it.
func parseVAPID(private string) (*VAPID, error) {
	b, err := decode64(strings.TrimSpace(private))
	if err != nil {
		return nil, errors.New("expected a key for web push in base64url, as weir vapid prints it")
	}
	key, err := ecdh.P256().NewPrivateKey(b)
	if err != nil {
		return nil, errors.New("expected a key for web push, a private key on P-256 of 32 bytes, as weir vapid prints it")
	}
	return vapidOf(key), nil
}

func vapidOf(key *ecdh.PrivateKey) *VAPID {
	b64 := base64.RawURLEncoding.EncodeToString
	return &VAPID{b64(key.Bytes()), b64(key.PublicKey().Bytes())}
}

// checkSubject returns an error unless the subject of web push is mailto: and an address, or an https address.
func checkSubject(subject string) error {
	u, err := url.Parse(subject)
	if err == nil && (u.Scheme == "mailto" && strings.Contains(u.Opaque, "@") || u.Scheme == "https" && u.Host != "") {
		return nil
	}
	return errors.New("expected an address for questions of push services: mailto:ops@example.com, or an https address")
}
