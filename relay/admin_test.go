package relay

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
)

// With an admin token, nothing but the relay's health is told without it.
func TestAdminToken(t *testing.T) {
	t.Parallel()
	const token = "the token of the operators, 32 bytes"
	cfg := openConfig()
	cfg.AdminToken = token
	g := launch(t, cfg)
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(path string, set func(*http.Request)) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		set(req)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("WWW-Authenticate")
	}
	none := func(*http.Request) {}
	bearer := func(v string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", v) }
	}
	basic := func(r *http.Request) { r.SetBasicAuth("admin", token) }
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, _ := ask(path, none); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap", "/", "/healthz/../metrics", "/nothing"} {
		for _, wrong := range []string{"", "Bearer", "Bearer ", "Bearer " + token + "x", "Bearer " + strings.ToUpper(token), "Token " + token, "Basic " + token, "Bearer " + apiKey} {
			if status, how := ask(path, bearer(wrong)); status != 401 || !strings.HasPrefix(how, "Basic ") {
				t.Errorf("%s with %q: %d %q", path, wrong, status, how)
			}
		}
	}
	for _, right := range []func(*http.Request){bearer("Bearer " + token), bearer("bearer " + token), basic} {
		if status, _ := ask("/metrics", right); status != 200 {
			t.Errorf("/metrics with the token: %d", status)
		}
	}
	if strings.Contains(g.logs.String(), token) {
		t.Error("the token is in the log")
	}
}

// The dashboard's requests change things with what a browser keeps, or with nothing but being on this machine: pages
// elsewhere can not make them, whatever name they have come by.
func TestAdminPagesAreTheirOwn(t *testing.T) {
	t.Parallel()
	g := open(t)
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, path, body string, header ...string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+g.admin+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			if header[i] == "Host" {
				req.Host = header[i+1]
			}
			req.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	if status, body := ask("GET", "/", ""); status != 200 || !strings.HasPrefix(body, "<!doctype html>") {
		t.Error(status, body)
	}
	if status, body := ask("GET", "/dashboard/uplot.js", ""); status != 200 || len(body) < 10<<10 {
		t.Error(status)
	}
	if status, _ := ask("GET", "/dashboard/none.js", ""); status != 404 {
		t.Error(status)
	}
	c := g.client("u1")
	c.subscribe("room:1", "")
	publish := `{"channel":"room:1","key":"k","data":1}`
	if status, body := ask("POST", "/v1/publish", publish, "Content-Type", "application/json", "Origin", "http://"+g.admin); status != 200 || !strings.Contains(body, `"position"`) {
		t.Error(status, body)
	}
	if h := c.hear(); h.Seq != 1 {
		t.Error(h.raw)
	}
	for what, header := range map[string][]string{
		"another site":     {"Origin", "https://evil.example"},
		"a subresource":    {"Sec-Fetch-Site", "cross-site"},
		"another port":     {"Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"},
		"a rebound name":   {"Host", "evil.example:9090", "Origin", "http://evil.example:9090", "Sec-Fetch-Site", "same-origin"},
		"a sandboxed page": {"Origin", "null"},
	} {
		if status, _ := ask("POST", "/v1/publish", publish, append(header, "Content-Type", "application/json")...); status != 403 {
			t.Errorf("%s: %d", what, status)
		}
	}
	for _, path := range []string{"/", "/v1/channels", "/followers?channel=room:1", "/dashboard/dashboard.js"} {
		if status, _ := ask("GET", path, "", "Host", "evil.example"); status != 403 {
			t.Errorf("%s by another name: %d", path, status)
		}
	}
	if status, body := ask("GET", "/v1/channels/room:1", ""); status != 200 || !strings.Contains(body, `"state":{"items":{"k":1}}`) {
		t.Error(status, body)
	}
	if status, body := ask("GET", "/followers?channel=room:1", ""); status != 200 || !strings.Contains(body, `"userId":"u1"`) || !strings.HasSuffix(body, `"count":1}`) {
		t.Error(status, body)
	}
	if status, _ := ask("GET", "/followers?channel=.x", ""); status != 400 {
		t.Error(status)
	}
	if status, _ := ask("GET", "/v1/none", ""); status != 404 {
		t.Error(status)
	}
	if status, body := ask("POST", "/v1/disconnect", `{"userId":"u1"}`); status != 200 || body != `{"disconnected":1}` {
		t.Error(status, body)
	}
}

// Without a token the admin listener stays on loopback.
func TestAdminIsNotOpen(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Admin = "0.0.0.0:0"
	if _, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "admin_token") {
		t.Errorf("New: %v", err)
	}
}
