package codec

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// Request is the head of an HTTP request.
type Request struct {
	Method  string
	Path    string // with the query
	Host    string
	Headers [][2]string
}

// Append appends the request line, the headers and the empty line.
func (r Request) Append(dst []byte) []byte {
	dst = append(dst, r.Method...)
	dst = append(dst, ' ')
	dst = append(dst, r.Path...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, r.Host...)
	dst = append(dst, "\r\n"...)
	for _, h := range r.Headers {
		dst = append(dst, h[0]...)
		dst = append(dst, ": "...)
		dst = append(dst, h[1]...)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// With returns a copy of the request with one more header.
func (r Request) With(name, value string) Request {
	r.Headers = append(r.Headers[:len(r.Headers):len(r.Headers)], [2]string{name, value})
	return r
}

// challenge is the key every handshake of this client sends. It protects caches from reading old
// answers, which a load test has no use for; a constant one saves hashing in the client.
const challenge = "dGhlIHNhbXBsZSBub25jZQ=="

var accept = func() string {
	sum := sha1.Sum([]byte(challenge + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}()

// Upgrade returns the request with the headers of a WebSocket handshake.
func (r Request) Upgrade() Request {
	return r.With("Connection", "Upgrade").With("Upgrade", "websocket").
		With("Sec-WebSocket-Version", "13").With("Sec-WebSocket-Key", challenge)
}

// Response is the head of an HTTP response.
type Response struct {
	Status  int
	Size    int  // Content-Length; -1 without one
	chunked bool // Transfer-Encoding: chunked
	Close   bool // Connection: close
	accept  string
}

// Upgraded checks that the response accepts the handshake of Upgrade.
func (r Response) Upgraded() error {
	if r.Status == 101 && r.accept != accept {
		return fmt.Errorf("websocket handshake returned a wrong Sec-WebSocket-Accept: %w", ErrProtocol)
	}
	if r.Status != 101 {
		return &StatusError{Status: r.Status}
	}
	return nil
}

// Opens checks that the response begins a stream: a WebSocket, or a body, which chunks take apart unless they are nil.
func (r Response) Opens(socket bool) (chunks *Chunks, err error) {
	switch {
	case socket:
		return nil, r.Upgraded()
	case r.Status != 200:
		return nil, &StatusError{Status: r.Status}
	case r.chunked:
		chunks = &Chunks{}
	}
	return chunks, nil
}

// StatusError is an answer with another status than the one asked for.
type StatusError struct{ Status int }

func (e *StatusError) Error() string { return "returned status " + strconv.Itoa(e.Status) }

// ParseResponse reads a response head at the start of b and returns how many bytes it takes, 0 when it is
// not whole yet.
func ParseResponse(b []byte) (r Response, n int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxHeader {
			return r, 0, fmt.Errorf("http response head over %d bytes: %w", maxHeader, ErrProtocol)
		}
		return r, 0, nil
	}
	line, rest, _ := bytes.Cut(b[:end], []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return r, 0, fmt.Errorf("not an http response: %w", ErrProtocol)
	}
	if r.Status, err = strconv.Atoi(string(line[9:12])); err != nil || r.Status < 100 {
		return r, 0, fmt.Errorf("http status %q: %w", line[9:12], ErrProtocol)
	}
	r.Size = -1
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		if err := r.header(name, bytes.TrimSpace(value)); err != nil {
			return r, 0, err
		}
	}
	if r.Status == 204 || r.Status == 304 || r.Status < 200 {
		r.Size, r.chunked = 0, false
	}
	return r, end + 4, nil
}

// header reads the few headers that matter.
func (r *Response) header(name, value []byte) (err error) {
	is := func(b []byte, text string) bool { return len(b) == len(text) && strings.EqualFold(string(b), text) }
	switch {
	case is(name, "Content-Length"):
		if r.Size, err = strconv.Atoi(string(value)); err != nil || r.Size < 0 || r.Size > maxMessage {
			return fmt.Errorf("http content-length %q: %w", value, ErrProtocol)
		}
	case is(name, "Transfer-Encoding"):
		r.chunked = is(value, "chunked")
	case is(name, "Connection"):
		r.Close = is(value, "close")
	case is(name, "Sec-WebSocket-Accept"):
		r.accept = string(value)
	}
	return nil
}

// Replies turns a server's byte stream into whole responses with their bodies. The zero value is ready.
type Replies struct{ rest []byte }

// Feed takes the bytes that arrived and calls each for every response that is now whole. body is valid
// during the call only.
func (p *Replies) Feed(b []byte, each func(r Response, body []byte) error) error {
	if len(p.rest) > 0 {
		p.rest = append(p.rest, b...)
		b = p.rest
	}
	for {
		r, n, err := ParseResponse(b)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		body, size, err := r.body(b[n:])
		if err != nil {
			return err
		}
		if size < 0 {
			break
		}
		b = b[n+size:]
		if err := each(r, body); err != nil {
			return err
		}
	}
	p.rest = append(p.rest[:0], b...)
	return nil
}

// body finds the response's body at the start of b. size is negative while it is not whole.
func (r Response) body(b []byte) (body []byte, size int, err error) {
	switch {
	case r.chunked:
		var c Chunks
		n, done, err := c.feed(b, func(part []byte) error { body = append(body, part...); return nil })
		if err != nil || !done {
			return nil, -1, err
		}
		return body, n, nil
	case r.Size < 0:
		return nil, -1, fmt.Errorf("http response without a length: %w", ErrProtocol)
	case len(b) < r.Size:
		return nil, -1, nil
	}
	return b[:r.Size], r.Size, nil
}
