package ingress

import (
	"strings"
	"testing"
	"weir/relay/httpcheck"
)

// TestFastRoute reads a request of a system's route in every beginning of it, and leaves what could be read otherwise to the HTTP server.
func TestFastRoute(t *testing.T) {
	p := fastRequest{routes: []FastRoute{{Prefix: "/apps/"}, {Prefix: "/more/apps/"}}}
	const request = "POST /more/apps/1/events?a=%20b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	for n := range request {
		if how := p.read([]byte(request[:n])); how != incomplete {
			t.Fatalf("%q: %v", request[:n], how)
		}
	}
	if how := p.read([]byte(request + "POST")); how != complete || string(p.target) != "/more/apps/1/events?a=%20b" || string(p.body) != "{}" || p.size != len(request) || p.route != &p.routes[1] {
		t.Fatal(how, p)
	}
	for _, change := range [][2]string{
		{"POST", "PUT"}, {"/more/apps", "/less/apps"}, {"HTTP/1.1", "HTTP/1.0"}, {" HTTP", "  HTTP"}, {"%20", " "}, {"%20", "\t"}, {"%20", "#"}, {"%20", "\x80"}, {"%20", "\x7f"}, {"1.1\r\n", "1.1\n"},
		{"1.1\r\n", "1.1\r\nOrigin: https://a.b\r\n"}, {"Content-Length: 2", "Transfer-Encoding: chunked"}, {"=%20b", "=" + strings.Repeat("x", httpcheck.MaxHeaderBytes)},
	} {
		if how := p.read([]byte(strings.Replace(request, change[0], change[1], 1))); how != notEligible {
			t.Errorf("%q: %v", change, how)
		}
	}
	publication := fastStart + "Host: x\r\nContent-Length: 0\r\n\r\n"
	if how := p.read([]byte(publication)); how != complete || p.route != nil {
		t.Error(how, p.route)
	}
}
