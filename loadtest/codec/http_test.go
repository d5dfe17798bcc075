package codec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRequestBytes(t *testing.T) {
	r := Request{Method: "GET", Path: "/ws?x=1", Host: "h:1", Headers: [][2]string{{"A", "b"}}}
	want := "GET /ws?x=1 HTTP/1.1\r\nHost: h:1\r\nA: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	if got := string(r.Upgrade().Append(nil)); got != want {
		t.Errorf("%q", got)
	}
	if len(r.Headers) != 1 {
		t.Error("the request was changed")
	}
}

func TestHandshakeAnswers(t *testing.T) {
	good := "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nSEC-WEBSOCKET-ACCEPT: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
	tests := []struct {
		text   string
		status int // of the StatusError; 0: none
		ok     bool
	}{
		{good, 0, true},
		{strings.Replace(good, "s3p", "s3q", 1), 0, false},
		{"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", 401, false},
		{"HTTP/1.0 200 OK\r\n\r\n", 200, false},
	}
	for _, tt := range tests {
		r, n, err := ParseResponse([]byte(tt.text))
		if err != nil || n == 0 {
			t.Fatalf("%q: %d, %v", tt.text, n, err)
		}
		var status *StatusError
		err = r.Upgraded()
		if (err == nil) != tt.ok || errors.As(err, &status) != (tt.status > 0) || tt.status > 0 && status.Status != tt.status {
			t.Errorf("%q: %v", tt.text, err)
		}
	}
}

func TestBrokenResponses(t *testing.T) {
	for _, text := range []string{
		"SMTP ready\r\n\r\n", "HTTP/1.1 xx1 No\r\n\r\n", "HTTP/1.1 99\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", strings.Repeat("x", maxHeader+1),
	} {
		var p Replies
		if err := p.Feed([]byte(text), func(Response, []byte) error { return nil }); !errors.Is(err, ErrProtocol) {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

// However the bytes are cut, the same answers come out.
func TestRepliesInAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var want, got []string
		for range rapid.IntRange(0, 6).Draw(t, "answers") {
			body := strings.Repeat("z", rapid.IntRange(0, 300).Draw(t, "size"))
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				b = fmt.Appendf(b, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
			case 1:
				b = append(b, "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nX: y\r\n\r\n"...)
				for part := range slices.Chunk([]byte(body), 70) {
					b = fmt.Appendf(b, "%x;ext\r\n%s\r\n", len(part), part)
				}
				b = append(b, "0\r\nTrailer: t\r\n\r\n"...)
			default:
				body = ""
				b = append(b, "HTTP/1.1 204 No Content\r\n\r\n"...)
			}
			want = append(want, body)
		}
		var p Replies
		for len(b) > 0 {
			n := rapid.IntRange(1, len(b)).Draw(t, "cut")
			err := p.Feed(slices.Clone(b[:n]), func(_ Response, body []byte) error { got = append(got, string(body)); return nil })
			if err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestEventsInAnyPieces(t *testing.T) {
	const text = ":welcome\n\nid: 7\nevent: note\r\ndata: one\r\ndata: two\r\n\r\ndata:three\n\nevent: nothing\n\nretry: 5\nid\ndata\n\n"
	want := []string{"note/7/one\ntwo", "/7/three", "//"}
	for size := range len(text) {
		var p Events
		var got []string
		for piece := range slices.Chunk([]byte(text), size+1) {
			if err := p.Feed(piece, func(e Event) error {
				got = append(got, fmt.Sprintf("%s/%s/%s", e.Type, e.ID, e.Data))
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(got, want) || p.Received != 3 {
			t.Fatalf("pieces of %d: %q", size+1, got)
		}
	}
	var p Events
	if err := p.Feed(make([]byte, maxMessage+1), nil); !errors.Is(err, ErrProtocol) {
		t.Errorf("endless line: %v", err)
	}
}

func FuzzReplies(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, pieces := 0, 0
		var p, q Replies
		err := p.Feed(b, func(Response, []byte) error { whole++; return nil })
		for i := range b {
			if q.Feed(b[i:i+1], func(Response, []byte) error { pieces++; return nil }) != nil {
				break
			}
		}
		if err == nil && whole != pieces {
			t.Fatalf("%d at once, %d by bytes", whole, pieces)
		}
	})
}
