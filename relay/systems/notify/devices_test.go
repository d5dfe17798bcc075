package notify

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/safedial"
	"weir/relay/config"
	"weir/relay/relaytest"
)

func TestDevicesAreChecked(t *testing.T) {
	keys := newBrowser(t).keys()
	with := func(key, value string) map[string]string {
		m := map[string]string{"p256dh": keys["p256dh"], "auth": keys["auth"]}
		m[key] = value
		return m
	}
	g := relaytest.Start(t, func(c *config.Config) {
		v, err := NewVAPID()
		if err != nil {
			t.Fatal(err)
		}
		config.Of[Config](c).WebPush = WebPush{Secret: v.Private, Subject: subject}
		f := newFirebase(t)
		config.Of[Config](c).FCM = f.config()
		a := newApple(t)
		config.Of[Config](c).APNs = a.config()
	}, New())
	for _, tt := range []struct {
		body any
		want string
	}{
		{`{"kind":`, "Invalid message format"},
		{`[]`, "expected a JSON object"},
		{map[string]any{}, "kind must be one of apns, fcm, webhook, webpush"},
		{map[string]any{"kind": "pager"}, "kind must be one of"},
		{map[string]any{"kind": 7}, "kind must be a string"},
		{map[string]any{"kind": "webhook"}, "url must be an https address"},
		{map[string]any{"kind": "webhook", "url": "http://example.com/"}, "url must be an https address"},
		{map[string]any{"kind": "webhook", "url": "ftp://example.com/"}, "url must be an https address"},
		{map[string]any{"kind": "webhook", "url": "https://user:secret@example.com/"}, "url must have no user"},
		{map[string]any{"kind": "webhook", "url": "https://example.com/#x"}, "no fragment"},
		{map[string]any{"kind": "webhook", "url": "https:///x"}, "url must be an https address"},
		{map[string]any{"kind": "webhook", "url": "https://127.0.0.1/"}, "url must be a public address"},
		{map[string]any{"kind": "webhook", "url": "https://localhost/"}, "url must be a public address"},
		{map[string]any{"kind": "webhook", "url": "https://[::1]/"}, "url must be a public address"},
		{map[string]any{"kind": "webhook", "url": "https://[::ffff:10.0.0.1]/"}, "url must be a public address"},
		{map[string]any{"kind": "webhook", "url": "https://10.1.2.3/"}, "url must be a public address"},
		{map[string]any{"kind": "webhook", "url": "https://169.254.169.254/latest/meta-data"}, "url must be a public address"},
		{map[string]any{"kind": "webhook", "url": "https://example.com/" + strings.Repeat("x", 2048)}, "at most 2048 bytes"},
		{map[string]any{"kind": "webhook", "url": "https://example.com/", "name": strings.Repeat("é", 101)}, "name must be at most 100"},
		{map[string]any{"kind": "webpush", "keys": keys}, "endpoint must be an https address"},
		{map[string]any{"kind": "webpush", "endpoint": "https://10.0.0.1/", "keys": keys}, "endpoint must be a public address"},
		{map[string]any{"kind": "webpush", "endpoint": "https://push.example.com/x"}, "keys.p256dh must be"},
		{map[string]any{"kind": "webpush", "endpoint": "https://push.example.com/x", "keys": with("p256dh", "AAAA")}, "keys.p256dh must be"},
		{map[string]any{"kind": "webpush", "endpoint": "https://push.example.com/x", "keys": with("p256dh", b64(make([]byte, 65)))}, "keys.p256dh must be"},
		{map[string]any{"kind": "webpush", "endpoint": "https://push.example.com/x", "keys": with("auth", "AAAA")}, "keys.auth must be"},
		{map[string]any{"kind": "webpush", "subscription": map[string]any{"endpoint": "x", "keys": keys}}, "subscription.endpoint must be"},
		{map[string]any{"kind": "webpush", "subscription": map[string]any{"endpoint": "https://push.example.com/x"}}, "subscription.keys.p256dh must be"},
		{map[string]any{"kind": "fcm"}, "token must be"},
		{map[string]any{"kind": "fcm", "token": "a b"}, "token must be"},
		{map[string]any{"kind": "fcm", "token": strings.Repeat("x", 4097)}, "token must be"},
		{map[string]any{"kind": "apns", "token": "../3/device/x"}, "token must be the device token in hexadecimal"},
		{map[string]any{"kind": "apns", "token": "abc"}, "token must be the device token in hexadecimal"},
	} {
		if status, out := g.As("u1", "POST", "/devices", tt.body); status != 400 || !strings.Contains(fmt.Sprint(out), tt.want) {
			t.Errorf("%v: %d %v, want %s", tt.body, status, out, tt.want)
		}
	}
	for _, good := range []any{
		map[string]any{"kind": "webhook", "url": "https://example.com/x?y=z", "name": "hook"},
		map[string]any{"kind": "webpush", "subscription": map[string]any{"endpoint": "https://push.example.com/x", "expirationTime": nil, "keys": keys}},
		map[string]any{"kind": "webpush", "endpoint": "https://push.example.com/y", "keys": with("auth", keys["auth"]+"==")},
		map[string]any{"kind": "fcm", "token": "t"},
		map[string]any{"kind": "apns", "token": deviceToken},
	} {
		if status, out := g.As("u1", "POST", "/devices", good); status != 201 {
			t.Errorf("%v: %d %v", good, status, out)
		}
	}
	if status, _ := g.As("", "POST", "/devices", `{}`); status != 401 {
		t.Error("without a token", status)
	}
	if status, out := g.Backend("POST", "/devices", `{}`); status != 401 {
		t.Error("an API key is no user", status, out)
	}
}

// What is not configured is not offered.
func TestKindsThatAreNotConfigured(t *testing.T) {
	g := relaytest.Start(t, nil, New())
	for _, kind := range []string{"webpush", "fcm", "apns"} {
		if status, out := g.As("u1", "POST", "/devices", map[string]any{"kind": kind}); status != 400 || !strings.Contains(fmt.Sprint(out), "kind must be one of webhook") {
			t.Error(kind, status, out)
		}
	}
	if status, out := g.As("u1", "GET", "/devices/vapid", nil); status != 404 || !strings.Contains(fmt.Sprint(out), "not configured") {
		t.Error(status, out)
	}
}

// A user sees and removes their own devices and nobody else's; what is shown lets nobody reach them.
func TestDevicesAreTheirOwners(t *testing.T) {
	g := start(t, nil)
	id := g.register("u1", map[string]any{"kind": "fcm", "token": "secret-token", "name": "Ann's phone"})
	push := g.register("u1", g.push.subscribe("secret-path"))
	list := g.devices("u1")
	if text := fmt.Sprint(list); len(list) != 2 || strings.Contains(text, "secret") || !strings.Contains(text, "Ann's phone") || !strings.Contains(text, push) {
		t.Error(list)
	}
	if status, out := g.As("u1", "POST", "/devices", map[string]any{"kind": "fcm", "token": "secret-token"}); status != 200 || out.(relaytest.Message)["id"] != id {
		t.Error("the same address is the same device", status, out)
	}
	if len(g.devices("u2")) != 0 {
		t.Error("another user sees them")
	}
	if status, _ := g.As("u2", "DELETE", "/devices/"+id, nil); status != 404 {
		t.Error("another user removes one", status)
	}
	if status, _ := g.As("u1", "DELETE", "/devices/"+id, nil); status != 204 {
		t.Error(status)
	}
	if status, _ := g.As("u1", "DELETE", "/devices/"+id, nil); status != 404 {
		t.Error("twice", status)
	}
	if status, out := g.As("u1", "DELETE", "/devices", nil); status != 200 || fmt.Sprint(out) != "map[removed:1]" {
		t.Error(status, out)
	}
	if len(g.devices("u1")) != 0 {
		t.Error("some are left")
	}
	p := g.connect("u2")
	for _, channel := range []string{"notify:u1", "notify:=way:1", "user:u1"} {
		p.Send(relaytest.Message{"type": "subscribe", "id": 1, "channel": channel})
		if m := p.Type("error"); m["code"] != "forbidden" {
			t.Error(channel, m)
		}
	}
}

func TestDevicesOfAUserAreBounded(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[Config](c).Devices = 3 })
	for i := range 4 {
		g.register("u1", map[string]any{"kind": "fcm", "token": fmt.Sprint("t", i), "name": fmt.Sprint("device ", i)})
		if i == 2 { // the first one is in use
			if status, _ := g.As("u1", "POST", "/devices", map[string]any{"kind": "fcm", "token": "t0", "name": "device 0"}); status != 200 {
				t.Error(status)
			}
		}
	}
	if list := fmt.Sprint(g.devices("u1")); strings.Contains(list, "device 1") || strings.Count(list, "device ") != 3 {
		t.Error(list)
	}
}

// A name that resolves to a private address is refused when it is dialled, and a redirect is not followed.
func TestUsersReachNothingPrivate(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	n := (&request{UserID: "u1", ID: "n1", Title: "Hello"}).notification(time.Now())
	key, err := NewVAPID()
	if err != nil {
		t.Fatal(err)
	}
	client := safedial.Client(time.Second)
	port := srv.URL[strings.LastIndexByte(srv.URL, ':'):]
	b := newBrowser(t).keys()
	for _, host := range []string{"127.0.0.1", "localhost"} {
		d := &device{URL: "https://" + host + port, Secret: newSecret(), P256dh: b["p256dh"], Auth: b["auth"]}
		for _, s := range []transport{&hook{client}, &webPush{client, key, subject, time.Hour}} {
			if o := s.send(t.Context(), d, n); o.verdict != refused || !strings.Contains(o.problem, "not a public one") {
				t.Errorf("%T %s: %+v", s, host, o)
			}
		}
	}
	if hits.Load() != 0 {
		t.Error("it was called")
	}
	redirected := srv.Client()
	redirected.CheckRedirect = func(*http.Request, []*http.Request) error { return safedial.ErrRedirect }
	d := &device{URL: srv.URL, Secret: newSecret()}
	if o := (&hook{redirected}).send(t.Context(), d, n); o.verdict != refused || hits.Load() != 1 {
		t.Errorf("%+v, %d hits", o, hits.Load())
	}
	if o := silence(errors.New("x")); o.verdict != failed || !o.silent {
		t.Error(o)
	}
}

// The key that pages subscribe with is the one that messages are signed with.
func TestVAPIDKey(t *testing.T) {
	w := newWorld(t)
	g := w.start(t, nil)
	if status, out := g.As("u1", "GET", "/devices/vapid", nil); status != 200 || out.(relaytest.Message)["publicKey"] != w.key.Public {
		t.Error(status, out)
	}
	if status, _ := g.As("", "GET", "/devices/vapid", nil); status != 401 {
		t.Error(status)
	}
}

// Development mode makes a key of its own.
func TestVAPIDKeyOfDevelopment(t *testing.T) {
	w := newWorld(t)
	g := w.start(t, func(c *config.Config) { config.Of[Config](c).WebPush = WebPush{} })
	_, out := g.As("u1", "GET", "/devices/vapid", nil)
	public := out.(relaytest.Message)["publicKey"].(string)
	s := newPushService(t, func() string { return public }, "mailto:weir@example.com")
	g.register("u1", s.subscribe("a"))
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	if m := s.next(); decode(t, m.body)["title"] != "Hello" {
		t.Error(m)
	}
	g.wantResult(topicDelivered, "u1", 1, 0, 0)
}

func TestParseVAPID(t *testing.T) {
	v, err := NewVAPID()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{v.Private, v.Private + "=", " " + v.Private + "\n"} {
		if got, err := parseVAPID(text); err != nil || *got != *v {
			t.Error(err, got)
		}
	}
	for _, text := range []string{"", "hunter2", v.Public, b64(make([]byte, 32)), strings.Repeat("_", 43)} {
		if _, err := parseVAPID(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, good := range map[string]bool{"mailto:ops@example.com": true, "https://example.com/contact": true, "": false, "ops@example.com": false, "mailto:": false, "http://example.com": false, "https://": false} {
		if err := checkSubject(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A device that changes hands tells its new user only; nobody takes another's webhook by knowing its address.
func TestDeviceBelongsToWhoRegisteredItLast(t *testing.T) {
	g := start(t, nil)
	tablet := g.push.subscribe("tablet")
	id := g.register("u1", tablet)
	g.register("u1", g.hooks.hook("home"))
	if again := g.register("u2", tablet); again != id {
		t.Error(again, id)
	}
	g.register("u2", g.hooks.hook("home"))
	g.notify(relaytest.Message{"userId": "u1", "title": "For u1 alone"})
	g.wantResult(topicDelivered, "u1", 1, 0, 0)
	if len(g.push.messages) > 0 || len(g.devices("u1")) != 1 || len(g.devices("u2")) != 2 {
		t.Error("it is told of what is another's", g.devices("u1"), g.devices("u2"))
	}
	g.notify(relaytest.Message{"userId": "u2", "title": "For u2"})
	g.wantResult(topicDelivered, "u2", 2, 0, 0)
	g.push.next()
	if status, _ := g.As("u1", "DELETE", "/devices/"+id, nil); status != 404 {
		t.Error("u1 removes what is u2's", status)
	}
	if status, _ := g.As("u2", "DELETE", "/devices/"+id, nil); status != 204 {
		t.Error(status)
	}
	g.register("u1", tablet)
	g.notify(relaytest.Message{"userId": "u1", "title": "Back again"})
	g.wantResult(topicDelivered, "u1", 2, 0, 0)
}
