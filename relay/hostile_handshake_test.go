package relay

import (
	"strings"
	"testing"

	"weir/relay/auth"
	"weir/relay/config"
)

// Cross-site WebSocket hijack: only exact origins pass, before the upgrade and whatever the token.
func TestOrigin(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Origins = []string{"https://app.example.com", "http://localhost:3000"}
	g := launch(t, cfg)
	strict := openConfig()
	strict.RequireOrigin = true
	h := launch(t, strict)
	for _, tt := range []struct {
		name   string
		lines  []string
		status int
	}{
		{"none", nil, 101},
		{"listed", []string{"Origin: https://app.example.com"}, 101},
		{"listed with a port", []string{"Origin: http://localhost:3000"}, 101},
		{"the relay's own", []string{"Origin: http://" + g.public}, 101},
		{"evil", []string{"Origin: https://evil.example"}, 403},
		{"null", []string{"Origin: null"}, 403},
		{"empty", []string{"Origin: "}, 403},
		{"suffix", []string{"Origin: https://app.example.com.evil.example"}, 403},
		{"prefix", []string{"Origin: https://evil-app.example.com"}, 403},
		{"subdomain", []string{"Origin: https://x.app.example.com"}, 403},
		{"parent", []string{"Origin: https://example.com"}, 403},
		{"port", []string{"Origin: https://app.example.com:8443"}, 403},
		{"default port", []string{"Origin: https://app.example.com:443"}, 101},
		{"another port", []string{"Origin: http://localhost:3001"}, 403},
		{"no port", []string{"Origin: http://localhost"}, 403},
		{"scheme", []string{"Origin: http://app.example.com"}, 403},
		{"own host, other scheme", []string{"Origin: https://" + g.public}, 403},
		{"case", []string{"Origin: https://APP.example.com"}, 101},
		{"path", []string{"Origin: https://app.example.com/"}, 403},
		{"userinfo", []string{"Origin: https://app.example.com@evil.example"}, 403},
		{"trailing dot", []string{"Origin: https://app.example.com."}, 403},
		{"two in one", []string{"Origin: https://app.example.com https://evil.example"}, 403},
		{"two in one, comma", []string{"Origin: https://app.example.com, https://evil.example"}, 403},
		{"two lines", []string{"Origin: https://app.example.com", "Origin: https://evil.example"}, 403},
		{"two lines, evil first", []string{"Origin: https://evil.example", "origin: https://app.example.com"}, 403},
	} {
		lines := append(tt.lines, "Authorization: Bearer "+mint(t, "u1"))
		a := g.shake("/ws", lines...)
		if a.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, a.StatusCode, tt.status)
		}
		if len(tt.lines) > 0 && tt.status == 403 {
			if !strings.Contains(a.body, `"origin"`) {
				t.Errorf("%s: %s", tt.name, a.body)
			}
			if allow := a.Header.Get("Access-Control-Allow-Origin"); allow != "" {
				t.Errorf("%s: Access-Control-Allow-Origin: %s", tt.name, allow)
			}
			if s := g.ask("GET", "/sse?channel=a", "", lines...); s.StatusCode != 403 {
				t.Errorf("%s: /sse answers %d", tt.name, s.StatusCode)
			}
		}
	}
	if a := h.shake("/ws", "Authorization: Bearer "+mint(t, "u1")); a.StatusCode != 403 {
		t.Errorf("an origin is required, none is given: %d", a.StatusCode)
	}
	if a := h.shake("/ws", "Origin: http://"+h.public, "Authorization: Bearer "+mint(t, "u1")); a.StatusCode != 101 {
		t.Errorf("an origin is required and given: %d", a.StatusCode)
	}
	// A page's own event stream carries no Origin in any browser.
	h.sse("u1", "a").want("connected")
	// Pages of listed origins may read event streams, with their cookies.
	p := g.sseWith("/sse?channel=a", "Origin: https://app.example.com", "Authorization: Bearer "+mint(t, "u1"))
	p.want("connected")
}

// What RFC 6455, section 4.2.1, wants of a handshake.
func TestHandshake(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for _, tt := range []struct {
		name   string
		lines  []string
		status int
	}{
		{"good", nil, 101},
		{"keep-alive, Upgrade", []string{"Connection: keep-alive, Upgrade"}, 101},
		{"lower case", []string{"connection: upgrade", "upgrade: WebSocket"}, 101},
		{"no Upgrade", []string{"Upgrade:"}, 400},
		{"another Upgrade", []string{"Upgrade: h2c"}, 400},
		{"Upgrade as a substring", []string{"Upgrade: notwebsocket"}, 400},
		{"no Connection", []string{"Connection:"}, 400},
		{"Connection as a substring", []string{"Connection: noupgrade"}, 400},
		{"no version", []string{"Sec-WebSocket-Version:"}, 426},
		{"version 8", []string{"Sec-WebSocket-Version: 8"}, 426},
		{"version 130", []string{"Sec-WebSocket-Version: 130"}, 426},
		{"two versions", []string{"Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"}, 400},
		{"no key", []string{"Sec-WebSocket-Key:"}, 400},
		{"short key", []string{"Sec-WebSocket-Key: c2hvcnQ="}, 400},
		{"long key", []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBpcyB0b28gbG9uZw=="}, 400},
		{"key that is not base64", []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q=="}, 400},
		{"key without padding", []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"}, 400},
		{"two keys", []string{"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}, 400},
	} {
		a := g.shake("/ws", append(tt.lines, "Authorization: Bearer "+mint(t, "u1"))...)
		if a.StatusCode != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, a.StatusCode, a.body, tt.status)
		}
		switch tt.status {
		case 101:
			if got := a.Header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455, section 1.3
				t.Errorf("%s: Sec-WebSocket-Accept: %s", tt.name, got)
			}
		case 426:
			if got := a.Header.Get("Sec-WebSocket-Version"); got != "13" {
				t.Errorf("%s: Sec-WebSocket-Version: %q", tt.name, got)
			}
		}
	}
	if a := g.ask("POST", "/ws", "x"); a.StatusCode != 405 {
		t.Errorf("POST /ws: %d", a.StatusCode)
	}
	if a := g.ask("GET", "/ws", "", "Authorization: Bearer "+mint(t, "u1")); a.StatusCode != 400 {
		t.Errorf("GET /ws without an upgrade: %d", a.StatusCode)
	}
}

// Compression is off unless it is configured and offered with parameters that can be met.
func TestCompressionNegotiation(t *testing.T) {
	t.Parallel()
	plain, squeezing := openConfig(), openConfig()
	squeezing.Compression = true
	g, h := launch(t, plain), launch(t, squeezing)
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for _, tt := range []struct {
		name, offer string
		want        bool
	}{
		{"plain", "permessage-deflate", true},
		{"as browsers do", "permessage-deflate; client_max_window_bits", true},
		{"no takeover", "permessage-deflate; client_no_context_takeover; server_no_context_takeover", true},
		{"client window", "permessage-deflate; client_max_window_bits=10", true},
		{"second offer", "permessage-deflate; server_max_window_bits=10, permessage-deflate", true},
		{"quoted", `permessage-deflate; client_max_window_bits="10"`, true},
		{"the largest server window", "permessage-deflate; server_max_window_bits=15; client_max_window_bits", true},
		{"the largest server window, second offer", "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_max_window_bits=\"15\"", true},
		{"server window, twice", "permessage-deflate; server_max_window_bits=15; server_max_window_bits=15", false},
		{"server window out of range", "permessage-deflate; server_max_window_bits=16", false},
		{"substring", "x-permessage-deflate", false},
		{"substring behind", "permessage-deflate-frames", false},
		{"server window", "permessage-deflate; server_max_window_bits=10", false},
		{"server window, nothing said", "permessage-deflate; server_max_window_bits", false},
		{"client window out of range", "permessage-deflate; client_max_window_bits=99", false},
		{"client window with a zero", "permessage-deflate; client_max_window_bits=08", false},
		{"value where none belongs", "permessage-deflate; server_no_context_takeover=1", false},
		{"a parameter twice", "permessage-deflate; client_max_window_bits; client_max_window_bits", false},
		{"unknown parameter", "permessage-deflate; mystery", false},
		{"another extension", "bbf-usp-protocol", false},
		{"nothing", "", false},
	} {
		lines := []string{"Sec-WebSocket-Extensions: " + tt.offer, "Authorization: Bearer " + mint(t, "u1")}
		if got := g.shake("/ws", lines...); got.StatusCode != 101 || got.Header.Get("Sec-WebSocket-Extensions") != "" {
			t.Errorf("%s, compression off: %d %s", tt.name, got.StatusCode, got.Header)
		}
		got := h.shake("/ws", lines...)
		answer := got.Header.Get("Sec-WebSocket-Extensions")
		agreed := agreed
		if strings.Contains(tt.name, "largest") {
			agreed += "; server_max_window_bits=15"
		}
		if got.StatusCode != 101 || (answer != "") != tt.want || tt.want && answer != agreed {
			t.Errorf("%s, compression on: %d %q", tt.name, got.StatusCode, answer)
		}
	}
	var cfg config.Config
	if cfg.Dev = true; cfg.Complete() != nil || cfg.Compression {
		t.Error("compression is not off by default")
	}
}

// The subprotocol is answered when it is offered, and a token that rides along never is.
func TestSubprotocol(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	token := "token." + mint(t, "u1")
	for _, tt := range []struct {
		lines []string
		want  string
	}{
		{[]string{"Sec-WebSocket-Protocol: weir, " + token}, "weir"},
		{[]string{"Sec-WebSocket-Protocol: " + token + ",weir"}, "weir"},
		{[]string{"Sec-WebSocket-Protocol: weir", "Sec-WebSocket-Protocol: " + token}, "weir"},
		{[]string{"Sec-WebSocket-Protocol: " + token}, ""},
		{[]string{"Sec-WebSocket-Protocol: WEIR, " + token}, ""},
	} {
		a := g.shake("/ws", tt.lines...)
		if a.StatusCode != 101 || a.Header.Get("Sec-WebSocket-Protocol") != tt.want {
			t.Errorf("%.40s: %d %q, want %q", tt.lines, a.StatusCode, a.Header.Get("Sec-WebSocket-Protocol"), tt.want)
		}
	}
}

// A client may send its first frames right behind the handshake: they are neither lost nor reordered,
// even when they fill more than the HTTP server's buffer holds.
func TestPipelinedFirstFrame(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	for _, n := range []int{1, 2, 50} {
		nc := g.dial()
		b := []byte(upgrade(g.public, "/ws", "Authorization: Bearer "+mint(t, "u1")))
		for i := range n {
			b = append(b, textFrame(`{"type":"ping","id":`+string(rune('1'+i%9))+`,"pad":"`+strings.Repeat("x", 600)+`"}`)...)
		}
		if _, err := nc.Write(b); err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, nc)
		p.shaken()
		for i := range n {
			if m := p.next(); m.Type != "pong" || string(m.ID) != string(rune('1'+i%9)) {
				t.Fatalf("%d frames: the %d. answer is %s", n, i, m.raw)
			}
		}
	}
	// Half of a frame behind the handshake, the rest later, a byte at a time.
	nc := g.dial()
	f := textFrame(`{"type":"ping","id":7}`)
	_, _ = nc.Write(append([]byte(upgrade(g.public, "/ws", "Authorization: Bearer "+mint(t, "u1"))), f[:3]...))
	p := newPeer(t, nc)
	p.shaken()
	for _, b := range f[3:] {
		p.raw([]byte{b})
	}
	if m := p.next(); m.Type != "pong" {
		t.Errorf("a frame in two halves: %s", m.raw)
	}
}

// In development mode, where everybody knows the keys, the relay answers to the names of this machine only:
// a page that had its own name pointed here could use them otherwise.
func TestRebinding(t *testing.T) {
	t.Parallel()
	g := launch(t, config.Config{Dev: true})
	token, err := auth.Mint(auth.DevSecret, "", auth.Claims{Sub: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	key := "Authorization: Bearer " + config.DevKey
	for host, ok := range map[string]bool{
		"127.0.0.1:8080": true, "localhost": true, "localhost:8080": true, "[::1]:8080": true, "[::1]": true, "127.1.2.3": true,
		"evil.example": false, "evil.example:8080": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "192.168.1.7:8080": false, "notlocalhost": false, "[::2]": false,
	} {
		page := g.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")[0]
		if (page.StatusCode == 200) != ok || !ok && page.StatusCode != 403 {
			t.Errorf("the page at %s: %d", host, page.StatusCode)
		}
		publish := g.raw("POST /v1/publish HTTP/1.1\r\nHost: " + host + "\r\n" + key + "\r\nConnection: close\r\nContent-Length: 24\r\n\r\n" + `{"channel":"a","data":1}`)[0]
		if (publish.StatusCode == 200) != ok {
			t.Errorf("publishing at %s: %d", host, publish.StatusCode)
		}
		if a := g.shake("/ws", "Host: "+host, "Origin: http://"+host, "Authorization: Bearer "+token); (a.StatusCode == 101) != ok {
			t.Errorf("connecting at %s: %d", host, a.StatusCode)
		}
	}
}
