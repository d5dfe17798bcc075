package notify

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// inPEM encodes a private key.
func inPEM(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// firebase is a fake of FCM and of the tokens that it goes by.
type firebase struct {
	*service
	file    string
	exchg   atomic.Int32 // tokens handed out
	revoked atomic.Int32 // tokens up to this one are not accepted
	deny    atomic.Bool  // no tokens for anybody
}

// accountKey is the key of all fakes: making one takes long.
var accountKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func newFirebase(t testing.TB) *firebase {
	key := accountKey()
	f := new(firebase)
	f.service = newService(t, func(h http.Handler) *httptest.Server {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) { f.grant(t, w, r, &key.PublicKey) })
		mux.Handle("POST /v1/projects/weir-test/{messages}", h)
		return httptest.NewServer(mux)
	})
	f.verify = func(r *http.Request, body []byte) (string, error) {
		if r.URL.Path != "/v1/projects/weir-test/messages:send" || r.Header.Get("Content-Type") != "application/json" {
			return "", fmt.Errorf("%s %v", r.URL.Path, r.Header)
		}
		var m struct{ Message struct{ Token string } }
		if err := json.Unmarshal(body, &m); err != nil || m.Message.Token == "" {
			return "", fmt.Errorf("%s: %v", body, err)
		}
		return string(body), nil
	}
	plain := f.service.Server.Config.Handler
	f.service.Server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer token-"))
		if r.URL.Path != "/token" && (n == 0 || n <= int(f.revoked.Load())) {
			says(401, `{"error":{"code":401,"status":"UNAUTHENTICATED"}}`)(w, r)
			return
		}
		plain.ServeHTTP(w, r)
	})
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "weir-test", "client_email": "weir@test.example", "private_key_id": "k1",
		"private_key": string(inPEM(t, key)), "token_uri": f.URL + "/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	f.file = write(t, "account.json", account)
	return f
}

// grant exchanges an assertion for a token, if it is right in every respect.
func (f *firebase) grant(t testing.TB, w http.ResponseWriter, r *http.Request, key *rsa.PublicKey) {
	if f.deny.Load() {
		says(400, `{"error":"invalid_grant"}`)(w, r)
		return
	}
	claims := jwt.MapClaims{}
	token, err := jwt.ParseWithClaims(r.FormValue("assertion"), claims, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithAudience(f.URL+"/token"), jwt.WithIssuer("weir@test.example"), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if err != nil || token.Header["kid"] != "k1" || claims["scope"] != "https://www.googleapis.com/auth/firebase.messaging" ||
		r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		t.Errorf("assertion: %v %v", err, claims)
	}
	_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":3599,"token_type":"Bearer"}`, f.exchg.Add(1))
}

func (f *firebase) config() FCM { return FCM{File: f.file, URL: f.URL} }

// said lets a device of FCM answer: they are told apart by their token, which is not in the path.
func (f *firebase) said(code int, body string) { f.plays("messages:send", says(code, body)) }

// apple is a fake of APNs, which speaks HTTP/2 alone.
type apple struct {
	*service
	file  string
	stale atomic.Bool // the next token is refused as too old
}

const (
	appleKey  = "ABC123DEFG"
	appleTeam = "DEF123GHIJ"
)

func newApple(t testing.TB) *apple {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := new(apple)
	a.service = newService(t, func(h http.Handler) *httptest.Server {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if a.stale.CompareAndSwap(true, false) {
				says(403, `{"reason":"ExpiredProviderToken"}`)(w, r)
				return
			}
			h.ServeHTTP(w, r)
		}))
		srv.EnableHTTP2 = true
		srv.StartTLS()
		return srv
	})
	a.verify = func(r *http.Request, body []byte) (string, error) {
		h := r.Header
		text, ok := strings.CutPrefix(h.Get("Authorization"), "bearer ")
		if r.ProtoMajor != 2 || !ok || !strings.HasPrefix(r.URL.Path, "/3/device/") {
			return "", fmt.Errorf("%s %s %v", r.Proto, r.URL.Path, h)
		}
		var claims jwt.RegisteredClaims
		token, err := jwt.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil },
			jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(appleTeam), jwt.WithIssuedAt())
		if err != nil || token.Header["kid"] != appleKey || claims.IssuedAt == nil || time.Since(claims.IssuedAt.Time) > time.Hour {
			return "", fmt.Errorf("token %v: %v", token, err)
		}
		expires, err := strconv.ParseInt(h.Get("apns-expiration"), 10, 64)
		if err != nil || expires < time.Now().Unix() || h.Get("apns-topic") != "com.example.app" || h.Get("apns-push-type") != "alert" || len(h.Get("apns-collapse-id")) > 64 {
			return "", fmt.Errorf("header %v", h)
		}
		if len(body) > maxAPNs {
			return "", fmt.Errorf("%d bytes", len(body))
		}
		return string(body), nil
	}
	a.file = write(t, "AuthKey.p8", inPEM(t, key))
	return a
}

func (a *apple) config() APNs {
	return APNs{File: a.file, KeyID: appleKey, TeamID: appleTeam, Topic: "com.example.app", URL: a.URL}
}

const deviceToken = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
