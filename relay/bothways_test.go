package relay

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Requests are read by the HTTP server, and publications by event loops: each has a reader of its own. What is improper is so
// for both.
var verdicts = map[string]struct {
	change [2]string // of a plain publication
	proper bool
}{
	"as it is":                      {[2]string{"", ""}, true},
	"a port in Host":                {[2]string{"Host: relay", "Host: relay:80"}, true},
	"an empty port in Host":         {[2]string{"Host: relay", "Host: relay:"}, true},
	"an address in Host":            {[2]string{"Host: relay", "Host: 127.0.0.1:8080"}, true},
	"an IPv6 address in Host":       {[2]string{"Host: relay", "Host: [::1]:8080"}, true},
	"an IPv6 address alone":         {[2]string{"Host: relay", "Host: [::1]"}, true},
	"a service's name in Host":      {[2]string{"Host: relay", "Host: weir_relay-1.prod.svc.cluster.local:8080"}, true},
	"an escape in Host":             {[2]string{"Host: relay", "Host: caf%C3%A9"}, true},
	"a tab before Host":             {[2]string{"Host: relay", "Host:\trelay"}, true},
	"spaces behind Host":            {[2]string{"Host: relay", "Host: relay  \t"}, true},
	"bytes beyond ASCII":            {[2]string{"Host: relay", "Host: relay\r\nUser-Agent: caf\xc3\xa9"}, true},
	"a query":                       {[2]string{"/v1/publish ", "/v1/publish?a=b%20c/?:@|{}[]^`\\ "}, true},
	"a query with a bad escape":     {[2]string{"/v1/publish ", "/v1/publish?100%&%zz "}, true},
	"an empty query":                {[2]string{"/v1/publish ", "/v1/publish? "}, true},
	"an escaped path":               {[2]string{"/v1/publish ", "/v1/%70ublish "}, true},
	"no Host":                       {[2]string{"Host: relay\r\n", ""}, false},
	"an empty Host":                 {[2]string{"Host: relay", "Host: "}, false},
	"only a port in Host":           {[2]string{"Host: relay", "Host: :80"}, false},
	"a query in Host":               {[2]string{"Host: relay", "Host: a?b"}, false},
	"a fragment in Host":            {[2]string{"Host: relay", "Host: a#b"}, false},
	"a backslash in Host":           {[2]string{"Host: relay", "Host: a\\b"}, false},
	"a slash in Host":               {[2]string{"Host: relay", "Host: a/b"}, false},
	"a user in Host":                {[2]string{"Host: relay", "Host: u@a"}, false},
	"a space in Host":               {[2]string{"Host: relay", "Host: a b"}, false},
	"a tab in Host":                 {[2]string{"Host: relay", "Host: a\tb"}, false},
	"a quote in Host":               {[2]string{"Host: relay", "Host: a\"b"}, false},
	"angle brackets in Host":        {[2]string{"Host: relay", "Host: <a>"}, false},
	"braces in Host":                {[2]string{"Host: relay", "Host: {a}"}, false},
	"a bar in Host":                 {[2]string{"Host: relay", "Host: a|b"}, false},
	"a caret in Host":               {[2]string{"Host: relay", "Host: a^b"}, false},
	"a backtick in Host":            {[2]string{"Host: relay", "Host: a`b"}, false},
	"a bad escape in Host":          {[2]string{"Host: relay", "Host: a%zz"}, false},
	"half an escape in Host":        {[2]string{"Host: relay", "Host: a%4"}, false},
	"beyond ASCII in Host":          {[2]string{"Host: relay", "Host: caf\xc3\xa9"}, false},
	"two ports in Host":             {[2]string{"Host: relay", "Host: a:1:2"}, false},
	"a name for a port":             {[2]string{"Host: relay", "Host: a:http"}, false},
	"a port beyond all":             {[2]string{"Host: relay", "Host: a:65536"}, false},
	"a sign in the port":            {[2]string{"Host: relay", "Host: a:+80"}, false},
	"IPv6 without brackets":         {[2]string{"Host: relay", "Host: ::1"}, false},
	"IPv6 with a zone":              {[2]string{"Host: relay", "Host: [fe80::1%25eth0]"}, false},
	"IPv4 in brackets":              {[2]string{"Host: relay", "Host: [127.0.0.1]"}, false},
	"brackets that stay open":       {[2]string{"Host: relay", "Host: [::1"}, false},
	"junk behind brackets":          {[2]string{"Host: relay", "Host: [::1]a"}, false},
	"two Hosts":                     {[2]string{"Host: relay", "Host: relay\r\nHost: relay"}, false},
	"a list of Hosts":               {[2]string{"Host: relay", "Host: a, b"}, false},
	"a fragment":                    {[2]string{"/v1/publish ", "/v1/publish#x "}, false},
	"a fragment behind a query":     {[2]string{"/v1/publish ", "/v1/publish?a#x "}, false},
	"an empty fragment":             {[2]string{"/v1/publish ", "/v1/publish# "}, false},
	"a backslash in the path":       {[2]string{"/v1/publish ", "/v1\\publish "}, false},
	"a quote in the path":           {[2]string{"/v1/publish ", "/v1/publish\" "}, false},
	"angle brackets in the path":    {[2]string{"/v1/publish ", "/v1/<publish> "}, false},
	"angle brackets in the query":   {[2]string{"/v1/publish ", "/v1/publish?<> "}, false},
	"beyond ASCII in the path":      {[2]string{"/v1/publish ", "/v1/publish\xc3\xa9 "}, false},
	"beyond ASCII in the query":     {[2]string{"/v1/publish ", "/v1/publish?\xc3\xa9 "}, false},
	"a bad escape in the path":      {[2]string{"/v1/publish ", "/v1/publish%zz "}, false},
	"half an escape in the path":    {[2]string{"/v1/publish ", "/v1/publish%7 "}, false},
	"a control in the path":         {[2]string{"/v1/publish ", "/v1/publish\x01 "}, false},
	"DEL in the query":              {[2]string{"/v1/publish ", "/v1/publish?\x7f "}, false},
	"a control in a value":          {[2]string{"Host: relay", "Host: relay\r\nUser-Agent: a\x01b"}, false},
	"DEL in a value":                {[2]string{"Host: relay", "Host: relay\r\nUser-Agent: a\x7fb"}, false},
	"a form feed in a value":        {[2]string{"Host: relay", "Host: relay\r\nUser-Agent: a\fb"}, false},
	"two keys":                      {[2]string{"Host: relay", "Host: relay\r\nAuthorization: Bearer x"}, false},
	"two media types":               {[2]string{"Host: relay", "Host: relay\r\nContent-Type: a/b\r\nContent-Type: a/b"}, false},
	"a name beyond ASCII":           {[2]string{"Host: relay", "Host: relay\r\ncaf\xc3\xa9: a"}, false},
	"a name with a slash":           {[2]string{"Host: relay", "Host: relay\r\na/b: a"}, false},
	"an upgrade's Host that is bad": {[2]string{"Host: relay", "Host: a?b\r\nUpgrade: x"}, false},
}

func TestOneVerdict(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig())
	server := g.relay.api.HTTP()
	usual := plainRequest("", `{"channel":"a","data":1}`)
	for name, v := range verdicts {
		request := strings.Replace(usual, v.change[0], v.change[1], 1)
		if v.change[0] != "" && request == usual {
			t.Fatalf("%s: nothing is changed", name)
		}
		c := &memConn{in: bytes.NewReader([]byte(request))}
		_ = server.ServeConn(c)
		there := statuses(c.out.Bytes())
		here, _ := atLoop(g.relay, func(c *memConn) error { return server.ServeConn(c) }, []byte(request))
		if len(there) != 1 || (there[0] == 400) == v.proper || fmt.Sprint(here) != fmt.Sprint(there) {
			t.Errorf("%s: at the HTTP server %v, at an event loop %v; proper is %t", name, there, here, v.proper)
		}
	}
}

// atLoop reads bytes as an event loop does, with the HTTP server for what is not the event loop's. It returns the statuses of the
// answers, and whether the bytes end within a request that may become the event loop's.
func atLoop(r *Relay, serve func(c *memConn) error, b []byte) (list []int, within bool) {
	answers, n, within := r.gate.Publications(b)
	list = statuses(answers)
	if n < len(b) && !within {
		c := &memConn{in: bytes.NewReader(b[n:])}
		_ = serve(c)
		list = append(list, statuses(c.out.Bytes())...)
	}
	return list, within
}

// statuses are those of the answers in b; after one to a HEAD, of which cannot be told where it ends, there are no more.
func statuses(b []byte) (list []int) {
	for r := bufio.NewReader(bytes.NewReader(b)); ; {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return list
		}
		list = append(list, resp.StatusCode)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return list
		}
	}
}

// FuzzBothWays gives the same bytes to the HTTP server and to an event loop. Their answers must be the same.
func FuzzBothWays(f *testing.F) {
	const body = `{"channel":"a","data":1}`
	for _, v := range verdicts {
		f.Add([]byte(strings.Replace(plainRequest("", body), v.change[0], v.change[1], 1) + plainRequest("", body)))
	}
	for _, lines := range []string{"Content-Type: application/x-ndjson\r\n", "Connection: close\r\n", "Expect: 100-continue\r\n", "Transfer-Encoding: chunked\r\n", "Content-Encoding: gzip\r\n", "Content-Type: Application/JSON; charset=utf-8\r\n"} {
		f.Add([]byte(plainRequest("", body) + plainRequest(lines, body) + plainRequest("", body)))
	}
	g := launch(f, openConfig())
	server := g.relay.api.HTTP()
	serve := func(c *memConn) error { return server.ServeConn(c) }
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &memConn{in: bytes.NewReader(b)}
		_ = serve(c)
		there := statuses(c.out.Bytes())
		here, within := atLoop(g.relay, serve, b)
		if within && len(there) == len(here)+1 && there[len(here)] == 400 {
			there = there[:len(here)] // the server has seen that the rest never comes
		}
		if fmt.Sprint(here) != fmt.Sprint(there) {
			t.Fatalf("at the HTTP server %v, at an event loop %v: %q", there, here, b)
		}
		if n := g.relay.hub.Counters.Panics.Get(); n != 0 {
			t.Fatalf("%d panics: %s", n, g.logs)
		}
	})
}
