package relay

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
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
	server := g.relay.newServer()
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
				break // the answer to HEAD says a length and has none: what follows can not be told
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

// FuzzOffer holds what is made of a handshake against a plain reading of it.
func FuzzOffer(f *testing.F) {
	f.Add("dGhlIHNhbXBsZSBub25jZQ==", "13", "websocket", "Upgrade", "weir, token.x", "permessage-deflate; client_max_window_bits")
	f.Add("AAAAAAAAAAAAAAAAAAAAAA==", "13", "WebSocket", "keep-alive, upgrade", "", "permessage-deflate; server_max_window_bits=10, permessage-deflate;client_no_context_takeover")
	f.Add("c2hvcnQ=", "8", "h2c", "close", "weir", "x-permessage-deflate")
	f.Add("dGhlIHNhbXBsZSBub25jZQ==", "13", "websocket", "Upgrade", "weir", "permessage-deflate; client_max_window_bits=\"15\";;")
	f.Fuzz(func(t *testing.T, key, version, upgrade, connection, protocol, extensions string) {
		var h fasthttp.RequestHeader
		raw := "GET /ws HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: " + key + "\r\nSec-WebSocket-Version: " + version + "\r\nUpgrade: " + upgrade +
			"\r\nConnection: " + connection + "\r\nSec-WebSocket-Protocol: " + protocol + "\r\nSec-WebSocket-Extensions: " + extensions + "\r\n\r\n"
		if err := h.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
			return
		}
		o, bad := readOffer(&h)
		if bad != nil {
			if bad.Status < 400 || bad.Status > 426 {
				t.Fatalf("%d", bad.Status)
			}
			return
		}
		nonce, err := base64.StdEncoding.DecodeString(string(o.key))
		if err != nil || len(nonce) != 16 {
			t.Fatalf("key %q is accepted", o.key)
		}
		if o.deflate && !strings.Contains(extensions, "permessage-deflate") || o.protocol && !strings.Contains(protocol, "weir") || o.token != "" && !strings.Contains(protocol, "token."+o.token) {
			t.Fatalf("%+v of %q and %q", o, protocol, extensions)
		}
		for _, deflate := range []bool{false, true} {
			resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(o.appendSwitch(nil, deflate))), nil)
			if err != nil || resp.StatusCode != 101 {
				t.Fatalf("%v %v", resp, err)
			}
			sum := sha1.Sum([]byte(string(o.key) + webSocketGUID)) //nolint:gosec // see above
			want := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {base64.StdEncoding.EncodeToString(sum[:])}}
			if o.protocol {
				want["Sec-Websocket-Protocol"] = []string{"weir"}
			}
			if deflate {
				agreed := "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
				if o.window {
					agreed += "; server_max_window_bits=15"
				}
				want["Sec-Websocket-Extensions"] = []string{agreed}
			}
			if len(resp.Header) != len(want) {
				t.Fatalf("%v, want %v", resp.Header, want)
			}
			for name, value := range want {
				if got := resp.Header.Values(name); len(got) != 1 || got[0] != value[0] {
					t.Fatalf("%s: %q, want %q", name, got, value)
				}
			}
		}
	})
}
