package relay

import (
	"fmt"
	"strings"
	"testing"

	"weir/internal/units"
	"weir/relay/config"
)

// The client for browsers is served with what browsers need to keep it, and to load it from pages elsewhere.
func TestClientIsServed(t *testing.T) {
	g := open(t)
	a := g.ask("GET", "/weir.js", "", "Origin: https://elsewhere.example")
	tag := a.Header.Get("ETag")
	if a.StatusCode != 200 || tag == "" || len(a.body) == 0 || a.Header.Get("X-TypeScript-Types") != "/weir.d.ts" || a.Header.Get("Access-Control-Allow-Origin") != "*" ||
		!strings.HasPrefix(a.Header.Get("Content-Type"), "text/javascript") || !strings.Contains(a.Header.Get("Cache-Control"), "max-age") {
		t.Error(a.Status, a.Header, len(a.body))
	}
	if again := g.ask("GET", "/weir.js", "", "If-None-Match: "+tag); again.StatusCode != 304 || again.body != "" || again.Header.Get("ETag") != tag {
		t.Error(again.Status, again.Header, again.body)
	}
	if a := g.ask("GET", "/weir-documents.js", ""); a.StatusCode != 200 || a.Header.Get("X-TypeScript-Types") != "/weir-documents.d.ts" {
		t.Error(a.Status, a.Header)
	}
	if d := g.ask("GET", "/weir.d.ts", ""); d.StatusCode != 200 || !strings.Contains(d.body, "declare function connect(") {
		t.Error(d.Status, d.body)
	}
}

// The demos are for development mode: they let everybody be whom they like.
func TestDemos(t *testing.T) {
	g := open(t)
	for _, name := range []string{"", "/chat", "/token?user=ann"} {
		wantProblem(t, g.ask("GET", "/demo"+name, ""), 404, "not_found")
	}
	g = open(t, func(c *config.Config) { c.Dev = true })
	for _, name := range []string{"", "/chat", "/document", "/feed", "/notify", "/wall", "/answer", "/break"} {
		a := g.ask("GET", "/demo"+name, "")
		if a.StatusCode != 200 || !strings.Contains(a.Header.Get("Content-Security-Policy"), "default-src 'none'") || !strings.HasPrefix(a.body, "<!doctype html>") {
			t.Error(name, a.Status, a.Header)
		}
	}
	for _, name := range []string{"demo.css", "chat.js", "sw.js"} {
		if a := g.ask("GET", "/demo/"+name, ""); a.StatusCode != 200 || a.Header.Get("ETag") == "" {
			t.Error(name, a.Status, a.Header)
		}
	}
	for _, name := range []string{"none", "none.js", "..%2findex.html", "index.html%00"} {
		wantProblem(t, g.ask("GET", "/demo/"+name, ""), 404, "not_found")
	}
	wantProblem(t, g.ask("POST", "/demo/disk?full=5", ""), 401, "unauthorized")
	wantProblem(t, g.ask("POST", "/demo/disk?full=5", "", "Authorization: Bearer "+apiKey), 404, "not_found") // it has none
	wantProblem(t, g.ask("GET", "/demo/token", ""), 400, "bad_request")
	a := g.ask("GET", "/demo/token?user=ann&name=Ann", "")
	if a.StatusCode != 200 || !strings.HasPrefix(a.body, `{"token":"`) || a.Header.Get("Cache-Control") != "no-store" {
		t.Fatal(a.Status, a.body)
	}
	var token struct{ Token string }
	unmarshal(t, a.body, &token)
	if id, err := g.relay.verifier.Verify(token.Token); err != nil || id.User != "ann" || id.Name != "Ann" {
		t.Error(id, err)
	}
}

// A demo of a system that is off says so, and so does the list of demos.
func TestDemosOfSystemsThatAreOff(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Dev, c.Systems = true, []string{"chat", "analytics"} })
	for name, off := range map[string]bool{"chat": false, "document": true, "feed": true, "notify": true, "wall": false, "answer": false, "break": false} {
		if a := g.ask("GET", "/demo/"+name, ""); a.StatusCode != 200 || strings.Contains(a.body, "<p data-system=") != off {
			t.Errorf("%s: want a notice that shows: %v, got %s", name, off, a.body)
		}
	}
	list := g.ask("GET", "/demo", "").body
	for system, off := range map[string]bool{"chat": false, "documents": true, "feed": true, "notify": true, "analytics": false} {
		if strings.Contains(list, `<p data-system="`+system+`"`) != off || strings.Contains(list, `<p hidden data-system="`+system+`"`) == off {
			t.Errorf("%s: want it listed as off: %v", system, off)
		}
	}
}

// What the page that breaks things asks of the relay: a client that takes nothing, and a disk that is full.
func TestDemoFaults(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Dev, c.Data, c.Limit.Queue = true, t.TempDir(), 64*units.KiB })
	key := "Authorization: Bearer " + apiKey
	c := g.client("u1")
	c.subscribe("pile:a", "")
	for query, status := range map[string]int{"connection=none&ms=5": 404, "connection=" + c.hello.ConnectionID: 400, "connection=" + c.hello.ConnectionID + "&ms=60001": 400} {
		if a := g.ask("POST", "/demo/hold?"+query, "", key); a.StatusCode != status {
			t.Errorf("%s: %s", query, a.Status)
		}
	}
	hold := func(ms int) {
		t.Helper()
		if a := g.ask("POST", fmt.Sprintf("/demo/hold?connection=%s&ms=%d", c.hello.ConnectionID, ms), "", key); a.StatusCode != 200 {
			t.Fatal(a.Status, a.body)
		}
	}
	hold(1)
	g.post(`"channel":"pile:a","data":1`)
	c.change(1, `1`) // once it is over
	hold(60_000)
	piece := strings.Repeat("x", 60_000)
	for range 4 {
		g.post(`"channel":"pile:a","data":"%s"`, piece)
		g.flush()
	}
	if end := c.ended(); end.code != 4008 {
		t.Error(end)
	}

	for query, status := range map[string]int{"": 400, "?full=60001": 400, "?full=60000": 200} {
		if a := g.ask("POST", "/demo/disk"+query, "", key); a.StatusCode != status {
			t.Errorf("%s: %s", query, a.Status)
		}
	}
	publish := func() answered {
		return g.ask("POST", "/v1/publish", `{"channel":"demo:a","data":1,"idempotencyKey":"1"}`, key)
	}
	g.until("the disk is full", func() bool {
		a := publish()
		return a.StatusCode == 503 && strings.Contains(a.body, `"code":"storage"`)
	})
	if a := g.ask("POST", "/demo/disk?full=1", "", key); a.StatusCode != 200 {
		t.Fatal(a.Status)
	}
	g.until("the disk has room", func() bool { return publish().StatusCode == 200 })
}
