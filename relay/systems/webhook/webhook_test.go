package webhook_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/sign"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/webhook"
)

const secret, newSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// backend is an endpoint of webhooks on loopback, which verifies what comes.
type backend struct {
	*httptest.Server
	t      *testing.T
	bodies chan string
}

// newBackend answers with what handle says; nil: 204. Requests with a wrong signature fail the test.
func newBackend(t *testing.T, handle http.HandlerFunc) *backend {
	b := &backend{t: t, bodies: make(chan string, 1000)}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, s := range []string{secret, newSecret} {
			key, err := sign.ParseSecret(s)
			if err == nil {
				err = sign.Verify(key, r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), body, time.Now())
			}
			if err != nil {
				t.Errorf("%s: %v", body, err)
			}
		}
		if !strings.HasPrefix(string(body), `{"id":"`+r.Header.Get("webhook-id")+`"`) || r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v %s", r.Method, r.Header, body)
		}
		b.bodies <- string(body)
		if handle != nil {
			handle(w, r)
			return
		}
		w.WriteHeader(204)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) next() string {
	b.t.Helper()
	select {
	case body := <-b.bodies:
		return body
	case <-time.After(relaytest.Patience):
		b.t.Fatal("nothing came")
		return ""
	}
}

func start(t *testing.T, hooks ...webhook.Webhook) *relaytest.Rig {
	return relaytest.Start(t, func(c *config.Config) {
		for _, h := range hooks {
			h.Secrets, h.AllowInsecure = []string{secret, newSecret}, true
			*config.Of[webhook.Config](c) = append(*config.Of[webhook.Config](c), h)
		}
	}, webhook.New())
}

// await asks until the state of an endpoint is the wanted one.
func await(g *relaytest.Rig, want string) {
	g.Helper()
	deadline := time.Now().Add(relaytest.Patience)
	for {
		_, out := g.Backend("GET", "/v1/webhooks", nil)
		if got := fmt.Sprint(out); strings.Contains(got, want) {
			return
		} else if time.Now().After(deadline) {
			g.Fatalf("%s, want %s", got, want)
		}
		<-time.After(5 * time.Millisecond) // asked, not told: an operator's view
	}
}

func TestWebhookTellsOfEvents(t *testing.T) {
	shop, other := newBackend(t, nil), newBackend(t, nil)
	g := start(t, webhook.Webhook{Name: "shop", URL: shop.URL, Topics: []string{"order.*", "order.paid"}}, webhook.Webhook{Name: "other", URL: other.URL, Topics: []string{"message.received"}})
	if status, out := g.Backend("POST", "/v1/events", `{"topic":"order.paid","key":"order:7","data":{"order":7}}`); status != 202 {
		t.Fatal(status, out)
	}
	body := shop.next()
	for _, want := range []string{`"type":"order.paid"`, `"key":"order:7"`, `"data":{"order":7}`, `"timestamp":"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%s in %s", want, body)
		}
	}
	g.Backend("POST", "/v1/events", `{"topic":"stock.low","data":1}`) // nobody's
	p := g.WS("u1", "/ws")
	p.Type("connected")
	p.Send(relaytest.Message{"type": "message", "id": 1, "content": "hello"})
	p.Type("ok")
	if body := other.next(); !strings.Contains(body, `"userId":"u1"`) || !strings.Contains(body, `"content":"hello"`) {
		t.Error(body)
	}
	p.Send(relaytest.Message{"type": "event", "id": 2, "topic": "order.paid", "data": 1})
	if m := p.Type("error"); m["code"] != "forbidden" {
		t.Error("a client spoke for the shop", m)
	}
	q, _ := g.Dial(g.Token("u2", func(c *auth.Claims) { c.Channels = map[string][]string{"event:order.seen": {"publish"}} }), "/ws")
	q.Send(relaytest.Message{"type": "event", "id": 3, "topic": "order.seen", "data": relaytest.Message{"userId": "u9"}})
	q.Type("ok")
	if body := shop.next(); !strings.Contains(body, `"userId":"u2","data":{"userId":"u9"}`) {
		t.Error("the user is the session's:", body)
	}
	await(g, "name:other state:up waiting:0")
	if len(shop.bodies) > 0 || len(other.bodies) > 0 {
		t.Error("more came than was wanted")
	}
}

// What one endpoint does is no other's concern, and a replay brings back what it has missed.
func TestWebhookThatFailsHarmsNoOther(t *testing.T) {
	release := make(chan struct{})
	slow := newBackend(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	var mu sync.Mutex
	answer := http.StatusGone
	gone := newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.WriteHeader(answer)
	})
	target := newBackend(t, nil)
	redirects := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, target.URL, http.StatusTemporaryRedirect)
	})
	good := newBackend(t, nil)
	all := []string{"*"}
	g := start(t, webhook.Webhook{Name: "slow", URL: slow.URL, Topics: all, Timeout: 100 * time.Millisecond}, webhook.Webhook{Name: "gone", URL: gone.URL, Topics: all},
		webhook.Webhook{Name: "redirects", URL: redirects.URL, Topics: all}, webhook.Webhook{Name: "down", URL: "http://127.0.0.1:1/", Topics: all},
		webhook.Webhook{Name: "good", URL: good.URL, Topics: all})
	for i := range 20 {
		if status, out := g.Backend("POST", "/v1/events", fmt.Sprintf(`{"topic":"t","key":"k","data":%d}`, i)); status != 202 {
			t.Fatal(status, out)
		}
	}
	for i := range 20 {
		if body := good.next(); !strings.HasSuffix(body, fmt.Sprintf(`"data":%d}`, i)) {
			t.Fatal(i, body)
		}
	}
	slow.next()
	redirects.next()
	await(g, "dead:20 name:gone state:disabled waiting:0")
	await(g, "name:redirects state:up waiting:20")
	if len(target.bodies) > 0 {
		t.Error("a redirect was followed")
	}
	status, out := g.Backend("GET", "/v1/channels/webhook:dead:gone", nil)
	if text := fmt.Sprint(out); status != 200 || !strings.Contains(text, "reason:gone") || strings.Count(text, "msg_") != 40 {
		t.Error(status, text)
	}
	mu.Lock()
	answer = 200
	mu.Unlock()
	for len(gone.bodies) > 0 {
		gone.next()
	}
	if status, out := g.Backend("POST", "/v1/webhooks/gone/replay", nil); status != 200 || fmt.Sprint(out) != "map[left:0 replayed:20]" {
		t.Fatal(status, out)
	}
	for i := range 20 {
		if body := gone.next(); !strings.HasSuffix(body, fmt.Sprintf(`"data":%d}`, i)) {
			t.Fatal(i, body)
		}
	}
	await(g, "dead:0 name:gone state:up waiting:0")
	if status, out := g.Backend("POST", "/v1/webhooks/none/replay", nil); status != 404 {
		t.Error(status, out)
	}
	if status, out := g.Backend("POST", "/v1/webhooks/gone/replay", `{"ids":"all"}`); status != 400 || !strings.Contains(fmt.Sprint(out), "ids must be a list") {
		t.Error(status, out)
	}
	if status, _ := g.As("u1", "POST", "/v1/webhooks/gone/replay", nil); status != 401 {
		t.Error("a client replays", status)
	}
	metrics, err := http.Get(g.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = metrics.Body.Close() }()
	text, _ := io.ReadAll(metrics.Body)
	for _, want := range []string{`weir_webhook_events_total{endpoint="good"} 20`, `weir_webhook_attempts_total{endpoint="good",outcome="delivered"} 20`,
		`weir_webhook_dead_total{endpoint="gone",reason="gone"} 20`, `weir_webhook_waiting{endpoint="down"} 20`, `weir_webhook_up{endpoint="good"} 1`} {
		if !strings.Contains(string(text), want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}

// Private addresses are not called unless the configuration allows it.
func TestWebhookCallsPublicAddressesOnly(t *testing.T) {
	b := newBackend(t, nil)
	g := relaytest.Start(t, func(c *config.Config) {
		*config.Of[webhook.Config](c) = webhook.Config{{Name: "in", URL: strings.Replace(b.URL, "http:", "https:", 1), Topics: []string{"*"}, Secrets: []string{secret}}}
	}, webhook.New())
	for range 5 {
		g.Backend("POST", "/v1/events", `{"topic":"t","data":1}`)
	}
	await(g, "name:in state:down waiting:5")
	if len(b.bodies) > 0 {
		t.Error("it was called")
	}
	if status, out := g.As("u1", "GET", "/v1/channels/webhook:queue:in", nil); status != 401 {
		t.Error(status, out)
	}
	p := g.WS("u1", "/ws")
	p.Type("connected")
	p.Send(relaytest.Message{"type": "subscribe", "id": 1, "channel": "webhook:queue:in"})
	if m := p.Type("error"); m["code"] != "forbidden" {
		t.Error("a client reads what waits", m)
	}
}

func TestWebhookConfiguration(t *testing.T) {
	for _, hooks := range []webhook.Config{
		{{Name: "a", URL: "https://a.example", Topics: []string{"*"}}},
		{{Name: "a", URL: "https://a.example", Topics: []string{"*"}, Secrets: []string{"hunter2"}}},
		{{Name: "a", Secrets: []string{secret}}, {Name: "a", Secrets: []string{secret}}},
	} {
		_, err := relay.New(config.Config{Dev: true, Sections: []config.Section{&hooks}}, slog.New(slog.DiscardHandler), webhook.New())
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Error(err)
		}
	}
}
