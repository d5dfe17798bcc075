package relay

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/relay/ingress"
)

// Requests that two HTTP implementations might read differently are refused, the connection closes, and
// what stands behind them is never answered.
func TestRequestSmuggling(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	const behind = "GET /v1/openapi.yaml HTTP/1.1\r\nHost: relay\r\n\r\n"
	post := func(lines, body string) string {
		return "POST /v1/publish HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer " + apiKey + "\r\n" + lines + "\r\n" + body
	}
	get := func(lines string) string { return "GET / HTTP/1.1\r\n" + lines + "\r\n" }
	const host = "Host: relay\r\n"
	chunked := func(body string) string { return post("Transfer-Encoding: chunked\r\n", body) }
	socket := func(lines string) string {
		return strings.TrimSuffix(upgrade("relay", "/ws", "Authorization: Bearer "+mint(t, "u1")), "\r\n") + lines + "\r\n"
	}
	for name, request := range map[string]string{
		"CL and TE":                post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
		"TE and CL":                post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
		"CL twice, the same":       post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"),
		"CL twice":                 post("Content-Length: 0\r\nContent-Length: 40\r\n", ""),
		"CL as a list":             post("Content-Length: 2, 2\r\n", "{}"),
		"CL with a plus":           post("Content-Length: +2\r\n", "{}"),
		"CL negative":              post("Content-Length: -2\r\n", "{}"),
		"CL hexadecimal":           post("Content-Length: 0x2\r\n", "{}"),
		"CL with a point":          post("Content-Length: 2.0\r\n", "{}"),
		"CL two numbers":           post("Content-Length: 2 2\r\n", "{}"),
		"CL beyond 64 bits":        post("Content-Length: 18446744073709551618\r\n", "{}"),
		"CL empty":                 post("Content-Length: \r\n", ""),
		"TE twice":                 post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
		"TE twice, one unknown":    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n"),
		"TE identity":              post("Transfer-Encoding: identity\r\n", ""),
		"TE list":                  post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
		"TE chunked, identity":     post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
		"TE unknown":               post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
		"TE with a parameter":      post("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"),
		"TE with a vertical tab":   post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
		"TE with a space in front": post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
		"TE folded":                post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
		"TE in HTTP/1.0":           strings.Replace(chunked("0\r\n\r\n"), "HTTP/1.1", "HTTP/1.0", 1),

		"chunk size with a sign":      chunked("+2\r\n{}\r\n0\r\n\r\n"),
		"chunk size negative":         chunked("-2\r\n{}\r\n0\r\n\r\n"),
		"chunk size with 0x":          chunked("0x2\r\n{}\r\n0\r\n\r\n"),
		"chunk size with junk":        chunked("2zz\r\n{}\r\n0\r\n\r\n"),
		"chunk size beyond 64 bits":   chunked("10000000000000002\r\n{}\r\n0\r\n\r\n"),
		"chunk size of 2^63":          chunked("8000000000000000\r\n{}\r\n0\r\n\r\n"),
		"chunk size empty":            chunked("\r\n{}\r\n0\r\n\r\n"),
		"chunk longer than it says":   chunked("2\r\n{}{}\r\n0\r\n\r\n"),
		"chunk that ends in LF":       chunked("2\r\n{}\n0\r\n\r\n"),
		"chunk size that ends in LF":  chunked("2\n{}\r\n0\r\n\r\n"),
		"chunk extension with a LF":   chunked("2;a\n{}\r\n0\r\n\r\n"),
		"trailer without a colon":     chunked("0\r\njunk\r\n\r\n"),
		"junk instead of a last line": chunked("0\r\nxx"),

		"bare LF":                   strings.ReplaceAll(get(host), "\r\n", "\n"),
		"bare LF behind a header":   get("X: a\nHost: relay\r\n"),
		"bare LF at the end":        "GET / HTTP/1.1\r\nHost: relay\r\n\n",
		"bare CR in a value":        get(host + "X: a\rY: b\r\n"),
		"CR CR LF":                  get(host + "X: a\r\r\n"),
		"NUL in a value":            get(host + "X: a\x00b\r\n"),
		"NUL in a name":             get(host + "X\x00: a\r\n"),
		"folding":                   get(host + "X: a\r\n b\r\n"),
		"folding with a tab":        get(host + "X: a\r\n\tb\r\n"),
		"folding of the first line": "GET / HTTP/1.1\r\n X: a\r\nHost: relay\r\n\r\n",
		"space before the colon":    get(host + "X : a\r\n"),
		"tab before the colon":      get(host + "X\t: a\r\n"),
		"tab in a name":             get(host + "X\tY: a\r\n"),
		"space in a name":           get(host + "X Y: a\r\n"),
		"name that is empty":        get(host + ": a\r\n"),
		"line without a colon":      get(host + "X\r\n"),
		"brackets in a name":        get(host + "X[]: a\r\n"),

		"two Hosts":               get(host + host),
		"two Hosts in two cases":  get(host + "host: evil\r\n"),
		"no Host":                 get("X: a\r\n"),
		"userinfo in Host":        get("Host: user@relay\r\n"),
		"password in Host":        get("Host: user:password@relay\r\n"),
		"path in Host":            get("Host: relay/x\r\n"),
		"query in Host":           get("Host: relay?x\r\n"),
		"fragment in Host":        get("Host: relay#x\r\n"),
		"backslash in Host":       get("Host: relay\\x\r\n"),
		"space in Host":           get("Host: relay evil\r\n"),
		"list in Host":            get("Host: relay, evil\r\n"),
		"another host in the URI": "GET http://evil/ HTTP/1.1\r\nHost: relay\r\n\r\n",
		"userinfo in the URI":     "GET http://user@relay/ HTTP/1.1\r\nHost: relay\r\n\r\n",
		"authority as the URI":    "GET relay:80 HTTP/1.1\r\nHost: relay\r\n\r\n",
		"CONNECT":                 "CONNECT relay:80 HTTP/1.1\r\nHost: relay\r\n\r\n",
		"asterisk":                "OPTIONS * HTTP/1.1\r\nHost: relay\r\n\r\n",

		"HTTP/9.9":               strings.Replace(get(host), "HTTP/1.1", "HTTP/9.9", 1),
		"HTTP/2.0":               strings.Replace(get(host), "HTTP/1.1", "HTTP/2.0", 1),
		"the preface of HTTP/2":  "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP/1.2":               strings.Replace(get(host), "HTTP/1.1", "HTTP/1.2", 1),
		"HTTP/1.10":              strings.Replace(get(host), "HTTP/1.1", "HTTP/1.10", 1),
		"HTTP/1.1 in lower case": strings.Replace(get(host), "HTTP/1.1", "http/1.1", 1),
		"HTTP/1.1 and junk":      strings.Replace(get(host), "HTTP/1.1", "HTTP/1.1 x", 1),
		"HTTP/0.9":               "GET /\r\n\r\n",
		"a method with an @":     strings.Replace(get(host), "GET", "G@T", 1),
		"a space in the URI":     strings.Replace(get(host), "GET /", "GET /x y", 1),
		"two spaces":             strings.Replace(get(host), "GET /", "GET  /", 1),
		"a control in the URI":   strings.Replace(get(host), "GET /", "GET /\x01", 1),
		"TLS to a plain port":    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",

		"upgrade with a body":              socket("Content-Length: 5\r\n") + "hello",
		"upgrade with a chunked body":      socket("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
		"upgrade in HTTP/1.0":              strings.Replace(socket(""), "HTTP/1.1", "HTTP/1.0", 1),
		"upgrade in HTTP/1.0, kept alive":  strings.Replace(strings.Replace(socket(""), "HTTP/1.1", "HTTP/1.0", 1), "Connection: Upgrade", "Connection: keep-alive, Upgrade", 1),
		"upgrade by POST with a body":      strings.Replace(socket("Content-Length: 5\r\n"), "GET", "POST", 1) + "hello",
		"upgrade elsewhere, with a body":   strings.Replace(socket("Content-Length: 5\r\n"), "/ws", "/v1/publish", 1) + "hello",
		"upgrade folded":                   socket("X: a\r\n b\r\n"),
		"upgrade with a space at a colon":  socket("X : a\r\n"),
		"upgrade without a Host":           strings.Replace(socket(""), "Host: relay\r\n", "", 1),
		"upgrade with userinfo":            strings.Replace(socket(""), "Host: relay\r\n", "Host: u@relay\r\n", 1),
		"upgrade with CL twice, both zero": socket("Content-Length: 0\r\nContent-Length: 0\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers := (&rig{TB: t, relay: g.relay, public: g.public}).raw(request + behind)
			if len(answers) != 1 {
				t.Fatalf("%d answers", len(answers))
			}
			if a := answers[0]; a.StatusCode != 400 || !strings.Contains(a.body, `"bad_request"`) {
				t.Errorf("%d %s, want 400", a.StatusCode, a.body)
			}
		})
	}
}

// The HTTP server is lax about what stands between chunks and behind the last one. Whatever it makes of
// that, it makes of nothing behind it.
func TestChunkedEndsConnection(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	const body = `{"channel":"a","data":1}`
	size := fmt.Sprintf("%x", len(body))
	for name, chunks := range map[string]string{
		"proper":                     size + "\r\n" + body + "\r\n0\r\n\r\n",
		"size with a space":          size + " \r\n" + body + "\r\n0\r\n\r\n",
		"size with an extension":     size + ";a=b\r\n" + body + "\r\n0\r\n\r\n",
		"trailer":                    size + "\r\n" + body + "\r\n0\r\nX: y\r\n\r\n",
		"trailer with a length":      size + "\r\n" + body + "\r\n0\r\nContent-Length: 70\r\n\r\n",
		"trailer folded":             size + "\r\n" + body + "\r\n0\r\nX: a\r\n b\r\n\r\n",
		"last chunk that ends in LF": size + "\r\n" + body + "\r\n0\r\n\n",
		"last chunk of many zeros":   size + "\r\n" + body + "\r\n0000000000\r\n\r\n",
	} {
		answers := g.raw("POST /v1/publish HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer " + apiKey + "\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks +
			"GET /v1/openapi.yaml HTTP/1.1\r\nHost: relay\r\n\r\n")
		if len(answers) != 1 || answers[0].StatusCode != 200 && answers[0].StatusCode != 400 {
			t.Errorf("%s: %d answers: %+v", name, len(answers), answers)
		}
	}
}

// What is unusual and allowed must work, pipelined as it comes where that may be.
func TestUnusualRequests(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	key := "Authorization: Bearer " + apiKey + "\r\n"
	body := `{"channel":"a","data":1}`
	for name, request := range map[string]string{
		"plain":               "POST /v1/publish HTTP/1.1\r\nHost: relay\r\n" + key + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
		"chunked":             "POST /v1/publish HTTP/1.1\r\nHost: relay:80\r\n" + key + fmt.Sprintf("Transfer-Encoding: Chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(body), body),
		"in two chunks":       "POST /v1/publish HTTP/1.1\r\nHost: [::1]:80\r\n" + key + fmt.Sprintf("transfer-encoding:chunked\r\n\r\n5\r\n%s\r\n%X\r\n%s\r\n0\r\n\r\n", body[:5], len(body)-5, body[5:]),
		"upgrade to HTTP/2":   "POST /v1/publish HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n" + key + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
		"HTTP/1.0":            "POST /v1/publish HTTP/1.0\r\nConnection: keep-alive\r\n" + key + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
		"an empty line ahead": "\r\nPOST /v1/publish HTTP/1.1\r\nHost: relay\r\n" + key + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body),
	} {
		answers := g.raw(request + "GET /v1/channels/a HTTP/1.1\r\nHost: relay\r\n" + key + "Connection: close\r\n\r\n")
		want := 2
		if strings.Contains(name, "chunk") {
			want = 1
		}
		if len(answers) != want || answers[0].StatusCode != 200 || answers[want-1].StatusCode != 200 {
			t.Errorf("%s: %d answers: %+v", name, len(answers), answers)
		}
	}
	nc := g.dial() // Expect: 100-continue, as curl does it
	_, _ = io.WriteString(nc, "POST /v1/publish HTTP/1.1\r\nHost: relay\r\nExpect: 100-continue\r\n"+key+fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)))
	r := bufio.NewReader(nc)
	if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	_, _ = r.ReadString('\n')
	_, _ = io.WriteString(nc, body)
	if a, err := readAnswer(r); err != nil || a.StatusCode != 200 {
		t.Errorf("after 100-continue: %v %v", a, err)
	}
}

// A header may have 8 KiB and 64 lines, an address 4 KiB, a body what is configured.
func TestRequestLimits(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.Message, cfg.Limit.Request = 1024, 4096
	g := launch(t, cfg)
	lines := func(n int) []string {
		var out []string
		for i := range n - 1 { // and Host
			out = append(out, fmt.Sprintf("X-%d: y", i))
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		got    answered
		status int
		code   string
	}{
		{"64 lines", g.ask("GET", "/weir.js", "", lines(64)...), 200, ""},
		{"65 lines", g.ask("GET", "/weir.js", "", lines(65)...), 431, "headers_too_large"},
		{"7 KiB", g.ask("GET", "/weir.js", "", "X: "+strings.Repeat("x", 7<<10)), 200, ""},
		{"9 KiB", g.ask("GET", "/weir.js", "", "X: "+strings.Repeat("x", 9<<10)), 431, "headers_too_large"},
		{"1 MiB", g.ask("GET", "/weir.js", "", "X: "+strings.Repeat("x", 1<<20)), 431, "headers_too_large"},
		{"address of 4 KiB", g.ask("GET", "/weir.js?"+strings.Repeat("x", 4087), ""), 200, ""},
		{"address of more", g.ask("GET", "/?"+strings.Repeat("x", 4095), ""), 414, "uri_too_long"},
		{"body of the limit", g.ask("POST", "/v1/events", strings.Repeat(" ", 4096)), 401, "unauthorized"},
		{"body of more", g.ask("POST", "/v1/events", strings.Repeat(" ", 4097)), 413, "too_large"},
		{"body of 16 MiB, all of it sent before the answer is read", g.ask("POST", "/v1/events", strings.Repeat(" ", 16<<20)), 413, "too_large"},
		{"chunked body of more", (&rig{TB: t, public: g.public}).raw("POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1001\r\n" + strings.Repeat(" ", 4097) + "\r\n0\r\n\r\n")[0], 413, "too_large"},
		{"a body of 4 EiB", g.raw("POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: 4611686018427387904\r\n\r\n")[0], 413, "too_large"},
	} {
		if tt.got.StatusCode != tt.status || tt.code != "" && !strings.Contains(tt.got.body, `"code":"`+tt.code+`"`) {
			t.Errorf("%s: %d %.200s, want %d %s", tt.name, tt.got.StatusCode, tt.got.body, tt.status, tt.code)
		}
	}
	// One message of a backend, to the byte.
	g.publish(`{"channel":"a","data":"` + strings.Repeat("x", 1022) + `"}`)
	if a := g.api(413, "POST", "/v1/publish", `{"channel":"a","data":"`+strings.Repeat("x", 1023)+`"}`); !strings.Contains(a.body, "too_large") {
		t.Error(a.body)
	}
}

// Who takes their time over a request is let go, however they trickle.
func TestSlowRequests(t *testing.T) {
	t.Parallel()
	if w := ingress.DefaultTimeouts(); w.Request > 5*time.Second || w.Stranger > 10*time.Second {
		t.Errorf("the usual waits are %+v", w)
	}
	g := launch(t, openConfig(), func(r *Relay) { r.gate.Timeouts.Request = 200 * time.Millisecond })
	token := mint(t, "u1")
	for name, sent := range map[string]string{
		"nothing":            "",
		"a method":           "GE",
		"half a header":      "GET / HTTP/1.1\r\nHost: relay\r\nX: ",
		"half an upgrade":    strings.TrimSuffix(upgrade("relay", "/ws", "Authorization: Bearer "+token), "\r\n"),
		"half a body":        "POST /v1/publish HTTP/1.1\r\nHost: relay\r\nContent-Length: 1000\r\n\r\n{",
		"half a chunk":       "POST /v1/publish HTTP/1.1\r\nHost: relay\r\nTransfer-Encoding: chunked\r\n\r\n100\r\n{",
		"half a next header": "GET / HTTP/1.1\r\nHost: relay\r\n\r\nGET / HT",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := (&rig{TB: t, public: g.public}).dial()
			_, _ = io.WriteString(nc, sent)
			over := make(chan struct{})
			go func() { // a byte now and then; ended by the close
				defer close(over)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for range tick.C {
					if name == "nothing" {
						return
					}
					if _, err := io.WriteString(nc, "x"); err != nil {
						return
					}
				}
			}()
			if _, err := io.Copy(io.Discard, nc); err != nil && !isReset(err) {
				t.Errorf("it stays open: %v", err)
			}
			_ = nc.Close()
			<-over
		})
	}
}

// A connection without a request may stay for a while if a key was shown on it, else for a short one.
func TestStrangersIdle(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig(), func(r *Relay) { r.gate.Timeouts.Stranger = 100 * time.Millisecond })
	backend, stranger, pretender := g.dial(), g.dial(), g.dial()
	key := "Authorization: Bearer " + apiKey
	if a := g.askOn(backend, "GET", "/v1/channels", "", key); a.StatusCode != 200 {
		t.Fatal(a.StatusCode)
	}
	if a := g.askOn(stranger, "GET", "/weir.js", ""); a.StatusCode != 200 {
		t.Fatal(a.StatusCode)
	}
	if a := g.askOn(pretender, "GET", "/v1/channels", "", "Authorization: Bearer x"+apiKey); a.StatusCode != 401 {
		t.Fatal(a.StatusCode)
	}
	for _, nc := range []io.Reader{stranger, pretender} {
		if n, err := nc.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("an idle stranger: %d %v", n, err)
		}
	}
	if a := g.askOn(backend, "GET", "/v1/channels", "", key); a.StatusCode != 200 {
		t.Errorf("a backend that idled as long: %d", a.StatusCode)
	}
}

// Nothing of the admin listener is on the public one; what end users ask is not on that of the operators.
func TestAdminIsApart(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "//metrics", "/./metrics", "/x/../metrics", "/%6detrics", "/v1/../metrics"} {
		for _, line := range []string{"X: y", "Authorization: Bearer " + apiKey} {
			if a := g.ask("GET", path, "", line); a.StatusCode != 404 || strings.Contains(a.body, "weir_") {
				t.Errorf("GET %s on the public listener: %d %.100s", path, a.StatusCode, a.body)
			}
		}
	}
	for _, path := range []string{"/ws", "/sse", "/command", "/demo", "/weir-page.js"} {
		resp, err := http.Get("http://" + g.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 404 {
			t.Errorf("GET %s on the admin listener: %d", path, resp.StatusCode)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if body := g.adminGet("/readyz"); body != "ready\n" {
		t.Error(body)
	}
}

// A backend's routes want its key, told in constant time, in the one header.
func TestKeyIsNeeded(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for _, line := range []string{
		"X: y", "Authorization: Bearer", "Authorization: Bearer ", "Authorization: " + apiKey, "Authorization: Basic " + apiKey,
		"Authorization: Bearer " + apiKey + "x", "Authorization: Bearer " + apiKey[1:], "X-Api-Key: " + apiKey,
		"Authorization: Bearer " + mint(t, "u1"), "Cookie: key=" + apiKey, "Authorization: Bearer " + strings.ToUpper(apiKey),
	} {
		for _, route := range g.relay.api.Backends() {
			path := strings.NewReplacer("{channel}", "a", "{group}", "b", "{key}", "c").Replace(route.Path)
			a := g.ask(route.Method, path, "", line)
			if a.StatusCode != 401 || a.Header.Get("WWW-Authenticate") != "Bearer" || strings.Contains(a.body, apiKey) {
				t.Errorf("%s %s with %.30q: %d %s", route.Method, path, line, a.StatusCode, a.body)
			}
		}
	}
}
