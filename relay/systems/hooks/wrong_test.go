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

// A backend that answers wrongly lets nobody in and nothing pass, whatever it is asked; the client is told so, the log says what was
// wrong without a word of what came, and the session goes on.
func TestWrongBackend(t *testing.T) {
	var mu sync.Mutex
	status, body := 200, ""
	wrong := func(*question) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		return status, body
	}
	b := newBackend(t, routes(`,"channels":{"room:*":["subscribe"]}`, map[string]func(*question) (int, string){"/subscribe": wrong, "/publish": wrong, "/call": wrong}))
	g := start(t, b, func(_ *config.Config, h *hooks.Config) { h.Breaker.After = 1000 })
	p, _ := connect(g, "ann", "/ws")
	for i, c := range []struct {
		name   string
		status int
		body   string
		log    string // of subscribe
		call   bool   // it is an answer to a call
	}{
		{"a page", 200, "<html>secret</html>", "the response is an HTML page: expected a JSON object", false},
		{"nothing", 200, "", "the response is empty", true},
		{"another JSON", 200, `["secret"]`, "unexpected response: expected a JSON object", true},
		{"no decision", 200, `{"secret":true}`, `expected {\"allow\": true or false}`, true},
		{"a wrong type", 200, `{"allow":"secret"}`, "allow has the wrong type", true},
		{"a huge answer", 200, `{"allow":true,"data":"` + strings.Repeat("secret", 20000) + `"}`, "the response is larger than 65536 bytes", false},
		{"no content", 204, "", "unexpected response, status 204", true},
		{"a redirect", 302, "/secret", "it returned a redirect", false},
		{"an error", 500, `{"allow":true}`, "status 500", false},
		{"too many", 429, `{"allow":true}`, "status 429", false},
		{"half", 200, `{"allow":true,"reason":"secret`, "the response is not valid JSON", false},
		{"a negative time", 200, `{"allow":true,"ttl":-1}`, "ttl must be seconds, 0 or more", true},
	} {
		mu.Lock()
		status, body = c.status, c.body
		mu.Unlock()
		before := len(g.Logs())
		if m := ask(p, fmt.Sprint("s", i), fmt.Sprintf(`"type":"subscribe","channel":"asked:%d"`, i)); m["code"] != "unavailable" {
			t.Errorf("%s: subscribe: %v", c.name, m)
		}
		if log := g.Logs()[before:]; !strings.Contains(log, c.log) || strings.Contains(log, "secret") {
			t.Errorf("%s: the log says %s", c.name, log)
		}
		if c.name != "a negative time" {
			if m := ask(p, fmt.Sprint("p", i), fmt.Sprintf(`"type":"publish","channel":"asked:%d","data":1`, i)); m["code"] != "unavailable" {
				t.Errorf("%s: publish: %v", c.name, m)
			}
		}
		if m := ask(p, fmt.Sprint("c", i), `"type":"call","method":"cart.add"`); (m["type"] == "result") != c.call || !c.call && m["code"] != "unavailable" {
			t.Errorf("%s: call: %v", c.name, m)
		}
		if status, body := g.Backend("GET", fmt.Sprintf("/v1/channels/asked:%d/history", i), nil); status != 404 { // nothing was ever published
			t.Errorf("%s: %d %v", c.name, status, body)
		}
	}
	if m := ask(p, "1", `"type":"subscribe","channel":"room:1"`); m["type"] != "subscribed" { // what needs no question works
		t.Error(m)
	}
}

// What is wrong with an answer to connect is said in the words of the answer, with what to look for.
func TestWhatIsWrongWithConnect(t *testing.T) {
	b := newBackend(t, nil)
	now := new(clock)
	g := start(t, b, func(c *config.Config, h *hooks.Config) { h.Breaker.After, c.Clock = 1000, now.Now })
	for i, c := range []struct {
		status int
		body   string
		http   int
		log    string
	}{
		{200, `null`, 503, "expected a JSON object"},
		{200, "\ufeff" + `{"user":{"id":"u"}}`, 101, ""},
		{200, `{"user":{"id":"` + strings.Repeat("x", 200) + `"}}`, 503, "error=\"user.id is longer than 128 bytes"},
		{200, `{"user":{"id":1,"name":"` + strings.Repeat("x", 300) + `"}}`, 503, "error=\"user.name is longer than 256 bytes"},
		{200, `{"user":{"id":1},"channels":{"a b":["subscribe"]}}`, 503, "error=\"channels: a pattern is"},
		{200, `{"user":{"id":1,"roles":"admin"}}`, 503, "user.roles has the wrong type"},
		{302, "/login", 503, "a redirect, which is not followed: expected 401 if nobody is signed in"},
		{404, "", 503, "is there a route for this POST?"},
		{405, "", 503, "is there a route for this POST?"},
		{419, "", 503, "is the route exempt from the check for forged requests"},
		{403, "<html>", 403, "is the route exempt from the check for forged requests"},
		{403, `{"message":"banned until Monday"}`, 403, "the response gives a reason, which the client gets"},
		{401, "", 401, "the response gives no reason"},
	} {
		now.advance(time.Minute) // so that all refusals are logged
		b.answer(func(*question) (int, string) { return c.status, c.body })
		before := len(g.Logs())
		if _, status, _ := dial(g, "/ws", fmt.Sprintf("Cookie: session=u%d", i)); status != c.http {
			t.Errorf("%d %s: %d", c.status, c.body, status)
		}
		if log := g.Logs()[before:]; !strings.Contains(log, c.log) {
			t.Errorf("%d %.40s: the log says %s", c.status, c.body, log)
		}
	}
	now.advance(time.Minute)
	before := len(g.Logs())
	if _, status, _ := dial(g, "/ws", "Cookie: another=1"); status != 401 || !strings.Contains(g.Logs()[before:], "the client has sent none of hooks.cookies") {
		t.Error(status, g.Logs()[before:])
	}
	b.answer(func(*question) (int, string) { return 403, `{"message":"banned until Monday"}` })
	status, _, body := g.Do("POST", "/command", `{"type":"ping"}`, "Cookie: session=banned", "Origin: "+origin)
	if m, _ := body.(relaytest.Message); status != 403 || m["title"] != "banned until Monday" {
		t.Error(status, body)
	}
}

// A backend that sends a byte now and then is not waited for without an end.
func TestDrippingBackend(t *testing.T) {
	b := newBackend(t, func(*question) (int, string) { return 200, drip })
	g := start(t, b, func(_ *config.Config, h *hooks.Config) { h.Timeout = 100 * time.Millisecond })
	if p, status, h := dial(g, "/ws", "Cookie: session=ann"); p != nil || status != 503 || h.Get("Retry-After") == "" {
		t.Error(status, h)
	}
	relaytest.Until(t, "the log says why", func() bool { return strings.Contains(g.Logs(), "no response in time") })
}
