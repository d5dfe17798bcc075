package relay

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/internal/units"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
)

// command is POST /command of a user.
func (g *rig) command(user, body string, more ...func(*auth.Claims)) answered {
	g.Helper()
	claims := auth.Claims{Sub: user}
	for _, f := range more {
		f(&claims)
	}
	return g.ask("POST", "/command", body, "Authorization: Bearer "+mintClaims(g, claims), "Content-Type: application/json")
}

// What a client says over HTTP is answered as it would be over a WebSocket.
func TestCommandOverHTTP(t *testing.T) {
	g := open(t)
	c := g.client("u2")
	c.subscribe("room:1", "")
	a := g.command("u1", `{"type":"publish","id":"x","channel":"room:1","key":"k","data":{"n":1},"exclude":"everybody"}`)
	if a.StatusCode != 200 || !strings.HasPrefix(a.body, `{"type":"ok","id":"x","position":{"epoch":"`) || !strings.HasSuffix(a.body, `"seq":1}}`) {
		t.Fatal(a.Status, a.body)
	}
	if h := c.hear(); h.Type != "channel_update" || h.Seq != 1 || string(h.Data) != `{"n":1}` {
		t.Errorf("%+v", h)
	}
	if a := g.command("u1", `{"type":"history","id":1,"channel":"room:1"}`); a.StatusCode != 200 || !strings.Contains(a.body, `"changes":[{"seq":1,"op":"set"`) {
		t.Error(a.Status, a.body)
	}
	if a := g.command("u1", `{"type":"presence","channel":"room:1"}`); a.StatusCode != 200 || !strings.Contains(a.body, `"users":[{"id":"u2"`) {
		t.Error(a.Status, a.body)
	}
	if a := g.command("u1", `{"type":"message","id":2,"content":"hi"}`); a.StatusCode != 200 || a.body != `{"type":"ok","id":2}` {
		t.Error(a.Status, a.body)
	}
	events := may("event:*", "publish")
	if a := g.command("u1", `{"type":"event","id":3,"topic":"cart.add","data":1}`, events); a.StatusCode != 200 || a.body != `{"type":"ok","id":3}` {
		t.Error(a.Status, a.body)
	}
	if a := g.command("u1", `{"type":"ping","id":4}`); a.StatusCode != 200 || a.body != `{"type":"pong","id":4}` {
		t.Error(a.Status, a.body)
	}
}

func TestCommandOverHTTPIsRefused(t *testing.T) {
	g := open(t)
	for _, tt := range []struct {
		body   string
		status int
		code   string
	}{
		{`{`, 400, "invalid_json"},
		{`{"channel":"room:1"}`, 400, "bad_request"},
		{`{"type":"subscribe","channel":"room:1"}`, 400, "bad_request"},
		{`{"type":"unsubscribe","channel":"room:1","connectionId":"none"}`, 404, "not_found"},
		{`{"type":"refresh","token":"x"}`, 400, "unknown_type"},
		{`{"type":"fly"}`, 400, "unknown_type"},
		{`{"type":"publish","channel":".x","data":1}`, 400, "bad_channel"},
		{`{"type":"publish","channel":"room:1"}`, 400, "bad_request"},
		{`{"type":"publish","channel":"user:u2","data":1}`, 403, "forbidden"},
		{`{"type":"history","channel":"user:u2"}`, 403, "forbidden"},
		{`{"type":"event","topic":"cart.add","data":1}`, 403, "forbidden"},
		{`{"type":"publish","channel":"room:1","data":"` + strings.Repeat("x", 65<<10) + `"}`, 413, "too_large"},
	} {
		a := g.command("u1", tt.body)
		if a.StatusCode != tt.status || !strings.HasPrefix(a.body, `{"type":"error",`) || !strings.Contains(a.body, `"code":"`+tt.code+`"`) {
			t.Error(tt.body, a.Status, a.body)
		}
	}
	if a := g.command("u1", `{"type":"fly","id":"x7"}`); !strings.HasPrefix(a.body, `{"type":"error","id":"x7","code":"unknown_type"`) {
		t.Error(a.body)
	}
	wantProblem(t, g.ask("POST", "/command", `{"type":"publish","channel":"room:1","data":1}`), 401, "unauthorized")
	wantProblem(t, g.ask("POST", "/command", `{}`, "Authorization: Bearer "+mint(g, "u1"), "Origin: https://evil.example"), 403, "origin")
}

// Requests know nothing of each other; the rate of a namespace holds for their user all the same.
func TestCommandsOverHTTPHaveARate(t *testing.T) {
	g := open(t, func(c *config.Config) {
		c.Namespaces = map[string]config.Namespace{"room": {Publish: config.Authenticated, Limit: config.Bounds{Rate: units.Rate{Count: 2, Per: time.Hour}}}}
	})
	publish := `{"type":"publish","channel":"room:1","data":1}`
	for i := range 4 { // twice the rate at once
		if a := g.command("u1", publish); a.StatusCode != 200 {
			t.Fatal(i, a.Status, a.body)
		}
	}
	if a := g.command("u1", publish); a.StatusCode != 429 || !strings.Contains(a.body, `"code":"rate_limited"`) {
		t.Error(a.Status, a.body)
	}
	if a := g.command("u2", publish); a.StatusCode != 200 {
		t.Error("another user:", a.Status)
	}
}

// A stream that begins with positions is one that goes on from there.
func TestStreamFromPositions(t *testing.T) {
	g := open(t)
	at := g.post(`"channel":"room:1","data":1`)
	g.post(`"channel":"room:1","data":2`)
	g.post(`"channel":"room:2","data":3`)
	q := url.Values{"channel": {"room:1", "room:2", "room:3"}, "position": {fmt.Sprintf("%s:%d", at.Epoch, at.Seq), "", "other:7"}}
	p := g.sseWith("/sse?"+q.Encode(), "Authorization: Bearer "+mint(g, "u1"))
	got := make(map[string]string)
	for len(got) < 3 {
		if e := p.event(); strings.Contains(e.data, `"channel":"room:`) {
			h := heardIn(t, []byte(e.data))
			got[h.Channel] = e.name + " " + e.data
		}
	}
	for channel, want := range map[string]string{
		"room:1": `"recovered":true,"changes":[{"seq":2,"op":"send","data":2}]`,
		"room:2": `"recovered":false,"state":{}`,
		"room:3": `resync {"type":"resync"`,
	} {
		if !strings.Contains(got[channel], want) {
			t.Errorf("%s: %s", channel, got[channel])
		}
	}
	for _, bad := range []string{"channel=a&position=x", "channel=a&position=:1", "channel=a&position=x:-1", "channel=a&position=x:1&position=x:2",
		"position=x:1", "channel=a&position=" + strings.Repeat("x", 65) + ":1"} {
		wantProblem(t, g.ask("GET", "/sse?"+bad, "", "Authorization: Bearer "+mint(g, "u1")), 400, "bad_request")
	}
	// Who says positions is told of what is forbidden, and follows the rest.
	p = g.sseWith("/sse?channel=user:u2&position=&channel=room:1&position=", "Authorization: Bearer "+mint(g, "u1"))
	denied, followed := false, false
	for !denied || !followed {
		e := p.event()
		denied = denied || e.name == "unsubscribed" && e.data == `{"type":"unsubscribed","channel":"user:u2","code":"forbidden","reason":"not allowed"}`
		followed = followed || e.name == "subscribed" && strings.Contains(e.data, `"channel":"room:1"`)
	}
	a := g.ask("GET", "/sse?channel=user:u2", "", "Authorization: Bearer "+mint(g, "u1"))
	if a.StatusCode != 403 || !strings.HasSuffix(a.body, `"code":"forbidden","channel":"user:u2"}`) {
		t.Error(a.Status, a.body)
	}
}

// One channel of a stream that is refused, has no proper name or is one too many costs the others nothing.
func TestStreamWithOddChannels(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Limit.Subscriptions = 2 })
	p := g.sseWith("/sse?channel=room:1&channel=user:u2&channel=a%20b%22&channel=room:2&channel=room:3", "Authorization: Bearer "+mint(g, "u1"))
	got := make(map[string]string)
	for len(got) < 6 { // and the user's own
		if e := p.event(); e.name != "connected" {
			h := heardIn(t, []byte(e.data))
			got[h.Channel] = h.Type + " " + h.Code
		}
	}
	for channel, want := range map[string]string{"user:u1": "subscribed ", "room:1": "subscribed ", "room:2": "subscribed ", "user:u2": "unsubscribed forbidden",
		`a b"`: "unsubscribed bad_channel", "room:3": "unsubscribed too_many"} {
		if got[channel] != want {
			t.Errorf("%s: %q", channel, got[channel])
		}
	}
}

// Where clients are told to come back is not the same for all from the start: whoever loses the relay at one moment
// does not come back at one.
func TestStreamSpreadsReconnects(t *testing.T) {
	g := open(t)
	seen := make(map[string]bool)
	for range 5 {
		p := g.sse("u1", "a")
		line, err := p.body.ReadString('\n')
		ms, bad := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "retry: ")))
		if err != nil || bad != nil || ms < 1000 || ms > 3000 {
			t.Fatalf("%q", line)
		}
		seen[line] = true
	}
	if len(seen) == 1 {
		t.Error("all are told", seen)
	}
}

// What does not fit into the address of a stream is followed by commands, and ends by them.
func TestStreamFollowsByCommand(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Limit.Subscriptions = 3 })
	at := g.post(`"channel":"b","data":1`)
	g.post(`"channel":"b","data":2`)
	f := g.follow("u1", "", "a")
	connection := f.hear().ConnectionID
	f.hear()
	f.hear()
	command := func(user, body string) string {
		return g.command(user, `{"connectionId":"`+connection+`",`+body+`}`).body
	}
	if a := command("u1", `"type":"subscribe","id":"s","channel":"b","position":`+at.json()); a != `{"type":"ok","id":"s"}` {
		t.Fatal(a)
	}
	if h := f.hear(); h.Type != "subscribed" || h.Channel != "b" || string(h.ID) != `"s"` || len(h.Changes) != 1 || h.Changes[0].Seq != 2 {
		t.Fatal(h.raw)
	}
	command("u1", `"type":"subscribe","channel":"c"`)
	if h := f.hear(); h.Type != "subscribed" || h.Channel != "c" {
		t.Fatal(h.raw)
	}
	g.post(`"channel":"c","data":1`)
	f.hear()
	for body, code := range map[string]string{
		`"type":"subscribe","channel":"d"`:       "too_many",
		`"type":"subscribe","channel":"user:u2"`: "forbidden",
		`"type":"subscribe","channel":"a b"`:     "bad_channel",
		`"type":"unsubscribe","channel":"d"`:     "not_subscribed",
	} {
		if a := command("u1", body); !strings.Contains(a, `"code":"`+code+`"`) {
			t.Error(body, a)
		}
	}
	if a := command("u2", `"type":"subscribe","channel":"d"`); !strings.Contains(a, `"code":"not_found"`) {
		t.Error("somebody else's stream:", a)
	}
	// Its id resumes these channels, too.
	id := f.lastID
	g.post(`"channel":"b","data":3`)
	f.hear()
	again := g.follow("u1", id, "a", "b", "c")
	again.hear()
	for range 4 {
		if h := again.hear(); h.Type != "subscribed" || !*h.Recovered || h.Channel == "b" && len(h.Changes) != 1 {
			t.Error(h.raw)
		}
	}
	// What was left is not followed and not resumed; its place is free for another.
	if a := command("u1", `"type":"unsubscribe","id":1,"channel":"b"`); a != `{"type":"ok","id":1}` {
		t.Fatal(a)
	}
	g.post(`"channel":"b","data":4`)
	command("u1", `"type":"subscribe","channel":"d"`)
	if h := f.hear(); h.Type != "subscribed" || h.Channel != "d" {
		t.Fatal(h.raw)
	}
	g.post(`"channel":"d","data":1`)
	if h := f.hear(); h.Channel != "d" || h.Seq != 1 {
		t.Fatal(h.raw)
	}
	if marks, err := wire.ParseCursor([]byte(f.lastID)); err != nil || len(marks) != 4 {
		t.Error(marks, err)
	}
}

// A command that is posted has the bound that it has on a WebSocket.
func TestCommandIsBounded(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Limit.Message = 1 << 10 })
	a := g.command("u1", `{"type":"message","content":"`+strings.Repeat("x", 1<<10)+`","id":7}`)
	if a.StatusCode != 413 || !strings.HasPrefix(a.body, `{"type":"error","id":7,"code":"too_large"`) {
		t.Error(a.Status, a.body)
	}
}

// A stream follows its user's own channel, which does not count, beside as many as it may.
func TestOwnChannelDoesNotCount(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Limit.Subscriptions = 2 })
	p := g.sseWith("/sse?"+url.Values{"channel": {"user:u1", "room:1", "user:u2", "room:2", "room:3"}, "position": {"", "", "", "", ""}}.Encode(), "Authorization: Bearer "+mint(g, "u1"))
	got := make(map[string]string)
	for len(got) < 5 {
		if e := p.event(); e.name != "connected" {
			m := parseMessage(t, []byte(e.data))
			got[m.Channel] = e.name + m.Code
		}
	}
	want := map[string]string{"user:u1": "subscribed", "room:1": "subscribed", "room:2": "subscribed", "user:u2": "unsubscribedforbidden", "room:3": "unsubscribedtoo_many"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
