package authz

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/internal/sign"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/relaytest"
)

func TestMain(m *testing.M) { relaytest.Main(m) }

const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// backend decides as the test says, and notes what it was asked.
type backend struct {
	*httptest.Server
	mu    sync.Mutex
	asked []question
	say   func(q question) (status int, body string)
}

func newBackend(t *testing.T, say func(q question) (int, string)) *backend {
	t.Helper()
	key, err := sign.ParseSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{say: say}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := r.Header
		if err := sign.Verify(key, h.Get(sign.HeaderID), h.Get(sign.HeaderTimestamp), h.Get(sign.HeaderSignature), body, time.Now()); err != nil {
			t.Errorf("signature: %v", err)
		}
		var q question
		if err := json.Unmarshal(body, &q); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		b.mu.Lock()
		b.asked = append(b.asked, q)
		say := b.say
		b.mu.Unlock()
		status, answer := say(q)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) answer(say func(q question) (int, string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.say = say
}

func (b *backend) questions() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked)
}

func start(t *testing.T, b *backend) *relaytest.Rig {
	return relaytest.Start(t, configured(b), newSystem())
}

// configured has a backend decide.
func configured(b *backend) func(c *config.Config) {
	return func(c *config.Config) {
		c.Auth.Webhook = config.AuthWebhook{URL: b.URL, Secrets: []string{secret}, AllowInsecure: true, Timeout: 500 * time.Millisecond}
		c.Namespaces["asked"] = config.Namespace{Subscribe: config.ByWebhook, Publish: config.ByWebhook}
	}
}

// command sends a command and answers the type of what comes back, or the code of the error.
func command(p *relaytest.Peer, id int, fields string) string {
	p.Helper()
	p.Send(fmt.Sprintf(`{"id":%d,%s}`, id, fields))
	m := p.Until(func(m relaytest.Message) bool { return m["id"] == float64(id) })
	if m["type"] == "error" {
		return m["code"].(string)
	}
	return m["type"].(string)
}

func allowed() func(question) (int, string) {
	return func(question) (int, string) { return 200, `{"allow":true}` }
}

func TestBackendDecides(t *testing.T) {
	b := newBackend(t, func(q question) (int, string) {
		return 200, fmt.Sprintf(`{"allow":%t,"extra":1}`, q.Channel == "asked:"+q.User && q.Op == "subscribe")
	})
	g := start(t, b)
	p := g.WS("u1", "/ws")
	for i, c := range []struct{ fields, want string }{
		{`"type":"subscribe","channel":"asked:u1"`, "subscribed"},
		{`"type":"subscribe","channel":"asked:u2"`, "forbidden"},
		{`"type":"publish","channel":"asked:u1","data":1`, "forbidden"},
		{`"type":"history","channel":"asked:u1"`, "forbidden"},
		{`"type":"subscribe","channel":"other:1"`, "subscribed"},
	} {
		if got := command(p, i+1, c.fields); got != c.want {
			t.Errorf("%s: %s, want %s", c.fields, got, c.want)
		}
	}
	if b.questions() != 4 {
		t.Errorf("asked %+v", b.asked)
	}
	if q := b.asked[0]; q.Op != "subscribe" || q.Channel != "asked:u1" || q.User != "u1" || q.Name != "U1" {
		t.Errorf("asked %+v", q)
	}
	// Event streams are decided about in the same way, before they begin.
	if status, _ := g.As("u1", "GET", "/sse?channel=asked:u3", nil); status != 403 {
		t.Errorf("stream: %d", status)
	}
	// Backends need nobody's permission.
	if status, body := g.Backend("POST", "/v1/publish", `{"channel":"asked:u1","data":7}`); status != 200 {
		t.Error(status, body)
	}
	if m := p.Type("channel_update"); m["data"] != 7.0 {
		t.Error(m)
	}
}

// What has been answered is not asked again, until it is taken back.
func TestAnswersAreRemembered(t *testing.T) {
	b := newBackend(t, allowed())
	g := start(t, b)
	p := g.WS("u1", "/ws")
	for i := range 20 {
		if got := command(p, i+1, `"type":"publish","channel":"asked:a","data":1`); got != "ok" {
			t.Fatal(got)
		}
	}
	if n := b.questions(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	b.answer(func(question) (int, string) { return 200, `{"allow":false}` })
	if status, body := g.Backend("POST", "/v1/unsubscribe", `{"channel":"asked:a","userId":"u1"}`); status != 200 {
		t.Fatal(status, body)
	}
	if got := command(p, 100, `"type":"publish","channel":"asked:a","data":1`); got != "forbidden" {
		t.Error(got)
	}
	b.answer(func(question) (int, string) { return 200, `{"allow":true,"ttl":0}` })
	g.Backend("POST", "/v1/unsubscribe", `{"channel":"asked:a","userId":"u1"}`)
	before := b.questions()
	for i := range 3 { // a ttl of 0 is not remembered
		command(p, 200+i, `"type":"publish","channel":"asked:a","data":1`)
	}
	if n := b.questions() - before; n != 3 {
		t.Errorf("asked %d times of 3", n)
	}
}

// Whatever is no answer lets nobody in, is told as something that may pass, and is not remembered.
func TestFailsClosed(t *testing.T) {
	gate := make(chan struct{})
	defer close(gate)
	b := newBackend(t, nil)
	g := start(t, b)
	p := g.WS("u1", "/ws")
	for i, say := range []func(question) (int, string){
		func(question) (int, string) { return 500, `{"allow":true}` },
		func(question) (int, string) { return 403, `` },
		func(question) (int, string) { return 200, `` },
		func(question) (int, string) { return 200, `{}` },
		func(question) (int, string) { return 200, `{"allow":"yes"}` },
		func(question) (int, string) { return 200, `{"allow":true,"ttl":-1}` },
		func(question) (int, string) { return 200, `{"allow":true}` + strings.Repeat(" ", maxAnswer) },
		func(question) (int, string) { <-gate; return 200, `{"allow":true}` }, // for longer than the timeout
	} {
		b.answer(say)
		if got := command(p, i+1, `"type":"subscribe","channel":"asked:a"`); got != "unavailable" {
			t.Errorf("answer %d: %s", i, got)
		}
	}
	b.answer(allowed())
	if got := command(p, 100, `"type":"subscribe","channel":"asked:a"`); got != "subscribed" {
		t.Error(got)
	}
}

// A refreshed token is asked about again; nobody to answer takes nothing away.
func TestRefreshAsksAgain(t *testing.T) {
	b := newBackend(t, func(q question) (int, string) { return 200, fmt.Sprintf(`{"allow":%t}`, len(q.Roles) == 0) })
	g := start(t, b)
	p := g.WS("u1", "/ws")
	if got := command(p, 1, `"type":"subscribe","channel":"asked:a"`); got != "subscribed" {
		t.Fatal(got)
	}
	b.answer(func(question) (int, string) { return 503, "" })
	refresh := func(role string) string {
		return fmt.Sprintf(`"type":"refresh","token":%q`, g.Token("u1", relaytest.Role(role)))
	}
	if got := command(p, 2, refresh("one")); got != "ok" {
		t.Fatal(got)
	}
	if got := command(p, 3, `"type":"subscribe","channel":"asked:b"`); got != "unavailable" {
		t.Error(got)
	}
	b.answer(func(question) (int, string) { return 200, `{"allow":false}` })
	p.Send(`{"id":4,` + refresh("two") + `}`)
	var ok, unsubscribed relaytest.Message // in any order: the backend is asked beside the session's turn
	for ok == nil || unsubscribed == nil {
		switch m := p.Next(); m["type"] {
		case "ok":
			ok = m
		case "unsubscribed":
			unsubscribed = m
		}
	}
	if unsubscribed["channel"] != "asked:a" || unsubscribed["code"] != "forbidden" {
		t.Error(unsubscribed)
	}
}

// Many who ask the same at once are one question, and a slow backend delays nobody else.
func TestOneQuestion(t *testing.T) {
	gate := make(chan struct{})
	asked := make(chan struct{}, 100)
	b := newBackend(t, func(question) (int, string) { asked <- struct{}{}; <-gate; return 200, `{"allow":true}` })
	g := relaytest.Start(t, func(c *config.Config) {
		c.Auth.Webhook = config.AuthWebhook{URL: b.URL, Secrets: []string{secret}, AllowInsecure: true}
		c.Namespaces["asked"] = config.Namespace{Subscribe: config.ByWebhook}
	}, newSystem())
	var peers []*relaytest.Peer
	for range 10 {
		p := g.WS("u1", "/ws")
		p.Send(`{"type":"subscribe","id":1,"channel":"asked:a"}`)
		peers = append(peers, p)
	}
	<-asked
	other := g.WS("u2", "/ws")
	if got := command(other, 1, `"type":"subscribe","channel":"free:a"`); got != "subscribed" {
		t.Error(got)
	}
	close(gate)
	for _, p := range peers {
		p.Type("subscribed")
	}
	if n := b.questions(); n > 2 { // one that came after the answer may not have seen it yet
		t.Errorf("asked %d times", n)
	}
}

// The counters and the histogram have two names for one version, and the same values under both.
func TestBothNamesOfMetrics(t *testing.T) {
	b := newBackend(t, func(q question) (int, string) { return 200, fmt.Sprintf(`{"allow":%t}`, q.Channel == "asked:a") })
	g := start(t, b)
	p := g.WS("u1", "/ws")
	for i, channel := range []string{"a", "a", "b"} {
		command(p, i+1, fmt.Sprintf(`"type":"publish","channel":"asked:%s","data":1`, channel))
	}
	for _, series := range []string{`decisions_total{outcome="allowed"}`, `decisions_total{outcome="denied"}`, `decisions_total{outcome="remembered"}`, "seconds_count", "seconds_sum"} {
		now, before := g.Gauge("weir_authz_"+series), g.Gauge("weir_permit_"+series)
		if now == 0 || now != before {
			t.Errorf("%s is %v, and %v under its old name", series, now, before)
		}
	}
}

func TestNobodyToAsk(t *testing.T) {
	cfg := config.Config{Dev: true}
	cfg.Namespaces = config.Namespaces{"asked": {Subscribe: config.ByWebhook}}
	if _, err := relay.New(cfg, nil); err == nil || !strings.Contains(err.Error(), "auth.webhook.url") {
		t.Error(err)
	}
}

// Each node asks about its own clients, and remembers the answer until any node is told that it no longer holds.
func TestDecisionsOfNodes(t *testing.T) {
	b := newBackend(t, allowed())
	n := relaytest.ClusterOf(t, 3, configured(b), Module())
	var peers []*relaytest.Peer
	for _, g := range n.Rigs {
		peers = append(peers, g.WS("u1", "/ws"))
	}
	subscribe := func(id int, want string, asked int) {
		t.Helper()
		before := b.questions()
		for _, p := range peers {
			if got := command(p, id, `"type":"subscribe","channel":"asked:1"`); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if got := command(p, id+1, `"type":"unsubscribe","channel":"asked:1"`); want == "subscribed" && got != "ok" {
				t.Error(got)
			}
		}
		if got := b.questions() - before; got != asked {
			t.Errorf("the backend was asked %d times, want %d", got, asked)
		}
	}
	subscribe(1, "subscribed", 3)
	subscribe(3, "subscribed", 0)
	b.answer(func(question) (int, string) { return 200, `{"allow":false}` })
	if status, out := n.Rigs[2].Backend("POST", "/v1/unsubscribe", map[string]any{"userId": "u1", "channel": "asked:1"}); status != 200 || out.(map[string]any)["nodes"] != 3.0 {
		t.Fatalf("%d %v", status, out)
	}
	subscribe(5, "forbidden", 3)
}
