package notify

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
)

// newHooks is a server of webhooks of users. Requests are verified with the secrets that are told to it.
func newHooks(t testing.TB) *service { return newService(t, httptest.NewServer) }

func (s *service) hook(name string) map[string]any {
	return map[string]any{"kind": "webhook", "url": s.URL + "/" + name}
}

// The row: each device is tried, the user's stream gets one notification, and what came of it is told.
func TestNotificationReachesEveryDevice(t *testing.T) {
	g := start(t, nil)
	user := g.connect("u1")
	g.register("u1", g.push.subscribe("phone"))
	g.register("u1", g.push.subscribe("laptop"))
	g.register("u1", map[string]any{"kind": "fcm", "token": "fcm-token:1"})
	g.register("u1", map[string]any{"kind": "apns", "token": strings.ToUpper(deviceToken)})
	g.register("u1", g.hooks.hook("home"))
	g.register("u1", g.hooks.hook("broken"))
	g.register("u2", g.push.subscribe("others"))
	g.hooks.plays("broken", status(422))

	id := g.notify(relaytest.Message{"userId": "u1", "title": "Hello", "body": "How are <you>? 😀", "data": map[string]any{"k": []int{1, 2}}, "priority": "high"})

	m := user.Type("update")
	data, _ := m["data"].(relaytest.Message)
	if m["group"] != "notifications" || m["key"] != id || data["id"] != id || data["title"] != "Hello" || data["body"] != "How are <you>? 😀" || data["read"] != false ||
		fmt.Sprint(data["data"]) != "map[k:[1 2]]" || time.Since(time.UnixMilli(int64(data["timestamp"].(float64)))).Abs() > time.Minute {
		t.Errorf("%v", m)
	}

	var to []string
	for range 2 {
		m := g.push.next()
		to = append(to, m.to)
		p := decode(t, m.body)
		if p["id"] != id || p["title"] != "Hello" || p["body"] != "How are <you>? 😀" || fmt.Sprint(p["data"]) != "map[k:[1 2]]" || m.header.Get("Urgency") != "high" || m.header.Get("TTL") != "86400" {
			t.Errorf("%v %s", m.header, m.body)
		}
	}
	if slices.Sort(to); !slices.Equal(to, []string{"laptop", "phone"}) {
		t.Error(to)
	}
	fcm := decode(t, g.fire.next().body)["message"].(relaytest.Message)
	if fcm["token"] != "fcm-token:1" || fmt.Sprint(fcm["notification"]) != "map[body:How are <you>? 😀 title:Hello]" ||
		fmt.Sprint(fcm["data"]) != `map[data:{"k":[1,2]} id:`+id+`]` || fmt.Sprint(fcm["android"]) != "map[priority:HIGH ttl:86400s]" {
		t.Error(fcm)
	}
	apns := g.apple.next()
	p := decode(t, apns.body)
	if apns.to != deviceToken || apns.header.Get("apns-priority") != "10" || p["id"] != id || fmt.Sprint(p["data"]) != "map[k:[1 2]]" ||
		fmt.Sprint(p["aps"].(relaytest.Message)["alert"]) != "map[body:How are <you>? 😀 title:Hello]" {
		t.Error(apns.header, apns.body)
	}
	to = []string{g.hooks.next().to, g.hooks.next().to}
	if slices.Sort(to); !slices.Equal(to, []string{"broken", "home"}) {
		t.Error(to)
	}
	r := g.wantResult(topicDelivered, "u1", 5, 1, 0)
	if r["id"] != id || r["connections"] != 1.0 {
		t.Error(r)
	}
	if len(g.push.messages) > 0 {
		t.Error("another user's device was told")
	}
	user.Send(relaytest.Message{"type": "ping"})
	if m := user.Next(); m["type"] != "pong" {
		t.Error("more than one notification", m)
	}
}

// The hole: failed is never emitted.
func TestAllFailedIsTold(t *testing.T) {
	g := start(t, nil)
	g.register("u1", g.hooks.hook("a"))
	g.register("u1", g.push.subscribe("b"))
	g.hooks.plays("a", status(400))
	g.push.plays("b", status(413))
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	if r := g.wantResult(topicFailed, "u1", 0, 2, 0); r["reason"] != "all_failed" || r["connections"] != 0.0 {
		t.Error(r)
	}
	if len(g.devices("u1")) != 2 {
		t.Error("a device that refused one notification is gone")
	}
}

// The hole: zero devices is silent.
func TestNoDevicesIsTold(t *testing.T) {
	g := start(t, nil)
	user := g.connect("u1")
	id := g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	if r := g.wantResult(topicFailed, "u1", 0, 0, 0); r["reason"] != "no_devices" || r["connections"] != 1.0 || r["id"] != id {
		t.Error(r)
	}
	if m := user.Type("update"); m["key"] != id {
		t.Error(m)
	}
}

// The hole: priority is not used.
func TestPriorityIsPassedOn(t *testing.T) {
	g := start(t, nil)
	g.register("u1", g.push.subscribe("a"))
	g.register("u1", map[string]any{"kind": "fcm", "token": "t"})
	g.register("u1", map[string]any{"kind": "apns", "token": deviceToken})
	for _, tt := range []struct{ given, urgency, fcm, apns string }{
		{"low", "low", "NORMAL", "1"}, {"normal", "normal", "NORMAL", "5"}, {"", "normal", "NORMAL", "5"}, {"high", "high", "HIGH", "10"},
	} {
		m := relaytest.Message{"userId": "u1", "title": "Hello", "tag": "greetings"}
		if tt.given != "" {
			m["priority"] = tt.given
		}
		g.notify(m)
		if got := g.push.next().header.Get("Urgency"); got != tt.urgency {
			t.Errorf("%q: urgency %s", tt.given, got)
		}
		android := decode(t, g.fire.next().body)["message"].(relaytest.Message)["android"].(relaytest.Message)
		if android["priority"] != tt.fcm || android["collapse_key"] != "greetings" {
			t.Errorf("%q: %v", tt.given, android)
		}
		if got := g.apple.next().header.Get("apns-priority"); got != tt.apns {
			t.Errorf("%q: apns-priority %s", tt.given, got)
		}
		g.wantResult(topicDelivered, "u1", 3, 0, 0)
	}
	if status, out := g.Backend("POST", "/v1/notify", relaytest.Message{"userId": "u1", "title": "x", "priority": "urgent"}); status != 400 || !strings.Contains(fmt.Sprint(out), "priority") {
		t.Error(status, out)
	}
}

// The hole: dead devices are not pruned.
func TestDeadDevicesArePruned(t *testing.T) {
	g := start(t, nil)
	for name, code := range map[string]int{"lost": 404, "gone": 410, "fine": 201} {
		g.register("u1", g.push.subscribe(name))
		g.push.plays(name, status(code))
	}
	g.register("u1", g.hooks.hook("hook"))
	g.hooks.plays("hook", status(410))
	g.register("u1", map[string]any{"kind": "fcm", "token": "t"})
	g.fire.said(404, `{"error":{"code":404,"status":"NOT_FOUND","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNREGISTERED"}]}}`)
	g.register("u1", map[string]any{"kind": "apns", "token": deviceToken})
	g.apple.plays(deviceToken, says(410, `{"reason":"Unregistered","timestamp":`+fmt.Sprint(time.Now().Add(time.Minute).UnixMilli())+`}`))
	bad := strings.Repeat("ab", 32)
	g.register("u1", map[string]any{"kind": "apns", "token": bad})
	g.apple.plays(bad, says(400, `{"reason":"BadDeviceToken"}`))

	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	g.wantResult(topicDelivered, "u1", 1, 6, 6)
	list := g.devices("u1")
	if len(list) != 1 || list[0].(relaytest.Message)["host"] != strings.TrimPrefix(g.push.URL, "http://") {
		t.Error(list)
	}
	for range 3 {
		g.push.next()
	}
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	g.wantResult(topicDelivered, "u1", 1, 0, 0)
	if m := g.push.next(); m.to != "fine" || len(g.push.messages) > 0 {
		t.Error("a dead device was tried again")
	}
}

// What Apple says of a token holds for the past: a device that has registered since is back.
func TestDeviceThatCameBackIsKept(t *testing.T) {
	g := start(t, nil)
	g.register("u1", map[string]any{"kind": "apns", "token": deviceToken})
	g.apple.plays(deviceToken, says(410, `{"reason":"Unregistered","timestamp":1000}`))
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	g.wantResult(topicFailed, "u1", 0, 1, 0)
	if len(g.devices("u1")) != 1 {
		t.Error("it was pruned")
	}
}

// The hole: no retry.
func TestDevicesAreTriedAgain(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[Config](c).Timeout = 200 * time.Millisecond })
	g.register("u1", g.push.subscribe("down"))
	g.register("u1", g.push.subscribe("hangs"))
	g.register("u1", g.push.subscribe("breaks"))
	g.register("u1", g.push.subscribe("busy"))
	g.push.plays("down", status(500), status(503), status(201))
	g.push.plays("hangs", g.push.hang(), status(201))
	g.push.plays("breaks", reset, status(201))
	g.push.plays("busy", status(429, "Retry-After: 1"), status(201))
	began := time.Now()
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	g.wantResult(topicDelivered, "u1", 4, 0, 0)
	if since := time.Since(began); since < time.Second {
		t.Errorf("Retry-After was passed over: %v", since)
	}
	counts := make(map[string]int)
	for len(g.push.messages) > 0 {
		counts[g.push.next().to]++
	}
	if fmt.Sprint(counts) != "map[breaks:2 busy:2 down:3 hangs:2]" {
		t.Error(counts)
	}
}

// The hole: no timeout. A device that never answers is given up, and holds up nobody.
func TestDeviceThatHangsIsGivenUp(t *testing.T) {
	g := start(t, func(c *config.Config) { quick(c); config.Of[Config](c).Timeout = 50 * time.Millisecond })
	g.register("u1", g.hooks.hook("hangs"))
	g.register("u1", g.push.subscribe("fine"))
	g.hooks.plays("hangs", g.hooks.hang())
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	g.push.next() // at once
	g.wantResult(topicDelivered, "u1", 1, 1, 0)
	if len(g.devices("u1")) != 2 {
		t.Error("a device that does not answer is not dead")
	}
}

// The hole: no id. With one of the sender's own, a notification that is sent again comes once.
func TestNotificationIsSentOnce(t *testing.T) {
	g := start(t, nil)
	user := g.connect("u1")
	g.register("u1", g.hooks.hook("a"))
	for range 3 {
		if id := g.notify(relaytest.Message{"userId": "u1", "id": "order:7", "title": "Paid"}); id != "order:7" {
			t.Error(id)
		}
	}
	g.wantResult(topicDelivered, "u1", 1, 0, 0)
	g.notify(relaytest.Message{"userId": "u1", "id": "order:7", "title": "Paid"})
	g.notify(relaytest.Message{"userId": "u1", "id": "order:8", "title": "Paid"})
	if r := g.wantResult(topicDelivered, "u1", 1, 0, 0); r["id"] != "order:8" {
		t.Error(r)
	}
	if user.Type("update")["key"] != "order:7" || user.Type("update")["key"] != "order:8" || len(g.hooks.messages) != 2 {
		t.Error("it came twice")
	}
}

// The topic does the same as the route. A client speaks for its own user only.
func TestTopicSends(t *testing.T) {
	g := start(t, nil)
	u1, u9 := g.connect("u1"), g.connect("u9")
	if status, out := g.Backend("POST", "/v1/events", `{"topic":"notification.send","data":{"userId":"u9","title":"Hello","body":"B","data":{
		"lines": 2}}}`); status != 202 {
		t.Fatal(status, out)
	}
	if m := u9.Type("update"); m["data"].(relaytest.Message)["title"] != "Hello" {
		t.Error(m)
	}
	for body, want := range map[string]string{
		`{"topic":"notification.send","data":{"title":"Hello"}}`:                                                      "userId is missing",
		`{"topic":"notification.send","data":{"userId":"u1"}}`:                                                        "title is missing",
		`{"topic":"notification.send","data":{"userId":7,"title":"x"}}`:                                               "userId must be a string",
		`{"topic":"notification.send","data":[]}`:                                                                     "expected a JSON object",
		`{"topic":"notification.send","data":{"userId":"u1","title":"` + strings.Repeat("é", 257) + `"}}`:             "title must be at most",
		`{"topic":"notification.send","data":{"userId":"u1","title":"x","body":"` + strings.Repeat("é", 4097) + `"}}`: "body must be at most",
		`{"topic":"notification.send","data":{"userId":"u1","title":"x","id":"a b"}}`:                                 "id must be",
	} {
		if status, out := g.Backend("POST", "/v1/events", body); status != 400 || !strings.Contains(fmt.Sprint(out), want) {
			t.Errorf("%s: %d %v", body, status, out)
		}
	}
	u1.Send(relaytest.Message{"type": "event", "id": 1, "topic": "notification.send", "data": relaytest.Message{"userId": "u9", "title": "Spam"}})
	if m := u1.Type("error"); m["code"] != "forbidden" {
		t.Error(m)
	}
	p, _ := g.Dial(g.Token("u2", func(c *auth.Claims) { c.Channels = map[string][]string{"event:notification.send": {"publish"}} }), "/ws")
	p.Send(relaytest.Message{"type": "event", "id": 1, "topic": "notification.send", "data": relaytest.Message{"userId": "u9", "title": "Note to self"}})
	if m := p.Type("update"); m["data"].(relaytest.Message)["title"] != "Note to self" {
		t.Error(m)
	}
	u9.Send(relaytest.Message{"type": "ping"})
	if m := u9.Next(); m["type"] != "pong" {
		t.Error("a client told another user", m)
	}
}

// Webhooks of users are signed, with a secret that only their owner was told.
func TestUserWebhookIsSigned(t *testing.T) {
	g := start(t, nil)
	status, out := g.As("u1", "POST", "/devices", g.hooks.hook("home"))
	secret, _ := out.(relaytest.Message)["secret"].(string)
	if status != 201 || secret == "" {
		t.Fatal(status, out)
	}
	if status, out := g.As("u1", "POST", "/devices", g.hooks.hook("home")); status != 200 || out.(relaytest.Message)["secret"] != nil {
		t.Error("it is shown again", status, out)
	}
	id := g.notify(relaytest.Message{"userId": "u1", "title": "Hello", "data": 7})
	m := g.hooks.next()
	w, err := standardwebhooks.NewWebhook(secret)
	if err == nil {
		err = w.Verify([]byte(m.body), m.header)
	}
	if err != nil {
		t.Error(err)
	}
	body := decode(t, m.body)
	if m.header.Get("webhook-id") != id || body["type"] != "notification" || body["data"].(relaytest.Message)["title"] != "Hello" || body["data"].(relaytest.Message)["data"] != 7.0 {
		t.Error(m.header, m.body)
	}
}

// A service that does not accept the relay is the operator's concern, and no fault of the device.
func TestRefusedKeysAreAlarming(t *testing.T) {
	g := start(t, nil)
	g.register("u1", g.push.subscribe("a"))
	g.push.plays("a", status(403))
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	g.wantResult(topicFailed, "u1", 0, 1, 0)
	if len(g.devices("u1")) != 1 || !strings.Contains(g.Logs(), "refuses pushes") {
		t.Error("no alarm, or the device is gone")
	}
	if n := len(g.push.messages); n != 1 {
		t.Errorf("tried %d times", n)
	}
}

// Tokens of services are fetched once, used by all, and replaced when the service takes them back.
func TestServiceTokens(t *testing.T) {
	g := start(t, nil)
	g.register("u1", map[string]any{"kind": "fcm", "token": "t"})
	g.register("u1", map[string]any{"kind": "apns", "token": deviceToken})
	for range 3 {
		g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
		g.wantResult(topicDelivered, "u1", 2, 0, 0)
	}
	if n := g.fire.exchg.Load(); n != 1 {
		t.Errorf("%d tokens were fetched", n)
	}
	g.fire.revoked.Store(1)
	g.apple.stale.Store(true)
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	g.wantResult(topicDelivered, "u1", 2, 0, 0)
	g.fire.revoked.Store(1000)
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	g.wantResult(topicDelivered, "u1", 1, 1, 0)
	g.fire.deny.Store(true)
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	g.wantResult(topicDelivered, "u1", 1, 1, 0)
	if len(g.devices("u1")) != 2 || !strings.Contains(g.Logs(), "refuses pushes") {
		t.Error("no alarm, or the device is gone")
	}
}

// What does not fit into a push is left out of the push.
func TestLongNotificationsFit(t *testing.T) {
	g := start(t, nil)
	user := g.connect("u1")
	g.register("u1", g.push.subscribe("a"))
	g.register("u1", map[string]any{"kind": "fcm", "token": "t"})
	g.register("u1", map[string]any{"kind": "apns", "token": deviceToken})
	g.register("u1", g.hooks.hook("a"))
	body := strings.Repeat("😀é", 2048)
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello", "body": body, "data": strings.Repeat("x", 8000)})
	g.wantResult(topicDelivered, "u1", 4, 0, 0)
	for _, text := range []string{g.push.next().body, g.fire.next().body, g.apple.next().body} {
		if !strings.Contains(text, "…") || !strings.Contains(text, "truncated") || strings.Contains(text, "xxx") || len(text) > 4096+len("t") || len(text) < 3900 {
			t.Errorf("%d bytes: %.200s", len(text), text)
		}
	}
	if text := g.hooks.next().body; !strings.Contains(text, body) || !strings.Contains(text, "xxx") {
		t.Error("a webhook gets the whole")
	}
	if m := user.Type("update"); m["data"].(relaytest.Message)["body"] != body {
		t.Error("the channel holds the whole")
	}
	if status, out := g.Backend("POST", "/v1/notify", relaytest.Message{"userId": "u1", "title": "Hello", "data": strings.Repeat("x", 64<<10)}); status != http.StatusRequestEntityTooLarge {
		t.Error(status, out)
	}
}

// The hole: no cap on concurrency. However many devices there are, so many are asked at once.
func TestConcurrencyIsCapped(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[Config](c).Parallel = 3 })
	var now, most atomic.Int32
	held := make(chan struct{})
	for i := range 10 {
		name := fmt.Sprint("d", i)
		g.register("u1", g.hooks.hook(name))
		g.hooks.plays(name, func(w http.ResponseWriter, _ *http.Request) {
			n := now.Add(1)
			defer now.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			<-held
			w.WriteHeader(http.StatusOK)
		})
	}
	g.notify(relaytest.Message{"userId": "u1", "title": "Hello"})
	for range 3 {
		g.hooks.next()
	}
	close(held)
	g.wantResult(topicDelivered, "u1", 10, 0, 0)
	if most.Load() > 3 {
		t.Errorf("%d at once", most.Load())
	}
}
