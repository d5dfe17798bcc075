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
		"as curl sends it":       {usual, whole},
		"with more behind it":    {usual + "GET / HT", whole},
		"with an empty body":     {publication("", ""), whole},
		"names in any case":      {swap("Content-Length", "cONTENT-lENGTH"), whole},
		"values without a space": {swap("Host: relay", "Host:relay"), whole},
		"a tab before a value":   {swap("Host: ", "Host:\t"), whole},
		"keep-alive":             {with("Connection: Keep-Alive\r\n"), whole},
		"traced":                 {with("traceparent: 00-0-0-00\r\ntracestate: a=b\r\n"), whole},

		"nothing yet":           {"", partial},
		"part of the start":     {"POST /v1/pub", partial},
		"part of the header":    {"POST /v1/publish HTTP/1.1\r\nHos", partial},
		"all but a byte":        {usual[:len(usual)-1], partial},
		"a length that is long": {swap("Content-Length: 24", "Content-Length: 9000"), partial},

		"another method":             {swap("POST", "PUT"), foreign},
		"another path":               {swap("/v1/publish", "/v1/publish?a"), foreign},
		"another version":            {swap("HTTP/1.1", "HTTP/1.0"), foreign},
		"a space too many":           {swap("POST ", "POST  "), foreign},
		"lines that end in LF":       {strings.ReplaceAll(usual, "\r\n", "\n"), foreign},
		"a line that ends in LF":     {swap("relay\r\n", "relay\n"), foreign},
		"CR CR LF":                   {swap("relay\r\n", "relay\r\r\n"), foreign},
		"an empty line of LF":        {swap("\r\n\r\n", "\r\n\n"), foreign},
		"a CR in a value":            {swap("curl", "cu\rrl"), foreign},
		"a NUL in a value":           {swap("curl", "cu\x00rl"), foreign},
		"a DEL in a value":           {swap("curl", "cu\x7frl"), foreign},
		"a byte beyond ASCII":        {swap("curl", "cu\xe9rl"), foreign},
		"a folded line":              {swap("Accept: */*", "Accept:\r\n */*"), foreign},
		"a line without a colon":     {swap("Accept: */*", "Accept"), foreign},
		"a line without a name":      {swap("Accept: */*", ": */*"), foreign},
		"a space before the colon":   {swap("Content-Length:", "Content-Length :"), foreign},
		"a space before the name":    {swap("Accept:", " Accept:"), foreign},
		"no Host":                    {swap("Host: relay\r\n", ""), foreign},
		"an empty Host":              {swap("Host: relay", "Host: "), foreign},
		"two Hosts":                  {with("Host: relay\r\n"), foreign},
		"a user in Host":             {swap("relay", "u@relay"), foreign},
		"a query in Host":            {swap("relay", "a?b"), foreign},
		"a backslash in Host":        {swap("relay", `a\b`), foreign},
		"a list in Host":             {swap("relay", "relay, other"), foreign},
		"two lengths":                {with("Content-Length: 24\r\n"), foreign},
		"no length":                  {swap("Content-Length: 24\r\n", ""), foreign},
		"an empty length":            {swap("Content-Length: 24", "Content-Length:"), foreign},
		"a length with a sign":       {swap(": 24", ": +24"), foreign},
		"a length with zeros before": {swap(": 24", ": 024"), foreign},
		"a length that is a list":    {swap(": 24", ": 24, 24"), foreign},
		"a length in hexadecimal":    {swap(": 24", ": 0x18"), foreign},
		"a length beyond all bounds": {swap(": 24", ": 99999999999999999999"), foreign},
		"a large body":               {swap(": 24", ": 65536"), foreign},
		"chunks":                     {with("Transfer-Encoding: chunked\r\n"), foreign},
		"Expect":                     {with("Expect: 100-continue\r\n"), foreign},
		"Connection: close":          {with("Connection: close\r\n"), foreign},
		"two Connections":            {with("Connection: keep-alive\r\nConnection: keep-alive\r\n"), foreign},
		"an upgrade":                 {with("Upgrade: websocket\r\n"), foreign},
		"a page's":                   {with("Origin: https://a\r\n"), foreign},
		"coded":                      {with("Content-Encoding: gzip\r\n"), foreign},
		"two types":                  {with("Content-Type: a\r\nContent-Type: b\r\n"), foreign},
		"two keys":                   {with("Authorization: Bearer a\r\n"), foreign},
		"an unknown line":            {with("X-Anything: 1\r\n"), foreign},
		"a very long name":           {with(strings.Repeat("x", 300) + ": 1\r\n"), foreign},
		"too many lines":             {with(strings.Repeat("Accept: a\r\n", maxHeaderLines)), foreign},
		"a header that is too long":  {with("User-Agent: " + strings.Repeat("x", maxHeaderBytes) + "\r\n"), foreign},
		"the same without its end":   {"POST /v1/publish HTTP/1.1\r\nUser-Agent: " + strings.Repeat("x", maxHeaderBytes), foreign},
	} {
		var p plain
		if got := p.read([]byte(test.request)); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	var p plain
	for n := range len(usual) {
		if got := p.read([]byte(usual[:n])); got != partial {
			t.Errorf("the first %d bytes: %d", n, got)
		}
	}
	if p.read([]byte(usual+"x")) != whole || p.size != len(usual) || string(p.body) != body || string(p.key) != testKey || string(p.kind) != "application/json" || string(p.host) != "relay" {
		t.Errorf("%+v", p)
	}
}

// What is taken for plain is read in the same way by another implementation of HTTP, and nothing that has been
// refused becomes good with more bytes.
func FuzzPlain(f *testing.F) {
	for _, lines := range []string{"", "Content-Type: application/x-ndjson\r\n", "Connection: keep-alive\r\nAccept: */*\r\n", "X: y\r\n", "Content-Length: 5\r\n"} {
		f.Add([]byte(publication(lines, `{"channel":"a","data":1}`)), 30)
	}
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		var p, q plain
		how := p.read(b)
		if cut >= 0 && cut < len(b) {
			if before := q.read(b[:cut]); before == foreign && how != foreign || before == whole && (how != whole || q.size != p.size) {
				t.Fatalf("%d for %d bytes, %d for all: %q", before, cut, how, b)
			}
		}
		if how != whole {
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
