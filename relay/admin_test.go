package relay

import (
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

// Without a token the admin listener stays on loopback.
func TestAdminIsNotOpen(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Admin = "0.0.0.0:0"
	if _, err := New(cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "admin_token") {
		t.Errorf("New: %v", err)
	}
}
