package relay

import (
	"bufio"
	"io"
	"log/slog"
	"net"
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
// elsewhere cannot make them, whatever name they have come by.
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

// Every route of the admin listener is behind one door: what a page elsewhere has made a browser ask for does not pass.
// Programs do, which send nothing but the address that they have dialed.
func TestAdminDoor(t *testing.T) {
	t.Parallel()
	const token = "the token of the operators, 32 bytes"
	g := open(t)
	far := launch(t, openConfig(), func(r *Relay) { r.hub.Config.Admin, r.hub.Config.AdminToken = "0.0.0.0:9090", token })
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(addr, path string, header ...string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			if header[i] == "Host" {
				req.Host = header[i+1]
			} else {
				req.Header.Add(header[i], header[i+1])
			}
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	port := g.admin[strings.LastIndexByte(g.admin, ':'):]
	const navigate, document = "Sec-Fetch-Mode", "Sec-Fetch-Dest"
	refused := map[string][]string{
		"a rebound name":                  {"Host", "evil.example" + port},
		"a rebound name, by its own page": {"Host", "evil.example", "Origin", "http://evil.example", "Sec-Fetch-Site", "same-origin"},
		"a name that ends so":             {"Host", "notlocalhost"},
		"an image elsewhere":              {"Sec-Fetch-Site", "cross-site", navigate, "no-cors", document, "image"},
		"another port":                    {"Sec-Fetch-Site", "same-site", navigate, "no-cors", document, "script"},
		"a frame elsewhere":               {"Sec-Fetch-Site", "cross-site", navigate, "navigate", document, "iframe"},
		"a page of old":                   {"Origin", "https://evil.example"},
		"a sandboxed page":                {"Origin", "null"},
		"another port, of old":            {"Origin", "http://127.0.0.1:1"},
		"two origins":                     {"Origin", "http://" + g.admin, "Origin", "https://evil.example"},
	}
	passed := map[string][]string{
		"a program":               nil,
		"localhost":               {"Host", "localhost" + port},
		"localhost in capitals":   {"Host", "LOCALHOST" + port},
		"localhost and a dot":     {"Host", "localhost."},
		"a name below localhost":  {"Host", "weir.localhost" + port},
		"IPv6":                    {"Host", "[::1]" + port},
		"its own page":            {"Origin", "http://" + g.admin, "Sec-Fetch-Site", "same-origin"},
		"an address typed":        {"Sec-Fetch-Site", "none", navigate, "navigate", document, "document"},
		"its own page of old":     {"Origin", "http://" + g.admin},
		"a port that is not said": {"Host", "localhost:80", "Origin", "http://localhost"},
		"a proxy with TLS":        {"Host", "localhost", "Origin", "https://localhost:443"},
	}
	paths := []string{"/", "/dashboard/dashboard.js", "/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2",
		"/debug/pprof/symbol", "/debug/pprof/heap", "/v1/channels", "/followers?channel=a", "/nothing"}
	for _, path := range paths {
		for what, header := range refused {
			if status := ask(g.admin, path, header...); status != 403 {
				t.Errorf("%s, %s: %d", path, what, status)
			}
		}
		for what, header := range passed {
			if status := ask(g.admin, path, header...); status != 200 && path != "/nothing" {
				t.Errorf("%s, %s: %d", path, what, status)
			}
		}
		// Elsewhere than on loopback there is a token, and Host may be any name: a service's, a container's.
		for _, host := range []string{"weir:9090", "host.docker.internal:9090", "10.1.2.3:9090"} {
			if status := ask(far.admin, path, "Host", host, "Authorization", "Bearer "+token); status != 200 && path != "/nothing" {
				t.Errorf("%s, as %s: %d", path, host, status)
			}
		}
		if status := ask(far.admin, path, "Host", "weir:9090", "Authorization", "Bearer "+token, "Sec-Fetch-Site", "cross-site"); status != 403 {
			t.Errorf("%s, with a password that the browser keeps: %d", path, status)
		}
		want := 403 // but on the dashboard
		if path == "/" {
			want = 200
		}
		if status := ask(g.admin, path, "Sec-Fetch-Site", "cross-site", navigate, "navigate", document, "document"); status != want {
			t.Errorf("%s, by a link: %d, want %d", path, status, want)
		}
	}
	nc, err := net.Dial("tcp", g.admin) // no browser leaves Host out; checks of old do
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_, _ = io.WriteString(nc, "GET /healthz HTTP/1.0\r\n\r\n")
	if a, err := readAnswer(bufio.NewReader(nc)); err != nil || a.StatusCode != 200 {
		t.Errorf("without Host: %v %v", a.StatusCode, err)
	}
	if n := g.metric(`weir_auth_failures_total{reason="origin"}`); n == "0" || n == "" {
		t.Errorf("%q are counted", n)
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
