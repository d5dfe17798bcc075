package hooks_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/hooks"
)

const asContext = `,"context":{"tenant":7}`

// routes answers each question as the test says, and connect with users.
func routes(connect string, by map[string]func(q *question) (int, string)) func(q *question) (int, string) {
	return func(q *question) (int, string) {
		if f := by[strings.TrimPrefix(q.path, "/weir")]; f != nil {
			return f(q)
		}
		return users(connect)(q)
	}
}

// Who may follow what is asked with the context of the connection, and remembered.
func TestSubscribe(t *testing.T) {
	b := newBackend(t, routes(asContext, map[string]func(q *question) (int, string){"/subscribe": func(q *question) (int, string) {
		switch {
		case q.body["op"] == "history":
			return 200, `{"allow":false,"reason":"history is for members"}`
		case q.body["channel"] == "asked:secret":
			return 403, ""
		}
		return 200, `{"allow":true,"data":{"topic":"tea"}}`
	}}))
	g := start(t, b, nil)
	p, _ := connect(g, "ann", "/ws")
	m := ask(p, "1", `"type":"subscribe","channel":"asked:a"`)
	if data, _ := m["data"].(relaytest.Message); m["type"] != "subscribed" || data["topic"] != "tea" {
		t.Error(m)
	}
	if m := ask(p, "2", `"type":"history","channel":"asked:a"`); m["code"] != "forbidden" || m["message"] != "history is for members" {
		t.Error(m)
	}
	if m := ask(p, "3", `"type":"subscribe","channel":"asked:secret"`); m["code"] != "forbidden" {
		t.Error(m)
	}
	other, _ := connect(g, "ann", "/ws")
	if m := ask(other, "1", `"type":"subscribe","channel":"asked:a"`); m["type"] != "subscribed" || m["data"] == nil {
		t.Error(m)
	}
	list := b.questions("/weir/subscribe")
	if len(list) != 3 {
		t.Fatalf("asked %d times", len(list))
	}
	q := list[0]
	if c, _ := q.body["context"].(relaytest.Message); q.body["op"] != "subscribe" || q.body["userId"] != "ann" || c["tenant"] != 7.0 || q.header.Get("Cookie") != "" {
		t.Errorf("%v %v", q.body, q.header)
	}
}

// A subscription for a time is asked about again, and ends when the backend says no.
func TestSubscriptionExpires(t *testing.T) {
	var mu sync.Mutex
	allow := true
	now := new(clock)
	b := newBackend(t, routes("", map[string]func(q *question) (int, string){"/subscribe": func(*question) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		return 200, fmt.Sprintf(`{"allow":%t,"expiresIn":60}`, allow)
	}}))
	g := start(t, b, func(c *config.Config, _ *hooks.Config) { c.Clock = now.Now })
	p, _ := connect(g, "ann", "/ws")
	ask(p, "1", `"type":"subscribe","channel":"asked:a"`)
	now.advance(61 * time.Second)
	relaytest.Until(t, "another question", func() bool { return len(b.questions("/weir/subscribe")) == 2 })
	mu.Lock()
	allow = false
	mu.Unlock()
	now.advance(61 * time.Second)
	if m := p.Type("unsubscribed"); m["channel"] != "asked:a" || m["code"] != "forbidden" {
		t.Error(m)
	}
}

// A publication passes as the backend has it: stamped, moved, swallowed or refused; nothing passes that is not asked about.
func TestRewrittenPublish(t *testing.T) {
	b := newBackend(t, routes(asContext, map[string]func(q *question) (int, string){
		"/subscribe": func(*question) (int, string) { return 200, `{"allow":true}` },
		"/publish": func(q *question) (int, string) {
			switch q.body["data"] {
			case "stamp":
				return 200, `{"allow":true,"data":{"text":"stamp","by":"ann"},"key":"m1","group":"messages","ttl":60000}`
			case "drop":
				return 200, `{"allow":true,"drop":true}`
			case "no":
				return 200, `{"allow":false,"reason":"mind your language"}`
			case "bad key":
				return 200, `{"allow":true,"key":"a b"}`
			case "broken":
				return 200, `{"allow":true,"data":`
			}
			return 200, `{"allow":true}`
		},
	}))
	g := start(t, b, func(_ *config.Config, h *hooks.Config) { h.Breaker.After = 1000 })
	p, hello := connect(g, "ann", "/ws")
	ask(p, "s", `"type":"subscribe","channel":"asked:a"`)
	for i, c := range []struct{ data, code string }{{"drop", ""}, {"no", "forbidden"}, {"bad key", "bad_name"}, {"broken", "unavailable"}, {"stamp", ""}, {"plain", ""}} {
		m := ask(p, fmt.Sprint(i), fmt.Sprintf(`"type":"publish","channel":"asked:a","data":%q`, c.data))
		if code, _ := m["code"].(string); code != c.code {
			t.Errorf("%s: %v", c.data, m)
		}
		if _, has := m["position"]; has == (c.data == "drop" || c.code != "") {
			t.Errorf("%s: %v", c.data, m)
		}
	}
	status, body := g.Backend("GET", "/v1/channels/asked:a/history", nil)
	if got := fmt.Sprint(body); status != 200 || !strings.Contains(got, "by:ann") || !strings.Contains(got, "key:m1") || strings.Contains(got, "drop") || strings.Contains(got, "broken") || !strings.Contains(got, "plain") {
		t.Errorf("%d %s", status, got)
	}
	q := b.questions("/weir/publish")[0].body
	if c, _ := q["context"].(relaytest.Message); q["op"] != "send" || q["channel"] != "asked:a" || q["connectionId"] != hello["connectionId"] || c["tenant"] != 7.0 {
		t.Error(q)
	}
	// Posted publications are asked about as well, and backends need nobody's permission.
	if status, _, body := g.Do("POST", "/command", `{"type":"publish","channel":"asked:a","data":"no"}`, "Cookie: session=ann", "Origin: "+origin); status != 403 {
		t.Error(status, body)
	}
	if status, body := g.Backend("POST", "/v1/publish", `{"channel":"asked:a","data":"no"}`); status != 200 {
		t.Error(status, body)
	}
}

// Calls get their own results, in order if they are asked for so, and whatever the backend says when it refuses.
func TestCall(t *testing.T) {
	slow := make(chan struct{})
	b := newBackend(t, routes(asContext, map[string]func(q *question) (int, string){"/call": func(q *question) (int, string) {
		switch q.body["method"] {
		case "slow":
			<-slow
			return 200, `"slow"`
		case "nothing":
			return 204, ""
		case "no":
			return 422, `{"code":"sold_out","message":"there is none left"}`
		case "unknown":
			return 404, "<html>"
		case "broken":
			return 500, ""
		}
		return 200, fmt.Sprintf(`{"method":%q,
			"user":%q}`, q.body["method"], q.body["userId"])
	}}))
	g := start(t, b, nil)
	p, _ := connect(g, "ann", "/ws")
	p.Send(`{"type":"call","id":"slow","method":"slow","ordered":true}`)
	p.Send(`{"type":"call","id":"after","method":"cart.add","ordered":true}`)
	m := ask(p, "1", `"type":"call","method":"cart.add","data":{"sku":7}`)
	if data, _ := m["data"].(relaytest.Message); m["type"] != "result" || data["user"] != "ann" || data["method"] != "cart.add" {
		t.Error(m)
	}
	for method, code := range map[string]string{"no": "sold_out", "unknown": "not_found", "broken": "unavailable", "a b": "bad_request", "": "bad_request"} {
		if m := ask(p, method, fmt.Sprintf(`"type":"call","method":%q`, method)); m["code"] != code {
			t.Errorf("%s: %v", method, m)
		}
	}
	if m := ask(p, "2", `"type":"call","method":"nothing"`); m["type"] != "result" || m["data"] != nil {
		t.Error(m)
	}
	close(slow)
	if m := p.Type("result"); m["id"] != "slow" || m["data"] != "slow" {
		t.Error(m)
	}
	if m := p.Type("result"); m["id"] != "after" {
		t.Error(m)
	}
	status, _, body := g.Do("POST", "/command", `{"type":"call","id":9,"method":"cart.add"}`, "Cookie: session=ann", "Origin: "+origin)
	if m, _ := body.(relaytest.Message); status != 200 || m["type"] != "result" || m["id"] != 9.0 {
		t.Error(status, body)
	}
	if status, _, body := g.Do("POST", "/command", `{"type":"call","method":"no"}`, "Cookie: session=ann", "Origin: "+origin); status != 422 {
		t.Error(status, body)
	}
}
