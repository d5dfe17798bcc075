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

// A session is asked about again before it expires, with the same cookie, once for all connections of it.
func TestRefresh(t *testing.T) {
	now := new(clock)
	b := newBackend(t, users(`,"channels":{"room:*":["subscribe"]},"expiresIn":60`))
	g := start(t, b, func(c *config.Config, _ *hooks.Config) { c.Clock = now.Now })
	var peers []*relaytest.Peer
	for range 3 {
		p, _ := connect(g, "ann", "/ws")
		ask(p, "1", `"type":"subscribe","channel":"room:1"`)
		peers = append(peers, p)
	}
	b.answer(users(`,"channels":{"room:2":["subscribe"]},"expiresIn":60`))
	now.advance(58 * time.Second)
	for _, p := range peers { // what was allowed before is no longer
		if m := p.Type("unsubscribed"); m["channel"] != "room:1" {
			t.Error(m)
		}
	}
	if n := len(b.questions("/weir/connect")); n != 2 {
		t.Errorf("asked %d times", n)
	}
	b.answer(func(*question) (int, string) { return 401, "" })
	now.advance(58 * time.Second)
	for _, p := range peers {
		if code := p.Closed(); code != 4001 {
			t.Errorf("closed %d", code)
		}
	}
}

// A standing session outlives a backend that is down, until what it said has expired and gone stale.
func TestSessionOutlivesBackend(t *testing.T) {
	now := new(clock)
	b := newBackend(t, users(`,"expiresIn":60`))
	g := start(t, b, func(c *config.Config, _ *hooks.Config) { c.Clock = now.Now })
	p, _ := connect(g, "ann", "/ws")
	b.answer(func(*question) (int, string) { return 500, "" })
	now.advance(59 * time.Second)
	relaytest.Until(t, "a question", func() bool { return len(b.questions("/weir/connect")) > 1 })
	now.advance(9 * time.Minute)
	if m := ask(p, "1", `"type":"ping"`); m["type"] != "pong" {
		t.Error(m)
	}
	if again, status, _ := dial(g, "/ws", "Cookie: session=ann"); again == nil { // it is known
		t.Error(status)
	}
	if stranger, status, h := dial(g, "/ws", "Cookie: session=bob"); stranger != nil || status != 503 || h.Get("Retry-After") == "" {
		t.Error(status, h)
	}
	now.advance(2 * time.Minute)
	if code := p.Closed(); code != 4001 {
		t.Errorf("closed %d", code)
	}
}

// While the breaker is open nothing is asked; one question finds out that the backend is back.
func TestBreaker(t *testing.T) {
	b := newBackend(t, func(*question) (int, string) { return 500, "" })
	rest := func(d time.Duration) func(*config.Config, *hooks.Config) {
		return func(_ *config.Config, h *hooks.Config) { h.Breaker = hooks.Breaker{After: 3, Rest: d, RestMax: d} }
	}
	g := start(t, b, rest(time.Hour))
	for i := range 20 {
		if p, status, _ := dial(g, "/ws", fmt.Sprintf("Cookie: session=u%d", i)); p != nil || status != 503 {
			t.Errorf("%d: %d", i, status)
		}
	}
	if n := len(b.questions("/weir/connect")); n != 3 {
		t.Errorf("asked %d times", n)
	}
	if g.Gauge(`weir_hooks_breaker_open{hook="connect"}`) != 1 {
		t.Error("the breaker is not open")
	}
	g = start(t, b, rest(10*time.Millisecond))
	for i := range 3 {
		dial(g, "/ws", fmt.Sprintf("Cookie: session=u%d", i))
	}
	b.answer(users(""))
	relaytest.Until(t, "let in again", func() bool {
		p, _, _ := dial(g, "/ws", "Cookie: session=ann")
		return p != nil
	})
}

// A ticket of the relay's own lets a client come back without a question, once, also to another process with the same secrets.
func TestResume(t *testing.T) {
	b := newBackend(t, users(`,"channels":{"room:*":["subscribe"]},"subscribe":["room:1"],"context":{"secret":"of the backend"}`))
	now := new(clock)
	g := start(t, b, func(c *config.Config, _ *hooks.Config) { c.Clock = now.Now })
	_, m := connect(g, "ann", "/ws")
	ticket := m["resume"].(string)
	other := start(t, b, func(c *config.Config, h *hooks.Config) { c.Clock = now.Now })
	p, status, _ := dial(other, "/ws?resume="+ticket, "Cookie: session=changed")
	if p == nil {
		t.Fatal(status)
	}
	m = p.Type("connected")
	if m["userId"] != "ann" || m["resume"] == nil || m["resume"] == ticket {
		t.Error(m)
	}
	if s := p.Type("subscribed"); s["channel"] != "room:1" {
		t.Error(s)
	}
	if n := len(b.questions("/weir/connect")); n != 1 {
		t.Errorf("asked %d times", n)
	}
	next := m["resume"].(string)
	refused := func(why, path string, lines ...string) {
		t.Helper()
		before := len(b.questions("/weir/connect"))
		_, _, _ = dial(other, path, append(lines, "Cookie: session="+strings.ReplaceAll(why, " ", "-"))...)
		if len(b.questions("/weir/connect")) != before+1 {
			t.Errorf("%s: nobody was asked", why)
		}
	}
	refused("used before", "/ws?resume="+ticket)
	refused("another origin", "/ws?resume="+next, "Origin: http://"+strings.TrimPrefix(other.URL, "http://"))
	_, m = connect(other, "ben", "/ws")
	broken := []byte(m["resume"].(string))
	broken[40] ^= 1
	refused("altered", "/ws?resume="+string(broken))
	refused("nonsense", "/ws?resume=x")
	_, m = connect(other, "cid", "/ws")
	now.advance(11 * time.Minute)
	refused("too late", "/ws?resume="+m["resume"].(string))
}

// A user whose access is revoked is asked about at once, and nothing that was remembered lets them in, tickets included.
func TestRevokedUser(t *testing.T) {
	b := newBackend(t, users(""))
	data := t.TempDir()
	g := start(t, b, func(c *config.Config, _ *hooks.Config) { c.Data = data })
	p, m := connect(g, "ann", "/ws")
	_, second := connect(g, "ann", "/ws")
	bob, _ := connect(g, "bob", "/ws")
	b.answer(func(q *question) (int, string) {
		if q.cookie("session") == "ann" {
			return 401, ""
		}
		return users("")(q)
	})
	status, body := g.Backend("POST", "/v1/revoke", `{"userId":"ann"}`)
	if n, _ := body.(relaytest.Message); status != 200 || n["asked"] != 2.0 {
		t.Fatal(status, body)
	}
	if code := p.Closed(); code != 4001 {
		t.Errorf("closed %d", code)
	}
	if p, status, _ := dial(g, "/ws", "Cookie: session=ann"); p != nil || status != 401 {
		t.Error(status)
	}
	if p, status, _ := dial(g, "/ws?resume="+m["resume"].(string), "Cookie: session=ann"); p != nil || status != 401 {
		t.Error(status)
	}
	if m := ask(bob, "1", `"type":"ping"`); m["type"] != "pong" {
		t.Error(m)
	}
	g.Stop() // also after a restart
	g = start(t, b, func(c *config.Config, _ *hooks.Config) { c.Data = data })
	if p, status, _ := dial(g, "/ws?resume="+second["resume"].(string), "Cookie: session=ann"); p != nil || status != 401 {
		t.Error(status)
	}
	if status, body := g.Backend("POST", "/v1/revoke", `{}`); status != 400 {
		t.Error(status, body)
	}
}

// Who is disconnected does not come back with a ticket, nor with an answer from before; neither does the one connection.
func TestDisconnectEndsTickets(t *testing.T) {
	b := newBackend(t, users(""))
	g := start(t, b, nil)
	p, m := connect(g, "ann", "/ws")
	_, other := connect(g, "ann", "/ws")
	asked := func() int { return len(b.questions("/weir/connect")) }
	if status, body := g.Backend("POST", "/v1/disconnect", `{"connectionId":"`+m["connectionId"].(string)+`"}`); status != 200 {
		t.Fatal(status, body)
	}
	if code := p.Closed(); code != 4003 {
		t.Errorf("closed %d", code)
	}
	if p, status, _ := dial(g, "/ws?resume="+m["resume"].(string), "Cookie: session=new"); p == nil || asked() != 2 {
		t.Errorf("%d, asked %d times", status, asked())
	}
	if status, body := g.Backend("POST", "/v1/disconnect", `{"userId":"ann"}`); status != 200 {
		t.Fatal(status, body)
	}
	if p, status, _ := dial(g, "/ws?resume="+other["resume"].(string), "Cookie: session=ann"); p == nil || asked() != 3 {
		t.Errorf("%d, asked %d times", status, asked())
	}
}

// A backend that is slow holds back those who are asked about, and nobody else; those who waited for too long are told when to
// come back.
func TestSlowBackend(t *testing.T) {
	gate := make(chan struct{})
	b := newBackend(t, func(q *question) (int, string) {
		if q.cookie("session") != "ann" {
			<-gate
		}
		return users("")(q)
	})
	defer close(gate)
	g := start(t, b, func(_ *config.Config, h *hooks.Config) {
		h.Parallel, h.Timeout, h.Connect.Cache, h.Breaker.After = 2, 300*time.Millisecond, time.Hour, 1000
	})
	var m relaytest.Message
	relaytest.Until(t, "an answer in time", func() bool { // on a busy machine it may take longer than the timeout
		p, _, _ := dial(g, "/ws", "Cookie: session=ann")
		if p == nil {
			return false
		}
		m = p.Type("connected")
		return true
	})
	outcome := func(name string) float64 {
		return g.Gauge(`weir_hooks_questions_total{hook="connect",outcome="` + name + `"}`)
	}
	before, asked := outcome("busy")+outcome("failed"), len(b.questions("/weir/connect"))
	var working sync.WaitGroup
	for i := range 6 {
		working.Go(func() {
			if p, status, h := dial(g, "/ws", fmt.Sprintf("Cookie: session=slow%d", i)); p != nil || status != 503 || h.Get("Retry-After") == "" {
				t.Error(status, h)
			}
		})
	}
	relaytest.Until(t, "two questions", func() bool { return len(b.questions("/weir/connect")) >= asked+2 })
	if p, status, _ := dial(g, "/ws", "Cookie: session=ann"); p == nil {
		t.Error(status)
	}
	if p, status, _ := dial(g, "/ws?resume="+m["resume"].(string), "Cookie: session=else"); p == nil {
		t.Error(status)
	}
	if p, _ := g.Dial(g.Token("zoe"), "/ws"); p == nil {
		t.Error("a token has to wait")
	}
	working.Wait()
	if n := outcome("busy") + outcome("failed") - before; n != 6 {
		t.Errorf("%v had no answer, want 6", n)
	}
}
