package notify

import (
	"cmp"
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weir/relay/systems/internal/encode"
	"weir/relay/systems/internal/post"
	"weir/relay/systems/notify/token"

	"github.com/golang-jwt/jwt/v5"
)

// maxFCM bounds a message, in bytes, as Firebase does.
const maxFCM = 4096

// serviceAccount is the identity of a backend at Firebase: the JSON file that its console exports.
type serviceAccount struct {
	Project  string `json:"project_id"`
	Email    string `json:"client_email"`
	KeyID    string `json:"private_key_id"`
	Key      string `json:"private_key"` // RSA, in PEM
	TokenURI string `json:"token_uri"`

	key *rsa.PrivateKey
}

// parseServiceAccount parses the file. Errors show nothing of the key.
func parseServiceAccount(data []byte) (*serviceAccount, error) {
	const expected = "expected the JSON file of a service account, with project_id, client_email, private_key and token_uri"
	a := new(serviceAccount)
	if json.Unmarshal(data, a) != nil || a.Project == "" || a.Email == "" || url.PathEscape(a.Project) != a.Project {
		return nil, errors.New(expected)
	}
	if u, err := url.Parse(a.TokenURI); err != nil || u.Host == "" {
		return nil, errors.New(expected)
	}
	var err error
	if a.key, err = jwt.ParseRSAPrivateKeyFromPEM([]byte(a.Key)); err != nil {
		return nil, errors.New("private_key is not an RSA key in PEM")
	}
	return a, nil
}

// fcm reaches apps through Firebase Cloud Messaging, HTTP v1.
type fcm struct {
	client *http.Client
	url    string
	ttl    time.Duration
	token  *token.Token
}

func newFCM(client *http.Client, base string, a *serviceAccount, ttl time.Duration) *fcm {
	f := &fcm{client: client, url: strings.TrimSuffix(base, "/") + "/v1/projects/" + a.Project + "/messages:send", ttl: ttl}
	f.token = &token.Token{Fetch: func(ctx context.Context) (string, time.Time, error) { return fetchToken(ctx, client, a) }}
	return f
}

// fetchToken exchanges an assertion, signed by the service account, for a token.
func fetchToken(ctx context.Context, client *http.Client, a *serviceAccount) (string, time.Time, error) {
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": a.Email, "scope": "https://www.googleapis.com/auth/firebase.messaging", "aud": a.TokenURI,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if a.KeyID != "" {
		t.Header["kid"] = a.KeyID
	}
	assertion, err := t.SignedString(a.key)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign for %s: %w", a.Email, err)
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	resp, err := post.Send(ctx, client, a.TokenURI, header, []byte(form.Encode()), maxAnswer)
	if resp == nil {
		return "", time.Time{}, fmt.Errorf("fetch a token: %w", err)
	}
	var got struct {
		Token   string `json:"access_token"`
		Expires int64  `json:"expires_in"` // seconds
	}
	_ = json.Unmarshal(resp.Body, &got) // what is missing is noticed below
	switch {
	case resp.Status >= 400 && resp.Status < 500 && resp.Status != http.StatusTooManyRequests:
		return "", time.Time{}, fmt.Errorf("fetch a token: status %d: %w", resp.Status, errNoToken)
	case resp.Status != http.StatusOK || got.Token == "":
		return "", time.Time{}, fmt.Errorf("fetch a token: status %d", resp.Status)
	}
	life := time.Duration(got.Expires) * time.Second
	return got.Token, now.Add(life - min(time.Minute, life/10)), nil // a token must not expire on its way
}

// fcmMessage is the body of a message, with Firebase's names.
type fcmMessage struct {
	Message struct {
		Token        string `json:"token"`
		Notification struct {
			Title string `json:"title"`
			Body  string `json:"body,omitempty"`
		} `json:"notification"`
		Data    map[string]string `json:"data"` // id, and data as JSON
		Android struct {
			Priority string `json:"priority"`
			TTL      string `json:"ttl"`
			Collapse string `json:"collapse_key,omitempty"`
		} `json:"android"`
	} `json:"message"`
}

func (f *fcm) encode(d *device, p *payload) []byte {
	var m fcmMessage
	m.Message.Token = d.Token
	m.Message.Notification.Title, m.Message.Notification.Body = p.Title, p.Body
	m.Message.Data = map[string]string{"id": p.ID}
	if p.Data != nil {
		m.Message.Data["data"] = string(p.Data)
	}
	if p.Truncated {
		m.Message.Data["truncated"] = "true"
	}
	android := &m.Message.Android
	android.Priority, android.TTL, android.Collapse = "NORMAL", fmt.Sprintf("%ds", f.ttl/time.Second), p.Tag
	if p.Priority == high {
		android.Priority = "HIGH"
	}
	return encode.Line(&m)
}

func (f *fcm) send(ctx context.Context, d *device, n *notification) outcome {
	// The token of the device does not count: it is the service's own.
	body := n.fit(maxFCM+len(d.Token), func(p *payload) []byte { return f.encode(d, p) })
	return use(ctx, f.token, func(bearer string) (outcome, bool) { return f.post(ctx, bearer, body) })
}

// post sends a message with a token. It reports whether that is stale.
func (f *fcm) post(ctx context.Context, bearer string, body []byte) (o outcome, stale bool) {
	now := time.Now()
	resp, err := post.Send(ctx, f.client, f.url, http.Header{"Authorization": {"Bearer " + bearer}}, body, maxAnswer)
	if resp == nil {
		return silence(err), false
	}
	code := fcmCode(resp.Body)
	o = judge(resp.Status, resp.Header, now)
	if o.verdict != delivered && code != "" {
		o.problem += " " + code
	}
	switch {
	case o.verdict == delivered:
	case code == "UNREGISTERED":
		o.verdict = gone
	case code == "SENDER_ID_MISMATCH": // the device belongs to another project
		o.verdict = refused
	case resp.Status == http.StatusUnauthorized && code != "THIRD_PARTY_AUTH_ERROR":
		return o, true
	case resp.Status == http.StatusUnauthorized, resp.Status == http.StatusForbidden, resp.Status == http.StatusNotFound:
		o.verdict = alarming
	}
	return o, false
}

// fcmCode returns the code of an error, the more specific one if there are two; "" if there is none.
func fcmCode(body []byte) string {
	var problem struct {
		Error struct {
			Status  string `json:"status"`
			Details []struct {
				Code string `json:"errorCode"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &problem) != nil {
		return ""
	}
	code := problem.Error.Status
	for _, x := range problem.Error.Details {
		code = cmp.Or(x.Code, code)
	}
	if len(code) > 64 {
		return ""
	}
	return code
}
