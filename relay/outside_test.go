package relay

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"weir/relay/api"
	"weir/relay/auth"
)

// Here are requests as proxies, backends' libraries and browsers send them, where these differ.

// Some proxies and clients write Connection, and Upgrade, on several lines.
func TestUpgradeOnSeveralLines(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig(), func(r *Relay) {})
	token := "Authorization: Bearer " + mint(t, "u1")
	for _, lines := range [][]string{
		{"Connection: Upgrade", "Connection: keep-alive"},
		{"Connection: keep-alive", "Connection: Upgrade"},
		{"connection: keep-alive, x", "CONNECTION: x ,\tupgrade"},
		{"Upgrade: h2c", "Upgrade: websocket"},
	} {
		if a := g.shake("/ws", append(lines, token)...); a.StatusCode != 101 {
			t.Errorf("%q: %d %s", lines, a.StatusCode, a.body)
		}
	}
	if a := g.shake("/ws", "Connection: keep-alive", "Connection: x-upgrade", token); a.StatusCode != 400 {
		t.Errorf("without an upgrade: %d", a.StatusCode)
	}
}

// Some proxies write the client's port into X-Forwarded-For.
func TestForwardedPorts(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.TrustedProxies = []string{"127.0.0.1/32", "10.0.0.0/8"}
	cfg.Limit.PerAddress = 2
	g := launch(t, cfg)
	for i := range 5 { // two are allowed for each address
		line := fmt.Sprintf("X-Forwarded-For: 203.0.113.%d:4711, 10.0.0.1:80", i)
		g.wsOn(g.dial(), "/ws", "Authorization: Bearer "+mint(t, "u1"), line).alive()
	}
}

// An optional member that is null counts as absent: serializers of many languages write that for what is not set.
func TestNullIsAbsent(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	key := "Authorization: Bearer " + apiKey
	for _, member := range []string{"op", "group", "key", "ttl", "idempotencyKey", "exclude", "ack"} {
		if a := g.ask("POST", "/v1/publish", `{"channel":"a","data":1,"`+member+`":null}`, key); a.StatusCode != 200 {
			t.Errorf("publish with %s: %d %s", member, a.StatusCode, a.body)
		}
	}
	for path, body := range map[string]string{
		"/v1/events":      `{"topic":"x","data":null,"key":null}`,
		"/v1/tickets":     `{"userId":"u1","name":null,"avatar":null,"roles":null,"channels":null,"ttl":null}`,
		"/v1/disconnect":  `{"userId":"nobody","connectionId":null,"reason":null,"channel":null}`,
		"/v1/unsubscribe": `{"userId":"nobody","connectionId":null,"reason":null,"channel":"a"}`,
	} {
		if a := g.ask("POST", path, body, key); a.StatusCode/100 != 2 {
			t.Errorf("%s: %d %s", path, a.StatusCode, a.body)
		}
	}
	g.publish(`{"channel":"nulls","data":null}`) // which is data
	c := g.client("u1")
	for _, command := range []string{
		`{"type":"subscribe","id":1,"channel":"nulls","groups":null,"position":null,"token":null,"limit":null}`,
		`{"type":"history","id":1,"channel":"nulls","before":null,"limit":null}`,
		`{"type":"presence","id":1,"channel":"nulls","count":null}`,
		`{"type":"publish","id":1,"channel":"nulls","data":1,"key":null,"group":null,"op":null,"ttl":null,"idempotencyKey":null,"exclude":null}`,
		`{"type":"message","id":1,"content":"x","channel":null}`,
	} {
		if h := c.ask("%s", command); h.Type == "error" {
			t.Errorf("%s: %s", command, h.raw)
		}
	}
	c.refused("bad_request", `{"type":"history","id":"x","channel":"nulls","limit":1,"limit":null}`)
	c.refused("bad_channel", `{"type":"publish","id":"x","channel":null,"data":1}`)
}

// Media types are the same in any case, and with parameters.
func TestMediaTypesInAnyCase(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	key := "Authorization: Bearer " + apiKey
	for kind, status := range map[string]int{
		"Application/JSON": 200, "application/json;charset=UTF-8": 200, "APPLICATION/JSON ; Charset=utf-8": 200, "Text/Plain": 200, "application/x-www-form-urlencoded": 200,
		"Application/X-NDJSON": 200, "application/ndjson": 200, "application/xml": 415, "application/jsonx": 415, "application/" + strings.Repeat("j", 100): 415,
	} {
		a := g.ask("POST", "/v1/publish", `{"channel":"a","data":1}`, key, "Content-Type: "+kind)
		if a.StatusCode != status {
			t.Errorf("%s: %d %s", kind, a.StatusCode, a.body)
		}
		if lines := strings.Contains(strings.ToLower(kind), "ndjson"); a.StatusCode == 200 && lines != strings.HasSuffix(a.body, "\n") {
			t.Errorf("%s: %q", kind, a.body)
		}
	}
}

// A compressed body is refused as such, whatever is in it; the connection goes on.
func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for _, addr := range []string{g.public, g.admin} {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		key := "Authorization: Bearer " + apiKey
		for _, coding := range []string{"gzip", "GZIP", "br", "zstd", "deflate", "gzip, identity"} {
			a := (&rig{TB: t, public: addr}).askOn(nc, "POST", "/v1/publish", "\x1f\x8b\x08", key, "Content-Encoding: "+coding)
			if a.StatusCode != 415 || !strings.Contains(a.body, `"content_encoding"`) || a.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("%s: %d %s", coding, a.StatusCode, a.body)
			}
		}
		if a := (&rig{TB: t, public: addr}).askOn(nc, "POST", "/v1/publish", `{"channel":"a","data":1}`, key, "Content-Encoding: identity"); a.StatusCode != 200 {
			t.Errorf("identity: %d %s", a.StatusCode, a.body)
		}
	}
}

// White space around a token or a key does not matter.
func TestSpaceAroundTokens(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for _, space := range []string{"", " ", "   ", "\t"} {
		if a := g.ask("POST", "/v1/publish", `{"channel":"a","data":1}`, "Authorization: bearer "+space+apiKey+space); a.StatusCode != 200 {
			t.Errorf("a key with %q: %d", space, a.StatusCode)
		}
		if a := g.ask("GET", "/v1/channels", "", "Authorization: Bearer "+space+apiKey+space); a.StatusCode != 200 {
			t.Errorf("a key with %q: %d", space, a.StatusCode)
		}
		if a := g.shake("/ws", "Authorization:"+space+"BEARER "+space+mint(t, "u1")+space); a.StatusCode != 101 {
			t.Errorf("a token with %q: %d", space, a.StatusCode)
		}
	}
}

// HEAD is answered as GET would be, without the body, on every route of both listeners.
func TestHeadIsThere(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	g.publish(`{"channel":"channel","group":"group","key":"key","data":1}`)
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	ask := func(method, url, token string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	var urls []string
	for _, line := range g.relay.Routes() {
		if path, ok := strings.CutPrefix(line, "GET "); ok {
			urls = append(urls, "http://"+g.public+strings.NewReplacer("{", "", "}", "").Replace(path))
		}
	}
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/v1/channels", "/v1/channels/channel", "/followers?channel=a", "/dashboard/dashboard.js"} {
		urls = append(urls, "http://"+g.admin+path)
	}
	for _, url := range append(urls, "http://"+g.public+"/weir.js", "http://"+g.public+"/nothing") {
		token := apiKey
		if strings.Contains(url, "/sse") {
			token = mint(t, "u1")
			url += "?channel=a"
		}
		get, head := ask("GET", url, token), ask("HEAD", url, token)
		b, err := io.ReadAll(head.Body)
		if err != nil || len(b) > 0 || head.StatusCode != get.StatusCode || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
			t.Errorf("%s: HEAD %d %q %q %v, GET %d %q", url, head.StatusCode, head.Header.Get("Content-Type"), b, err, get.StatusCode, get.Header.Get("Content-Type"))
		}
	}
	g.until("no stream was opened but by GET", func() bool { return g.relay.sessions.Len() <= 1 })
}

// The port that goes without saying may be said, and names are the same in any case.
func TestOriginsWithPorts(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Origins = []string{"https://app.example.com", "https://b.example.com:443", "http://c.example.com:8080"}
	g := launch(t, cfg)
	token := "Authorization: Bearer " + mint(t, "u1")
	for _, tt := range []struct {
		host, origin string
		want         int
	}{
		{"relay.example.com", "http://relay.example.com", 101},
		{"relay.example.com:80", "http://relay.example.com", 101},
		{"relay.example.com", "http://relay.example.com:80", 101},
		{"Relay.Example.com", "http://relay.example.com", 101},
		{"relay.example.com:8080", "http://relay.example.com:8080", 101},
		{"[::1]:80", "http://[::1]", 101},
		{"relay.example.com:8080", "http://relay.example.com", 403},
		{"relay.example.com:443", "http://relay.example.com", 403},
		{"relay.example.com", "https://relay.example.com", 403},
		{"relay.example.com", "http://relay.example.com.evil.example", 403},
		{"x", "https://app.example.com:443", 101},
		{"x", "https://APP.example.com", 101},
		{"x", "https://b.example.com", 101},
		{"x", "http://c.example.com:8080", 101},
		{"x", "http://app.example.com", 403},
		{"x", "https://app.example.com:8443", 403},
		{"x", "http://c.example.com", 403},
		{"x", "null", 403},
		{"x", "app.example.com", 403},
	} {
		if a := g.shake("/ws", "Host: "+tt.host, "Origin: "+tt.origin, token); a.StatusCode != tt.want {
			t.Errorf("Host %s, Origin %s: %d, want %d", tt.host, tt.origin, a.StatusCode, tt.want)
		}
	}
}

// Preflights let pages send the headers that their libraries add.
func TestPreflightsOfLibraries(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Origins = []string{"https://app.example.com"}
	g := launch(t, cfg)
	for _, name := range []string{"traceparent", "tracestate", "baggage", "sentry-trace", "cache-control", "pragma", "x-requested-with", "x-datadog-trace-id", "b3"} {
		for _, asked := range []string{name, "authorization," + name, "content-type, " + name} {
			a := g.ask("OPTIONS", "/command", "", "Origin: https://app.example.com", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: "+asked)
			allowed := "," + strings.ReplaceAll(strings.ToLower(a.Header.Get("Access-Control-Allow-Headers")), " ", "") + ","
			if a.StatusCode != 204 || !strings.Contains(allowed, ","+name+",") || !strings.Contains(allowed, ",authorization,") {
				t.Errorf("%s: %d %q", asked, a.StatusCode, allowed)
			}
		}
	}
	a := g.ask("OPTIONS", "/command", "", "Origin: https://app.example.com", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: a;b")
	if got := a.Header.Get("Access-Control-Allow-Headers"); got != api.AllowedHeaders {
		t.Errorf("what is no name: %q", got)
	}
	a = g.ask("OPTIONS", "/command", "", "Origin: https://evil.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: baggage")
	if a.StatusCode != 403 || a.Header.Get("Access-Control-Allow-Headers") != "" {
		t.Errorf("a page elsewhere: %d %v", a.StatusCode, a.Header)
	}
}

// Members that a backend's request cannot have are refused by name, unless it is lenient. Those of clients are not.
func TestUnknownMembers(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	key := "Authorization: Bearer " + apiKey
	for _, tt := range []struct{ path, body, names string }{
		{"/v1/publish", `{"channel":"a","data":1,"idempotency_key":"x"}`, "idempotency_key"},
		{"/v1/publish", `{"channel":"a","data":1,"Channel":"b","x":{"y":1}}`, "Channel, x"},
		{"/v1/publish", `{"type":"publish","id":1,"channel":"a","data":1}`, "type, id"},
		{"/v1/publish", `{"channel":"a","data":1,"":1}`, ""},
		{"/v1/events", `{"topic":"t","value":3}`, "value"},
		{"/v1/events", `{"topic":"t","data":1,"channel":"a"}`, "channel"},
		{"/v1/tickets", `{"userId":"u1","user_id":"u1"}`, "user_id"},
		{"/v1/tickets", `{"userId":"u1","UserID":"u2"}`, "UserID"},
		{"/v1/disconnect", `{"userId":"nobody","user":"x"}`, "user"},
		{"/v1/unsubscribe", `{"userId":"nobody","channel":"a","channels":["b"]}`, "channels"},
	} {
		a := g.ask("POST", tt.path, tt.body, key)
		if a.StatusCode != 400 || !strings.Contains(a.body, `"unknown_member"`) || !strings.Contains(a.body, "unknown: "+tt.names+".") {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, a.StatusCode, a.body)
		}
		if a := g.ask("POST", tt.path, tt.body, key, "Weir-Lenient: 1"); a.StatusCode/100 != 2 {
			t.Errorf("%s %s, lenient: %d %s", tt.path, tt.body, a.StatusCode, a.body)
		}
	}
	for path, good := range map[string]string{"/v1/publish": `{"channel":"a","data":1}`, "/v1/events": `{"topic":"t"}`} {
		member := strings.Replace(good, "{", `{"extra":1,`, 1)
		a := g.ask("POST", path, good+"\n"+member+"\n"+good+"\n", key, "Content-Type: application/x-ndjson")
		if lines := strings.Split(a.body, "\n"); a.StatusCode != 200 || len(lines) != 4 || !strings.Contains(lines[1], `"unknown_member"`) || strings.Contains(lines[0]+lines[2], "code") {
			t.Errorf("%s, lines: %d %s", path, a.StatusCode, a.body)
		}
	}
	for _, twice := range []string{`{"userId":"u1","userId":"u1"}`, `[]`, `{"userId":1}`} { // as everywhere
		if a := g.ask("POST", "/v1/tickets", twice, key); a.StatusCode != 400 || !strings.Contains(a.body, `"bad_request"`) {
			t.Errorf("%s: %d %s", twice, a.StatusCode, a.body)
		}
	}
	c := g.client("u1", func(*auth.Claims) {})
	if h := c.ask(`{"type":"publish","id":1,"channel":"a","data":1,"idempotency_key":"x"}`); h.Type != "ok" {
		t.Errorf("a client's: %s", h.raw)
	}
}
