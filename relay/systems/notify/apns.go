package notify

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"weir/relay/systems/internal/encode"
	"weir/relay/systems/internal/post"
	"weir/relay/systems/notify/token"

	"github.com/golang-jwt/jwt/v5"
)

// maxAPNs bounds a payload, in bytes, as Apple does.
const maxAPNs = 4096

// providerLife is how long a provider token is used: Apple refuses those older than an hour, and new ones that
// come more often than every 20 minutes.
const providerLife = 50 * time.Minute

// parseAPNsKey parses a signing key, the contents of a .p8 file.
func parseAPNsKey(data []byte) (*ecdsa.PrivateKey, error) {
	key, err := jwt.ParseECPrivateKeyFromPEM(data)
	if err != nil || key.Curve.Params().BitSize != 256 {
		return nil, errors.New("expected a signing key for APNs: a .p8 file, a P-256 key in PEM")
	}
	return key, nil
}

// apns reaches apps through the Apple Push Notification service.
type apns struct {
	client *http.Client
	url    string
	topic  string
	ttl    time.Duration
	token  *token.Token
}

func newAPNs(client *http.Client, c APNs, key *ecdsa.PrivateKey, ttl time.Duration) *apns {
	a := &apns{client: client, url: strings.TrimSuffix(c.URL, "/") + "/3/device/", topic: c.Topic, ttl: ttl}
	a.token = &token.Token{Fetch: func(context.Context) (string, time.Time, error) {
		now := time.Now()
		t := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": c.TeamID, "iat": now.Unix()})
		t.Header["kid"] = c.KeyID
		value, err := t.SignedString(key)
		if err != nil {
			return "", time.Time{}, fmt.Errorf("sign for APNs: %w: %w", err, errNoToken)
		}
		return value, now.Add(providerLife), nil
	}}
	return a
}

// apnsMessage is the payload, with Apple's names.
type apnsMessage struct {
	APS struct {
		Alert struct {
			Title string `json:"title"`
			Body  string `json:"body,omitempty"`
		} `json:"alert"`
		Sound  string `json:"sound,omitempty"`
		Thread string `json:"thread-id,omitempty"`
	} `json:"aps"`
	ID        string          `json:"id"`
	Data      json.RawMessage `json:"data,omitempty"`
	Truncated bool            `json:"truncated,omitempty"`
}

// apnsPriorities: 10 at once, 5 with regard to the battery, 1 when the device is awake anyway.
var apnsPriorities = map[string]string{low: "1", normal: "5", high: "10"}

func encodeAPNs(p *payload) []byte {
	m := apnsMessage{ID: p.ID, Data: p.Data, Truncated: p.Truncated}
	m.APS.Alert.Title, m.APS.Alert.Body, m.APS.Thread = p.Title, p.Body, p.Tag
	if p.Priority != low {
		m.APS.Sound = "default"
	}
	return encode.Line(&m)
}

func (a *apns) send(ctx context.Context, d *device, n *notification) outcome {
	body := n.fit(maxAPNs, encodeAPNs)
	return use(ctx, a.token, func(bearer string) (outcome, bool) { return a.post(ctx, bearer, d, n, body) })
}

// post sends a notification with a token. It reports whether that is stale.
func (a *apns) post(ctx context.Context, bearer string, d *device, n *notification, body []byte) (o outcome, stale bool) {
	now := time.Now()
	resp, err := post.Send(ctx, a.client, a.url+d.Token, http.Header{
		"Authorization":    {"bearer " + bearer},
		"Apns-Topic":       {a.topic},
		"Apns-Push-Type":   {"alert"},
		"Apns-Priority":    {apnsPriorities[n.Priority]},
		"Apns-Expiration":  {strconv.FormatInt(now.Add(a.ttl).Unix(), 10)},
		"Apns-Collapse-Id": {n.topic()},
	}, body, maxAnswer)
	if resp == nil {
		return silence(err), false
	}
	var problem struct {
		Reason    string `json:"reason"`
		Timestamp int64  `json:"timestamp"` // milliseconds: since when the device is known to be gone
	}
	_ = json.Unmarshal(resp.Body, &problem) // without a reason, the status counts
	o = judge(resp.Status, resp.Header, now)
	if o.verdict != delivered && len(problem.Reason) <= 64 {
		o.problem += " " + problem.Reason
	}
	switch {
	case o.verdict == delivered:
	case resp.Status == http.StatusGone && problem.Timestamp > 0 && d.Renewed > problem.Timestamp:
		o.verdict = refused // it has come back since
	case resp.Status == http.StatusGone, problem.Reason == "BadDeviceToken":
		o.verdict = gone
	case problem.Reason == "ExpiredProviderToken":
		return o, true
	case problem.Reason == "DeviceTokenNotForTopic", problem.Reason == "BadTopic", problem.Reason == "MissingTopic", problem.Reason == "TopicDisallowed",
		resp.Status == http.StatusUnauthorized, resp.Status == http.StatusForbidden:
		o.verdict = alarming
	}
	return o, false
}
