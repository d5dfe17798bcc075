//go:build e2e

package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// visitor is a browser without scripts: it keeps cookies and fills in forms.
type visitor struct {
	t      *testing.T
	base   string
	origin string // of its WebSockets
	at     string // path of the last page
	client http.Client
}

func newVisitor(t *testing.T, base string) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, base: base, origin: base, client: http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

// from is the visitor on a page of another site.
func (v *visitor) from(origin string) *visitor {
	other := *v
	other.origin = origin
	return &other
}

func (v *visitor) do(resp *http.Response, err error) (page string, status int) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.at = "/" + strings.TrimPrefix(resp.Request.URL.Path, "/")
	return string(b), resp.StatusCode
}

func (v *visitor) get(path string) (page string, status int) {
	v.t.Helper()
	return v.do(v.client.Get(v.base + path))
}

var (
	formTag   = regexp.MustCompile(`(?s)<form([^>]*)>(.*?)</form>`)
	inputTag  = regexp.MustCompile(`<input([^>]*)>`)
	attribute = regexp.MustCompile(`([\w-]+)="([^"]*)"`)
)

func attributes(tag string) map[string]string {
	m := make(map[string]string)
	for _, a := range attribute.FindAllStringSubmatch(tag, -1) {
		m[a[1]] = html.UnescapeString(a[2])
	}
	return m
}

// submit fills in the form of a page that goes to an address, and sends it.
func (v *visitor) submit(page, action, text, password string) (status int) {
	v.t.Helper()
	for _, form := range formTag.FindAllStringSubmatch(page, -1) {
		a := attributes(form[1])
		if !strings.EqualFold(a["method"], "post") || a["action"] != "" && a["action"] != action || a["action"] == "" && v.at != action {
			continue
		}
		fields := make(url.Values)
		for _, input := range inputTag.FindAllStringSubmatch(form[2], -1) {
			switch i := attributes(input[1]); i["type"] {
			case "hidden":
				fields.Set(i["name"], i["value"])
			case "password":
				fields.Set(i["name"], password)
			default:
				fields.Set(i["name"], text)
			}
		}
		_, status = v.do(v.client.PostForm(v.base+action, fields))
		return status
	}
	v.t.Fatalf("there is no form for %s on:\n%s", action, page)
	return 0
}

func (v *visitor) signIn(name string) {
	v.t.Helper()
	page, _ := v.get("/login")
	if status := v.submit(page, "/login", name, "secret"); status != 200 || v.at != "/" {
		v.t.Fatalf("signing in: %d at %s", status, v.at)
	}
}

// connect opens a WebSocket with the visitor's cookies. Without success the peer is nil.
func (v *visitor) connect(relay *daemon, query ...string) (*peer, int) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 30*time.Second)
	defer cancel()
	h := make(http.Header)
	if v.origin != "" {
		h.Set("Origin", v.origin)
	}
	address, err := url.Parse(v.base)
	if err != nil {
		v.t.Fatal(err)
	}
	var cookies []string
	for _, c := range v.client.Jar.Cookies(address) { // of all ports of the host, as browsers have it
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	if len(cookies) > 0 {
		h.Set("Cookie", strings.Join(cookies, "; "))
	}
	conn, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(relay.url, "http")+"/ws?"+strings.Join(query, "&"), &websocket.DialOptions{HTTPHeader: h})
	if resp == nil {
		v.t.Fatal(err)
	}
	if err != nil {
		return nil, resp.StatusCode
	}
	return newPeer(v.t, conn), resp.StatusCode
}

// ask sends a request to a backend.
func ask(t *testing.T, method, url, body string, h http.Header) (status int, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if h != nil {
		req.Header = h
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// signedHeader is what weir sends with a body.
func signedHeader(t *testing.T, id, at, body string) http.Header {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(exampleSecret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	return http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {at}, "Webhook-Signature": {"v1,other v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}}
}

func withID(h http.Header) http.Header {
	h.Set("Webhook-Id", "msg_1")
	return h
}
