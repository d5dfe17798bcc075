package relay

import (
	"strings"
	"testing"

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
	for _, name := range []string{"", "/chat", "/document", "/feed", "/notify", "/wall"} {
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
