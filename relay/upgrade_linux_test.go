package relay

import (
	"bufio"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// changing is what differs from one answer to the same request to the next.
var changing = regexp.MustCompile(`Date: [^\r]*|connectionId":"[^"]*|epoch":"[^"]*|expiresIn":[0-9]*`)

// A handshake gets the same answer at an event loop as from the HTTP server, byte for byte, and the connection lives on or not
// as it would there.
func TestUpgradesAtAnEventLoop(t *testing.T) {
	t.Parallel()
	loop := launch(t, openConfig())
	server := launch(t, openConfig(), func(r *Relay) { r.gate.Handler = nil })
	bearer := "Authorization: Bearer " + mint(t, "u1")
	const host = "relay.example.com"
	good := upgrade(host, "/ws", bearer)
	for name, test := range map[string]struct {
		request string
		passed  bool // the HTTP server is to see it
	}{
		"good":             {request: good},
		"named":            {request: upgrade(host, "/ws?channel=room:1&channel=.bad", bearer)},
		"deflate":          {request: upgrade(host, "/ws", bearer, offerDeflate, "Sec-WebSocket-Protocol: weir")},
		"frame behind":     {request: good + string(textFrame(`{"type":"ping","id":1}`))},
		"no token":         {request: upgrade(host, "/ws")},
		"bad token":        {request: upgrade(host, "/ws", bearer+"x")},
		"foreign origin":   {request: upgrade(host, "/ws", bearer, "Origin: https://elsewhere.example.com")},
		"version":          {request: upgrade(host, "/ws", bearer, "Sec-WebSocket-Version: 12")},
		"no upgrade":       {request: upgrade(host, "/ws", bearer, "Upgrade:")},
		"refused, then in": {request: upgrade(host, "/ws", bearer, "Sec-WebSocket-Key: short") + good},
		"two hosts":        {request: upgrade(host, "/ws", bearer, "Host: a.example.com\r\nHost: b.example.com"), passed: true},
		"position":         {request: upgrade(host, "/ws?channel=a&position=1", bearer)},
		"bad escape":       {request: upgrade(host, "/ws?channel=%zz", bearer)},
		"fragment":         {request: upgrade(host, "/ws?a#b", bearer)},
		"folded":           {request: upgrade(host, "/ws", bearer, "X-A: 1\r\n 2")},
		"bare LF":          {request: strings.Replace(good, "\r\nUpgrade", "\nUpgrade", 1), passed: true},
		"body":             {request: upgrade(host, "/ws", bearer, "Content-Length: 4") + "body", passed: true},
		"chunked":          {request: upgrade(host, "/ws", bearer, "Transfer-Encoding: chunked") + "0\r\n\r\n", passed: true},
		"1.0":              {request: strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1), passed: true},
		"elsewhere":        {request: upgrade(host, "/wss", bearer), passed: true},
		"large":            {request: upgrade(host, "/ws", bearer, "X-Large: "+strings.Repeat("x", 9<<10)), passed: true},
	} {
		t.Run(name, func(t *testing.T) {
			before := loop.relay.hub.Counters.Passed.Get()
			heard := [2]string{}
			for i, g := range []*rig{loop, server} {
				nc := g.dial()
				if _, err := io.WriteString(nc, test.request); err != nil {
					t.Fatal(err)
				}
				r := bufio.NewReader(nc)
				for {
					a := readRaw(t, r)
					heard[i] += a
					if strings.Contains(a, " 101 ") {
						p := newPeer(t, nc)
						p.r = r
						heard[i] += p.next().raw
						for range strings.Count(test.request, "channel=room") + strings.Count(test.request, "channel=.bad") + strings.Count(test.request, "\x81") {
							heard[i] += p.next().raw
						}
						break
					}
					if name != "refused, then in" {
						break
					}
				}
				if strings.Contains(heard[i], "Connection: close") {
					if b, err := io.ReadAll(r); len(b) > 0 || err != nil && !isReset(err) {
						t.Errorf("%q %v behind an answer that says close", b, err)
					}
				}
				_ = nc.Close()
				heard[i] = changing.ReplaceAllString(heard[i], "")
			}
			if heard[0] != heard[1] {
				t.Errorf("at an event loop:\n%s\nfrom the server:\n%s", heard[0], heard[1])
			}
			if passed := loop.relay.hub.Counters.Passed.Get() > before; passed != test.passed {
				t.Errorf("handed to the HTTP server: %v", passed)
			}
		})
	}
	if a := loop.shake("/ws"); a.StatusCode != http.StatusUnauthorized {
		t.Error(a.StatusCode)
	}
}

// A handshake that comes byte by byte is served like any other, and one that does not end is closed in time.
func TestUpgradesInPieces(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	nc := g.dial()
	request := upgrade(g.public, "/ws", "Authorization: Bearer "+mint(t, "u1"))
	for i := range request {
		if _, err := io.WriteString(nc, request[i:i+1]); err != nil {
			t.Fatal(err)
		}
	}
	p := newPeer(t, nc)
	p.shaken()
	p.alive()
	if n := g.relay.hub.Counters.Passed.Get(); n != 0 {
		t.Errorf("%d connections were handed over", n)
	}
}
