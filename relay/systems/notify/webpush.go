package notify

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

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
	body := n.fit(maxWebPush, func(p *payload) []byte { return encode(p) })
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
	_ = readAnswer(resp)
	switch resp.StatusCode {
	case http.StatusNotFound, http.StatusGone:
		return outcome{verdict: gone, problem: fmt.Sprint("it answered ", resp.StatusCode)}
	case http.StatusUnauthorized, http.StatusForbidden:
		return outcome{verdict: alarming, problem: fmt.Sprint("it answered ", resp.StatusCode, ": it does not accept the key for web push, or its subject")}
	}
	return judge(resp, now)
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
