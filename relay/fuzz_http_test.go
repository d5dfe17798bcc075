package relay

import (
	"bufio"
	"bytes" //nolint:gosec // RFC 6455 asks for it
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// memConn is a client that has sent everything and reads nothing: a connection in memory.
type memConn struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *memConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *memConn) Close() error                     { return nil }
func (c *memConn) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }
func (c *memConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1234} }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzRequests sends bytes to the HTTP server. It must not answer more requests than another
// implementation sees in them, nor anything behind one that it refused as improper, and not panic.
func FuzzRequests(f *testing.F) {
	const get, behind = "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, s := range []string{
		get + behind, "POST /v1/publish HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + apiKey + "\r\nContent-Length: 24\r\n\r\n" + `{"channel":"a","data":1}` + behind,
		"POST /v1/publish HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + behind,
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + behind,
		"GET / HTTP/1.1\nHost: x\n\n" + behind, "GET / HTTP/1.0\r\n\r\n" + behind, "GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n" + behind,
		"GET http://u@x/ HTTP/1.1\r\nHost: u@x\r\n\r\n" + behind, "\r\n\r\n" + get + behind, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + behind,
		"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}" + behind, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + behind,
		upgrade("x", "/ws"), "GET /v1/channels/%61%2f?limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + apiKey + "\r\n\r\n",
		"POST /v1/tickets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + apiKey + "\r\nContent-Length: 14\r\n\r\n" + `{"userId":"a"}`,
		"POST /v1/publish HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nAuthorization: Bearer " + apiKey + "\r\nContent-Length: 27\r\n\r\n" + "{\"channel\":\"a\",\"data\":1}\nx\n",
	} {
		f.Add([]byte(s))
	}
	g := launch(f, openConfig())
	server := g.relay.api.HTTP()
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &memConn{in: bytes.NewReader(b)}
		_ = server.ServeConn(c)
		answered, improper := 0, 0
		for r := bufio.NewReader(&c.out); ; {
			if _, err := r.Peek(1); err == io.EOF {
				break
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				break // the answer to HEAD says a length and has none: what follows cannot be told
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				break
			}
			switch {
			case resp.StatusCode == http.StatusContinue:
			case improper > 0:
				t.Fatalf("something is answered behind a refusal: %q", body)
			case resp.Close && (resp.StatusCode == 400 || resp.StatusCode == 413 || resp.StatusCode == 414 || resp.StatusCode == 431):
				improper++
			default:
				answered++
			}
		}
		seen := 0
		// Whether an escape in a path is proper is not what this is about.
		for r := bufio.NewReader(bytes.NewReader(bytes.ReplaceAll(bytes.TrimLeft(b, "\r\n"), []byte("%"), []byte("p")))); ; seen++ {
			req, err := http.ReadRequest(r)
			if err != nil {
				break
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				seen++
				break
			}
			for { // empty lines may stand in front of a request
				if p, err := r.Peek(1); err != nil || p[0] != '\r' && p[0] != '\n' {
					break
				}
				_, _ = r.ReadByte()
			}
		}
		if answered > seen {
			t.Fatalf("%d answered, %d seen: %q", answered, seen, b)
		}
		if n := g.relay.hub.Counters.Panics.Get(); n != 0 {
			t.Fatalf("%d panics: %s", n, g.logs)
		}
	})
}
