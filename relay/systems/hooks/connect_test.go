package hooks_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"

	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/hooks"
)

// A page with a session of the backend's, and no token: the backend sees its cookie and says who it is.
func TestConnect(t *testing.T) {
	b := newBackend(t, users(`,"channels":{"room:*":["subscribe","publish"]},"subscribe":["room:1","news:1"],"data":{"theme":"dark"},"context":{"tenant":7}`))
	g := start(t, b, func(_ *config.Config, h *hooks.Config) { h.Headers = []string{"Accept-Language"} })
	p, status, _ := dial(g, "/ws", "Cookie: other=x; session=ann; csrf=y", "Accept-Language: de", "X-Other: z", "Authorization: Basic eDp5")
	if p == nil {
		t.Fatal(status)
	}
	m := p.Type("connected")
	if data, _ := m["data"].(relaytest.Message); m["userId"] != "ann" || data["theme"] != "dark" || m["resume"] == nil || m["expiresIn"] != nil {
		t.Errorf("%v", m)
	}
	for _, channel := range []string{"room:1", "news:1"} {
		if m := p.Type("subscribed"); m["channel"] != channel {
			t.Error(m)
		}
	}
	if m := ask(p, "1", `"type":"subscribe","channel":"room:2"`); m["type"] != "subscribed" {
		t.Error(m)
	}
	if m := ask(p, "2", `"type":"publish","channel":"room:1","data":1`); m["type"] != "ok" {
		t.Error(m)
	}
	if m := ask(p, "3", `"type":"history","channel":"room:1"`); m["code"] != "forbidden" {
		t.Error(m)
	}
	list := b.questions("/weir/connect")
	if len(list) != 1 {
		t.Fatalf("asked %d times", len(list))
	}
	h := list[0].header
	if h.Get("Cookie") != "session=ann" || h.Get("Accept-Language") != "de" || h.Get("X-Other") != "" || h.Get("Authorization") != "" || h.Get("Origin") != "" {
		t.Errorf("%v went along", h)
	}
	if list[0].body["origin"] != origin {
		t.Error(list[0].body)
	}
}

// The same cookie serves event streams and posted commands.
func TestConnectOfStreamsAndCommands(t *testing.T) {
	b := newBackend(t, users(`,"channels":{"room:*":["subscribe","publish"]},"subscribe":["room:1"]`))
	g := start(t, b, nil)
	status, _, body := g.Do("POST", "/command", `{"type":"publish","channel":"room:1","key":"a","data":1}`, "Cookie: session=ann", "Origin: "+origin)
	if status != 200 {
		t.Fatal(status, body)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", g.URL+"/sse?channel=room:2", nil)
	req.Header.Set("Cookie", "session=ann")
	req.Header.Set("Sec-Fetch-Site", "same-origin") // a browser sends no Origin with a page's own stream
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
	want := []string{`"userId":"ann"`, `"channel":"room:2"`, `"channel":"room:1"`}
	for lines := bufio.NewScanner(resp.Body); len(want) > 0 && lines.Scan(); {
		if strings.Contains(lines.Text(), want[0]) {
			want = want[1:]
		}
	}
	if len(want) > 0 {
		t.Errorf("the stream did not say %s", want)
	}
	if status, _, _ := g.Do("GET", "/sse?channel=room:2", nil); status != 401 { // nobody
		t.Error(status)
	}
	if n := len(b.questions("/weir/connect")); n != 3 { // with an Origin, without one, and without a cookie
		t.Errorf("asked %d times", n)
	}
}

// What the backend says of a client that is nobody, may not come in, or is told wrongly.
func TestConnectAnswers(t *testing.T) {
	b := newBackend(t, nil)
	g := start(t, b, func(_ *config.Config, h *hooks.Config) { h.Breaker.After = 1000 })
	for answer, want := range map[string]struct {
		status int
		body   string
		user   string
		http   int
	}{
		"number":           {200, `{"user":{"id":42}}`, "42", 101},
		"empty PHP array":  {200, `{"user":{"id":"u"},"channels":[]}`, "u", 101},
		"anonymous":        {204, ``, "", 101},
		"no user":          {200, `{"user":null,"channels":{"room:lobby":["subscribe"]}}`, "", 101},
		"not signed in":    {401, `<html>`, "", 401},
		"not allowed":      {403, ``, "", 403},
		"error":            {500, `{"user":{"id":"u"}}`, "", 503},
		"missing":          {404, ``, "", 503},
		"a page":           {200, `<html>`, "", 503},
		"a redirect":       {302, "/login", "", 503},
		"a wrong id":       {200, `{"user":{"id":""}}`, "", 503},
		"another wrong id": {200, `{"user":{"id":1.5}}`, "", 503},
		"wrong channels":   {200, `{"user":{"id":"u"},"channels":{"room:**":["subscribe"]}}`, "", 503},
		"wrong operation":  {200, `{"user":{"id":"u"},"channels":{"room:1":["read"]}}`, "", 503},
		"wrong subscribe":  {200, `{"user":{"id":"u"},"subscribe":["a b"]}`, "", 503},
		"wrong expiry":     {200, `{"user":{"id":"u"},"expiresIn":-1}`, "", 503},
		"large context":    {200, `{"user":{"id":"u"},"context":"` + strings.Repeat("x", 4<<10) + `"}`, "", 503},
		"large":            {200, `{"user":{"id":"u"}}` + strings.Repeat(" ", 64<<10), "", 503},
	} {
		b.answer(func(*question) (int, string) { return want.status, want.body })
		p, status, h := dial(g, "/ws", "Cookie: session="+strings.ReplaceAll(answer, " ", "-"))
		if status != want.http {
			t.Errorf("%s: %d", answer, status)
		}
		if status == 503 && h.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", answer)
		}
		if p == nil {
			continue
		}
		if m := p.Type("connected"); m["userId"] != want.user {
			t.Errorf("%s: %v", answer, m)
		}
		if answer == "no user" {
			if m := ask(p, "1", `"type":"subscribe","channel":"room:lobby"`); m["type"] != "subscribed" {
				t.Error(m)
			}
		}
	}
	if logs := g.Logs(); strings.Contains(logs, "session=") || strings.Contains(logs, "not-signed-in") {
		t.Error("the log shows a cookie")
	}
}

// A cookie that comes from a page elsewhere, or from nobody knows where, is not passed on: the backend is not even asked.
func TestStolenCookie(t *testing.T) {
	b := newBackend(t, users(""))
	g := start(t, b, nil)
	for _, lines := range [][]string{
		{"Origin: https://evil.example"},
		{"Origin: null"},
		{"Origin: "},
		{"Origin: ", "Sec-Fetch-Site: cross-site"},
		{"Origin: ", "Sec-Fetch-Site: same-site"},
		{"Origin: ", "Sec-Fetch-Site: none"},
	} {
		if p, status, _ := dial(g, "/ws", append(lines, "Cookie: session=ann")...); p != nil || status != 403 {
			t.Errorf("%v: upgraded with %d", lines, status)
		}
		if status, _, _ := g.Do("GET", "/sse?channel=news:1", nil, append(lines, "Cookie: session=ann")...); status != 403 {
			t.Errorf("%v: a stream, %d", lines, status)
		}
		if status, _, _ := g.Do("POST", "/command", `{"type":"publish","channel":"news:1","data":1}`, append(lines, "Cookie: session=ann")...); status != 403 {
			t.Errorf("%v: a command, %d", lines, status)
		}
	}
	if n := len(b.questions("/weir/connect")); n > 0 {
		t.Errorf("asked %d times", n)
	}
	if p, status, _ := dial(g, "/ws", "Cookie: session=ann", "Origin: ", "Sec-Fetch-Site: same-origin"); p == nil {
		t.Error(status)
	}
}

// Tokens go before cookies, and routes that are not named ask nobody.
func TestConnectRoutes(t *testing.T) {
	b := newBackend(t, users(""))
	g := start(t, b, func(_ *config.Config, h *hooks.Config) { h.Connect.Routes = []string{"/ws"} })
	if p, _ := g.Dial(g.Token("bob"), "/ws"); p == nil || p.Type("connected")["userId"] != "bob" {
		t.Error("a token does not count")
	}
	if status, _, _ := g.Do("GET", "/sse", nil, "Cookie: session=ann", "Origin: "+origin); status != 401 {
		t.Error(status)
	}
	if n := len(b.questions("/weir/connect")); n > 0 {
		t.Errorf("asked %d times", n)
	}
}

// Operators see how the questions fare.
func TestListOfHooks(t *testing.T) {
	b := newBackend(t, users(""))
	g := start(t, b, nil)
	connect(g, "ann", "/ws")
	connect(g, "ann", "/ws")
	status, body := g.Backend("GET", "/v1/hooks", nil)
	m, _ := body.(relaytest.Message)
	list, _ := m["hooks"].([]any)
	if status != 200 || len(list) != 4 {
		t.Fatal(status, body)
	}
	first := list[0].(relaytest.Message)
	if first["hook"] != "connect" || first["breaker"] != "closed" || first["remembered"] != 1.0 || first["answers"] != 1.0 || first["questions"].(relaytest.Message)["allowed"] != 1.0 {
		t.Error(first)
	}
}
