package ingress

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"weir/relay/httpcheck"
)

// publication is a publication with header lines of its own, each with its end.
func publication(lines, body string) string {
	return fmt.Sprintf("POST /v1/publish HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\n%sContent-Length: %d\r\n\r\n%s", testKey, lines, len(body), body)
}

const testKey = "0123456789abcdef0123456789abcdef"

func TestPlain(t *testing.T) {
	const body = `{"channel":"a","data":1}`
	usual := publication("Content-Type: application/json\r\nUser-Agent: curl/8\r\nAccept: */*\r\n", body)
	swap := func(from, to string) string {
		if !strings.Contains(usual, from) {
			t.Fatalf("no %q", from)
		}
		return strings.Replace(usual, from, to, 1)
	}
	with := func(line string) string { return publication(line, body) }
	for name, test := range map[string]struct {
		request string
		want    form
	}{
		"as curl sends it":       {usual, complete},
		"with more behind it":    {usual + "GET / HT", complete},
		"with an empty body":     {publication("", ""), complete},
		"names in any case":      {swap("Content-Length", "cONTENT-lENGTH"), complete},
		"values without a space": {swap("Host: relay", "Host:relay"), complete},
		"a tab before a value":   {swap("Host: ", "Host:\t"), complete},
		"keep-alive":             {with("Connection: Keep-Alive\r\n"), complete},
		"traced":                 {with("traceparent: 00-0-0-00\r\ntracestate: a=b\r\n"), complete},

		"nothing yet":           {"", incomplete},
		"part of the start":     {"POST /v1/pub", incomplete},
		"part of the header":    {"POST /v1/publish HTTP/1.1\r\nHos", incomplete},
		"all but a byte":        {usual[:len(usual)-1], incomplete},
		"a length that is long": {swap("Content-Length: 24", "Content-Length: 9000"), incomplete},

		"another method":             {swap("POST", "PUT"), notEligible},
		"another path":               {swap("/v1/publish", "/v1/publish?a"), notEligible},
		"another version":            {swap("HTTP/1.1", "HTTP/1.0"), notEligible},
		"a space too many":           {swap("POST ", "POST  "), notEligible},
		"lines that end in LF":       {strings.ReplaceAll(usual, "\r\n", "\n"), notEligible},
		"a line that ends in LF":     {swap("relay\r\n", "relay\n"), notEligible},
		"CR CR LF":                   {swap("relay\r\n", "relay\r\r\n"), notEligible},
		"an empty line of LF":        {swap("\r\n\r\n", "\r\n\n"), notEligible},
		"a CR in a value":            {swap("curl", "cu\rrl"), notEligible},
		"a NUL in a value":           {swap("curl", "cu\x00rl"), notEligible},
		"a DEL in a value":           {swap("curl", "cu\x7frl"), notEligible},
		"a byte beyond ASCII":        {swap("curl", "cu\xe9rl"), notEligible},
		"a folded line":              {swap("Accept: */*", "Accept:\r\n */*"), notEligible},
		"a line without a colon":     {swap("Accept: */*", "Accept"), notEligible},
		"a line without a name":      {swap("Accept: */*", ": */*"), notEligible},
		"a space before the colon":   {swap("Content-Length:", "Content-Length :"), notEligible},
		"a space before the name":    {swap("Accept:", " Accept:"), notEligible},
		"no Host":                    {swap("Host: relay\r\n", ""), notEligible},
		"an empty Host":              {swap("Host: relay", "Host: "), notEligible},
		"two Hosts":                  {with("Host: relay\r\n"), notEligible},
		"a user in Host":             {swap("relay", "u@relay"), notEligible},
		"a query in Host":            {swap("relay", "a?b"), notEligible},
		"a backslash in Host":        {swap("relay", `a\b`), notEligible},
		"a list in Host":             {swap("relay", "relay, other"), notEligible},
		"two lengths":                {with("Content-Length: 24\r\n"), notEligible},
		"no length":                  {swap("Content-Length: 24\r\n", ""), notEligible},
		"an empty length":            {swap("Content-Length: 24", "Content-Length:"), notEligible},
		"a length with a sign":       {swap(": 24", ": +24"), notEligible},
		"a length with zeros before": {swap(": 24", ": 024"), notEligible},
		"a length that is a list":    {swap(": 24", ": 24, 24"), notEligible},
		"a length in hexadecimal":    {swap(": 24", ": 0x18"), notEligible},
		"a length beyond all bounds": {swap(": 24", ": 99999999999999999999"), notEligible},
		"a large body":               {swap(": 24", ": 65536"), notEligible},
		"chunks":                     {with("Transfer-Encoding: chunked\r\n"), notEligible},
		"Expect":                     {with("Expect: 100-continue\r\n"), notEligible},
		"Connection: close":          {with("Connection: close\r\n"), notEligible},
		"two Connections":            {with("Connection: keep-alive\r\nConnection: keep-alive\r\n"), notEligible},
		"an upgrade":                 {with("Upgrade: websocket\r\n"), notEligible},
		"a page's":                   {with("Origin: https://a\r\n"), notEligible},
		"coded":                      {with("Content-Encoding: gzip\r\n"), notEligible},
		"two types":                  {with("Content-Type: a\r\nContent-Type: b\r\n"), notEligible},
		"two keys":                   {with("Authorization: Bearer a\r\n"), notEligible},
		"an unknown line":            {with("X-Anything: 1\r\n"), notEligible},
		"a very long name":           {with(strings.Repeat("x", 300) + ": 1\r\n"), notEligible},
		"too many lines":             {with(strings.Repeat("Accept: a\r\n", httpcheck.MaxHeaderLines)), notEligible},
		"a header that is too long":  {with("User-Agent: " + strings.Repeat("x", httpcheck.MaxHeaderBytes) + "\r\n"), notEligible},
		"the same without its end":   {"POST /v1/publish HTTP/1.1\r\nUser-Agent: " + strings.Repeat("x", httpcheck.MaxHeaderBytes), notEligible},
	} {
		var p fastRequest
		if got := p.read([]byte(test.request)); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	var p fastRequest
	for n := range len(usual) {
		if got := p.read([]byte(usual[:n])); got != incomplete {
			t.Errorf("the first %d bytes: %d", n, got)
		}
	}
	if p.read([]byte(usual+"x")) != complete || p.size != len(usual) || string(p.body) != body || string(p.key) != testKey || string(p.kind) != "application/json" || string(p.host) != "relay" {
		t.Errorf("%+v", p)
	}
}

// What is taken for fast is read in the same way by another implementation of HTTP, and nothing that has been
// refused becomes good with more bytes.
func FuzzPlain(f *testing.F) {
	for _, lines := range []string{"", "Content-Type: application/x-ndjson\r\n", "Connection: keep-alive\r\nAccept: */*\r\n", "X: y\r\n", "Content-Length: 5\r\n"} {
		f.Add([]byte(publication(lines, `{"channel":"a","data":1}`)), 30)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var p, q fastRequest
		how := p.read(b)
		if cut >= 0 && cut < len(b) {
			if before := q.read(b[:cut]); before == notEligible && how != notEligible || before == complete && (how != complete || q.size != p.size) {
				t.Fatalf("%d for %d bytes, %d for all: %q", before, cut, how, b)
			}
		}
		if how != complete {
			return
		}
		r := bufio.NewReader(bytes.NewReader(b))
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Fatalf("%v in %q", err, b)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil || !bytes.Equal(body, p.body) || req.Host != string(p.host) || req.Header.Get("Content-Type") != string(p.kind) {
			t.Fatalf("%v, host %q, type %q, body %q in %q", err, req.Host, req.Header.Get("Content-Type"), body, b)
		}
		if key, found := strings.CutPrefix(req.Header.Get("Authorization"), "Bearer "); found && key != string(p.key) {
			t.Fatalf("key %q, not %q, in %q", p.key, key, b)
		}
		if rest, _ := io.ReadAll(r); !bytes.Equal(rest, b[p.size:]) {
			t.Fatalf("%q stands behind it, not %q", rest, b[p.size:])
		}
	})
}
