package relay

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/relay/api"
	"weir/relay/config"
)

func unmarshal(t testing.TB, body string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
}

// concrete is a path of a route with names in place of its parameters.
func concrete(r api.Route) string {
	return strings.NewReplacer("{channel}", "a", "{group}", "g", "{key}", "k").Replace(r.Path)
}

// Every route wants a backend's key, and nothing else will do.
func TestRoutesWantAKey(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Auth.QueryToken = true })
	for _, route := range g.relay.api.Backends() {
		for _, line := range []string{
			"", "Authorization: Bearer wrong", "Authorization: Bearer ", "Authorization: Basic " + apiKey, "Authorization: " + apiKey,
			"Authorization: Bearer " + apiKey + "x", "Authorization: Bearer " + mint(t, "u1"), "X-API-Key: " + apiKey,
		} {
			lines := []string{line}
			if line == "" {
				lines = nil
			}
			a := g.ask(route.Method, concrete(route)+"?token="+apiKey, `{}`, lines...)
			wantProblem(t, a, 401, "unauthorized")
			if a.Header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s %s with %q: %v", route.Method, route.Path, line, a.Header)
			}
		}
	}
	if v := g.metric(`weir_auth_failures_total{reason="api_key"}`); v != fmt.Sprint(8*len(g.relay.api.Backends())) {
		t.Errorf("%s failures counted", v)
	}
}

// What is not there and what is not allowed is said the same way everywhere.
func TestOtherPathsAndMethods(t *testing.T) {
	g := open(t)
	for _, path := range []string{"/v1", "/v1/", "/v1/publish/", "/v1/Publish", "/nothing", "/metrics", "/readyz", "/debug/pprof/", "/v1/channels/", "/v1/channels/a/b/c/d", "/../v1/publish", "/weir-page.map"} {
		for _, method := range []string{"GET", "POST"} {
			a := g.ask(method, path, "", "Authorization: Bearer "+apiKey)
			if a.StatusCode != 404 && a.StatusCode != 405 && a.StatusCode != 400 {
				t.Errorf("%s %s: %s", method, path, a.Status)
			}
			wantProblem(t, a, a.StatusCode, map[int]string{404: "not_found", 405: "method_not_allowed", 400: "bad_channel"}[a.StatusCode])
		}
	}
	allowed := make(map[string]string)
	for _, route := range g.relay.api.Backends() {
		allowed[concrete(route)] += route.Method
	}
	for path, methods := range allowed {
		for _, method := range []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
			group := method == "DELETE" && strings.Count(path, "/") == 4 // whatever its name
			if !group && !strings.Contains(methods, method) {
				wantProblem(t, g.ask(method, path, "", "Authorization: Bearer "+apiKey), 405, "method_not_allowed")
			}
		}
	}
}

// The bodies of the smaller routes, and what is wrong with them.
func TestBadBodies(t *testing.T) {
	g := open(t)
	for _, test := range []struct{ path, body, code string }{
		{"/v1/events", ``, "invalid_json"},
		{"/v1/events", `[]`, "invalid_json"},
		{"/v1/disconnect", ``, "invalid_json"},
		{"/v1/disconnect", `{`, "invalid_json"},
		{"/v1/disconnect", `{}`, "bad_request"},
		{"/v1/disconnect", `[]`, "bad_request"},
		{"/v1/disconnect", `{"userId":7}`, "bad_request"},
		{"/v1/disconnect", `{"userId":"u1","connectionId":"c"}`, "bad_request"},
		{"/v1/unsubscribe", `x`, "invalid_json"},
		{"/v1/unsubscribe", `{"channel":"a"}`, "bad_request"},
		{"/v1/unsubscribe", `{"userId":"u1"}`, "bad_channel"},
		{"/v1/unsubscribe", `{"userId":"u1","channel":"a b"}`, "bad_channel"},
		{"/v1/tickets", ``, "invalid_json"},
		{"/v1/tickets", `{`, "invalid_json"},
		{"/v1/tickets", `{}`, "bad_request"},
		{"/v1/tickets", `{"userId":""}`, "bad_request"},
		{"/v1/tickets", `{"userId":7}`, "bad_request"},
		{"/v1/tickets", `{"userId":"` + strings.Repeat("u", 251) + `"}`, "bad_request"},
		{"/v1/tickets", `{"userId":"u1","ttl":-1}`, "bad_request"},
		{"/v1/tickets", `{"userId":"u1","ttl":86401}`, "bad_request"},
		{"/v1/tickets", `{"userId":"u1","ttl":1.5}`, "bad_request"},
		{"/v1/tickets", `{"userId":"u1","channels":{"a":["fly"]}}`, "bad_request"},
	} {
		a := g.api(400, "POST", test.path, test.body)
		if !strings.Contains(a.body, `"code":"`+test.code+`"`) {
			t.Errorf("%s %.60s: %s, want %s", test.path, test.body, a.body, test.code)
		}
		wantProblem(t, a, 400, test.code)
	}
}

// Keys are replaced without a restart and without a gap; one that cannot be read changes nothing.
func TestReload(t *testing.T) {
	g := open(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	if err := os.WriteFile(file, []byte("the-second-key-of-the-backend\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status := func(key string) int {
		return g.ask("POST", "/v1/publish", `{"channel":"a","data":1}`, "Authorization: Bearer "+key).StatusCode
	}
	const second = "the-second-key-of-the-backend"
	const other = "another secret that signs the tokens of clients"
	both := openConfig()
	both.API.Keys = append(both.API.Keys, config.APIKey{Name: "next", File: file})
	if got := status(second); got != 401 {
		t.Errorf("before: %d", got)
	}
	if err := g.relay.Reload(both); err != nil {
		t.Fatal(err)
	}
	if a, b := status(apiKey), status(second); a != 200 || b != 200 {
		t.Errorf("both: %d %d", a, b)
	}
	c := g.client("u1")
	next := openConfig()
	next.API.Keys = both.API.Keys[1:]
	next.Auth.Keys = []config.TokenKey{{Algorithm: "HS256", Secret: other}}
	if err := g.relay.Reload(next); err != nil {
		t.Fatal(err)
	}
	if a, b := status(apiKey), status(second); a != 401 || b != 200 {
		t.Errorf("the second only: %d %d", a, b)
	}
	if a := g.shake("/ws", "Authorization: Bearer "+mint(t, "u1")); a.StatusCode != 401 {
		t.Errorf("a token of the old key: %s", a.Status)
	}
	c.alive() // who is in stays in
	for _, bad := range []func(*config.Config){
		func(c *config.Config) { c.API.Keys = nil },
		func(c *config.Config) { c.Auth.Keys = nil },
		func(c *config.Config) { c.API.Keys = []config.APIKey{{Name: "gone", File: filepath.Join(dir, "none")}} },
		func(c *config.Config) { c.Auth.Keys = []config.TokenKey{{Algorithm: "HS256", Secret: "short"}} },
	} {
		cfg := openConfig()
		bad(&cfg)
		if err := g.relay.Reload(cfg); err == nil || !strings.HasPrefix(err.Error(), "reload: ") {
			t.Errorf("bad configuration: %v", err)
		}
	}
	if a, b := status(apiKey), status(second); a != 401 || b != 200 {
		t.Errorf("after errors: %d %d", a, b)
	}
}

// The page and what belongs to it, and the description of the API, need no key.
func TestAssets(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Page = true })
	for path, kind := range map[string]string{
		"/":                "text/html; charset=utf-8",
		"/weir-page.js":    "text/javascript; charset=utf-8",
		"/weir-page.css":   "text/css; charset=utf-8",
		"/v1/openapi.yaml": "application/yaml",
	} {
		a := g.ask("GET", path, "")
		if a.StatusCode != 200 || a.Header.Get("Content-Type") != kind || a.Header.Get("X-Content-Type-Options") != "nosniff" || len(a.body) < 100 {
			t.Errorf("%s: %s %v, %d bytes", path, a.Status, a.Header, len(a.body))
		}
		if path == "/" && (strings.Contains(a.body, "{{") || !strings.Contains(a.Header.Get("Content-Security-Policy"), "default-src 'none'")) {
			t.Errorf("%v %.100s", a.Header, a.body)
		}
	}
}

// The page of development mode holds a token that works, another for everyone who asks.
func TestDevelopmentPage(t *testing.T) {
	g := launch(t, config.Config{Dev: true, Drain: 10e6})
	tokens := make(map[string]bool)
	for range 2 {
		a := g.ask("GET", "/", "")
		_, rest, found := strings.Cut(a.body, "eyJ")
		token := "eyJ" + rest[:strings.IndexAny(rest, "\"'<& \n")]
		if !found || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%v", a.Header)
		}
		p := g.wsOn(g.dial(), "/ws", "Authorization: Bearer "+token)
		if !strings.HasPrefix(p.hello.UserID, "guest-") {
			t.Error(p.hello.raw)
		}
		tokens[token] = true
	}
	if len(tokens) != 2 {
		t.Error("two visitors are the same guest")
	}
	if a := g.ask("POST", "/v1/publish", `{"channel":"room:1","data":1}`, "Authorization: Bearer dev"); a.StatusCode != 200 {
		t.Error(a.Status)
	}
}
