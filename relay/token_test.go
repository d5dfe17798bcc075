package relay

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
)

// fakeClock is a wall clock that a test turns on.
type fakeClock struct{ ahead atomic.Int64 }

func (c *fakeClock) now() time.Time            { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *fakeClock) advance(d time.Duration)   { c.ahead.Add(int64(d)) }
func (c *fakeClock) prepare(r *Relay)          { r.sessions.Now = c.now }
func (p *wsPeer) refresh(token string) message { p.say(refreshWith(token)); return p.next() }

func refreshWith(token string) string { return `{"type":"refresh","id":9,"token":"` + token + `"}` }

// A session ends within a second of its token, on both transports, and commands fail from then on.
func TestTokenExpiry(t *testing.T) {
	t.Parallel()
	clock := new(fakeClock)
	g := launch(t, openConfig(), clock.prepare)
	p, other := g.ws("u1"), g.wsOn(g.dial(), "/ws", "Authorization: Bearer "+mintClaims(t, auth.Claims{Sub: "u2", TTL: 3 * time.Hour}))
	stream := g.sse("u1", "a")
	stream.want("connected")
	clock.advance(59 * time.Minute)
	p.alive()
	start := time.Now()
	clock.advance(2 * time.Minute)
	if reason := p.wantClose(wire.CloseUnauthorized); reason != "token expired" {
		t.Errorf("reason %q", reason)
	}
	e := stream.event()
	for e.name == "subscribed" {
		e = stream.event()
	}
	if e.name != "closed" || !strings.Contains(e.data, "4001") {
		t.Errorf("the stream is told %+v", e)
	}
	if d := time.Since(start); d > patience/2 {
		t.Errorf("closed after %v", d)
	}
	other.alive()
}

// Between the expiry and the close, commands are refused.
func TestExpiredCommands(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	p := g.ws("u1")
	s := g.relay.sessions.Session(p.hello.ConnectionID)
	id := *s.Identity()
	id.Expires = auth.MomentOf(time.Now()) // what closes sessions does not know
	s.SetIdentity(&id)
	for _, command := range []string{
		`{"type":"subscribe","channel":"a"}`, `{"type":"publish","channel":"a","data":1}`, `{"type":"history","channel":"a"}`, `{"type":"presence","channel":"a"}`,
		`{"type":"message","content":"x"}`, `{"type":"event","topic":"x"}`,
	} {
		p.say(command)
		p.wantError("token_expired")
	}
	if m := p.refresh(mintClaims(t, auth.Claims{Sub: "u1", TTL: 9 * time.Hour})); m.Type != "ok" {
		t.Fatalf("refresh: %s", m.raw)
	}
	p.say(`{"type":"subscribe","channel":"a"}`)
	p.want("subscribed")
}

// A new token extends the session in place.
func TestRefreshExtends(t *testing.T) {
	t.Parallel()
	clock := new(fakeClock)
	g := launch(t, openConfig(), clock.prepare)
	p, left := g.ws("u1"), g.ws("u1")
	p.say(`{"type":"subscribe","channel":"a"}`)
	p.want("subscribed")
	m := p.refresh(mintClaims(t, auth.Claims{Sub: "u1", TTL: 5 * time.Hour}))
	if m.Type != "ok" || string(m.ID) != "9" {
		t.Fatalf("refresh: %s", m.raw)
	}
	if d := time.Until(time.UnixMilli(m.ExpiresAt)); d < 4*time.Hour || d > 6*time.Hour {
		t.Errorf("expires in %v", d)
	}
	clock.advance(2 * time.Hour)
	left.wantClose(wire.CloseUnauthorized)
	g.publish(`{"channel":"a","data":1}`)
	p.want("channel_update")
	clock.advance(4 * time.Hour)
	p.wantClose(wire.CloseUnauthorized)
}

// What is no token of this user changes nothing.
func TestRefreshThatIsRefused(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	p := g.ws("u1")
	for _, tt := range []struct{ token, code string }{
		{mint(t, "u2"), "forbidden"},
		{mint(t, "U1"), "forbidden"},
		{mintClaims(t, auth.Claims{Sub: "u1", IssuedAt: time.Now().Add(-3 * time.Hour)}), "unauthorized"},
		{mint(t, "u1") + "x", "unauthorized"},
		{"", "unauthorized"},
		{strings.Repeat("x", 10000), "unauthorized"},
	} {
		if m := p.refresh(tt.token); m.Type != "error" || m.Code != tt.code || string(m.ID) != "9" {
			t.Errorf("refresh with %.20q: %.200s, want %s", tt.token, m.raw, tt.code)
		}
	}
	for i := range 50 {
		if m := p.refresh(mint(t, fmt.Sprint("someone", i))); m.Code != "forbidden" {
			t.Fatalf("%s", m.raw)
		}
	}
	p.say(`{"type":"subscribe","channel":"a"}`)
	p.want("subscribed")
	if id := g.relay.sessions.Session(p.hello.ConnectionID).Identity().User; id != "u1" {
		t.Errorf("the session is %s's now", id)
	}
}

// A token that allows less takes away the subscriptions that it does not allow, and says so.
func TestRefreshTakesAway(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	grant := func(channels ...string) string {
		c := auth.Claims{Sub: "u1", Channels: map[string][]string{}}
		for _, ch := range channels {
			c.Channels[ch] = []string{"subscribe"}
		}
		return mintClaims(t, c)
	}
	p := g.wsOn(g.dial(), "/ws", "Authorization: Bearer "+grant("closed:1", "closed:2", "closed:3"))
	for _, ch := range []string{"closed:1", "closed:2", "a"} {
		p.say(`{"type":"subscribe","channel":"` + ch + `"}`)
		p.want("subscribed")
	}
	p.say(refreshWith(grant("closed:2")))
	told, ok := false, false
	for !told || !ok {
		switch m := p.next(); m.Type {
		case "unsubscribed":
			if told = true; m.Channel != "closed:1" || m.Code != "forbidden" || m.Reason == "" {
				t.Errorf("%s", m.raw)
			}
		case "ok":
			ok = true
		default:
			t.Fatalf("%s", m.raw)
		}
	}
	for _, ch := range []string{"closed:1", "closed:2", "a", "user:u1"} {
		g.publish(`{"channel":"` + ch + `","data":1}`)
	}
	got := map[string]bool{}
	for range 3 {
		m := p.next()
		got[m.Type+" "+m.Channel] = true
	}
	if len(got) != 3 || !got["channel_update closed:2"] || !got["channel_update a"] || !got["update "] {
		t.Errorf("got %v", got)
	}
	for _, ch := range []string{"closed:1", "closed:3"} {
		p.say(`{"type":"subscribe","channel":"` + ch + `"}`)
		p.wantError("forbidden")
	}
}

// A ticket opens one connection, as whom it was issued for, and leaves no trace.
func TestTickets(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	issue := func(body string) string {
		a := g.api(200, "POST", "/v1/tickets", body)
		var answer struct{ Ticket string }
		if err := json.Unmarshal([]byte(a.body), &answer); err != nil || answer.Ticket == "" {
			t.Fatal(err, a.body)
		}
		if a.Header.Get("Cache-Control") != "no-store" {
			t.Error("a ticket may be cached")
		}
		return answer.Ticket
	}
	ticket := issue(`{"userId":"u7","channels":{"closed:*":["subscribe"]}}`)
	p := g.wsOn(g.dial(), "/ws?ticket="+ticket)
	if p.hello.UserID != "u7" {
		t.Errorf("connected as %s", p.hello.UserID)
	}
	p.say(`{"type":"subscribe","channel":"closed:1"}`)
	p.want("subscribed")
	for range 3 {
		if a := g.shake("/ws?ticket=" + ticket); a.StatusCode != 401 {
			t.Errorf("a used ticket: %d", a.StatusCode)
		}
	}
	if s := g.sseWith("/sse?channel=a&ticket=" + issue(`{"userId":"u8"}`)); s.want("connected").UserID != "u8" {
		t.Error("a stream of another user")
	}
	// A ticket that a foreign page tries is not used up by that.
	ticket = issue(`{"userId":"u9"}`)
	if a := g.shake("/ws?ticket="+ticket, "Origin: https://evil.example"); a.StatusCode != 403 {
		t.Errorf("from a foreign page: %d", a.StatusCode)
	}
	g.wsOn(g.dial(), "/ws?ticket="+ticket).alive()
	for _, bad := range []string{"x", strings.Repeat("A", 32), strings.Repeat("A", 4000), ticket[:31], ticket + "A", "%00", "..%2f"} {
		if a := g.shake("/ws?ticket=" + bad); a.StatusCode != 401 {
			t.Errorf("ticket %.40q: %d", bad, a.StatusCode)
		}
	}
	for _, body := range []string{`{}`, `{"userId":""}`, `{"userId":"` + strings.Repeat("x", 300) + `"}`, `{"userId":"u","ttl":-1}`, `{"userId":"u","ttl":86401}`, `{"userId":"u","channels":{"a":["fly"]}}`, `{"userId":7}`} {
		g.api(400, "POST", "/v1/tickets", body)
	}
	// One of many who try at once gets in.
	ticket = issue(`{"userId":"u10"}`)
	results := make(chan int, 8)
	for range 8 {
		go func() { results <- g.shake("/ws?ticket=" + ticket).StatusCode }() // each answers once
	}
	in := 0
	for range 8 {
		if <-results == 101 {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%d got in with one ticket", in)
	}
}

// A backend that ends a user's sessions ends all of them, on both transports, and nobody else's.
func TestKick(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	p, q, stream, other := g.ws("u1"), g.ws("u1"), g.sse("u1", "a"), g.ws("u2")
	stream.want("subscribed")
	if a := g.api(200, "POST", "/v1/disconnect", `{"userId":"u1","reason":"logged out"}`); a.body != `{"disconnected":3}` {
		t.Error(a.body)
	}
	for _, x := range []*wsPeer{p, q} {
		if reason := x.wantClose(wire.CloseForbidden); reason != "logged out" {
			t.Errorf("reason %q", reason)
		}
	}
	if e := stream.event(); e.name != "closed" && stream.event().name != "closed" {
		t.Errorf("the stream is told %+v", e)
	}
	other.alive()
	third := g.ws("u1")
	g.api(200, "POST", "/v1/disconnect", `{"connectionId":"`+third.hello.ConnectionID+`"}`)
	third.wantClose(wire.CloseForbidden)
	if a := g.api(200, "POST", "/v1/disconnect", `{"userId":"nobody"}`); a.body != `{"disconnected":0}` {
		t.Error(a.body)
	}
	other.alive()
}
