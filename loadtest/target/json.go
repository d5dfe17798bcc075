package target

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"weir/loadtest/codec"
)

// cursor walks JSON once, front to back. The caller consumes each value with one of its methods; a
// value that is not what was asked for makes the cursor bad, and everything after fails at once.
type cursor struct {
	b   []byte
	i   int
	bad bool
}

// errShape is what a message that could not be walked becomes.
func errShape(msg []byte) error {
	return fmt.Errorf("message %.120q is not understood: %w", msg, codec.ErrProtocol)
}

func (c *cursor) space() {
	for c.i < len(c.b) && (c.b[c.i] == ' ' || c.b[c.i] == '\n' || c.b[c.i] == '\t' || c.b[c.i] == '\r') {
		c.i++
	}
}

// take consumes ch after white space.
func (c *cursor) take(ch byte) bool {
	c.space()
	if c.bad || c.i >= len(c.b) || c.b[c.i] != ch {
		return false
	}
	c.i++
	return true
}

func (c *cursor) expect(ch byte) {
	if !c.take(ch) {
		c.bad = true
	}
}

// object calls field for each field; field must consume the value.
func (c *cursor) object(field func(name []byte)) {
	c.expect('{')
	if c.take('}') {
		return
	}
	for !c.bad {
		name := c.text()
		c.expect(':')
		if c.bad {
			return
		}
		field(name)
		if c.take('}') {
			return
		}
		c.expect(',')
	}
}

// array calls item at each element; item must consume it.
func (c *cursor) array(item func()) {
	c.expect('[')
	if c.take(']') {
		return
	}
	for !c.bad {
		item()
		if c.take(']') {
			return
		}
		c.expect(',')
	}
}

// text consumes a string and returns what is between the quotes, escapes as they stand.
func (c *cursor) text() []byte {
	c.expect('"')
	start := c.i
	for !c.bad {
		n := bytes.IndexByte(c.b[c.i:], '"')
		if n < 0 {
			break
		}
		end := c.i + n
		c.i = end + 1
		slashes := 0
		for end-slashes > start && c.b[end-slashes-1] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return c.b[start:end]
		}
	}
	c.bad = true
	return nil
}

// raw consumes any value and returns it as it stands.
func (c *cursor) raw() []byte {
	c.space()
	start := c.i
	c.skip(0)
	if c.bad {
		return nil
	}
	return c.b[start:c.i]
}

// maxDepth bounds nesting, so that no message exhausts the stack.
const maxDepth = 64

func (c *cursor) skip(depth int) {
	c.space()
	if c.i >= len(c.b) || depth > maxDepth {
		c.bad = true
		return
	}
	switch c.b[c.i] {
	case '{':
		c.object(func([]byte) { c.skip(depth + 1) })
	case '[':
		c.array(func() { c.skip(depth + 1) })
	case '"':
		c.text()
	default:
		start := c.i
		for c.i < len(c.b) && isScalar(c.b[c.i]) {
			c.i++
		}
		if c.i == start {
			c.bad = true
		}
	}
}

func isScalar(ch byte) bool {
	return ch >= '0' && ch <= '9' || ch >= 'a' && ch <= 'z' || ch == '-' || ch == '+' || ch == '.' || ch == 'E'
}

// number consumes an unsigned integer.
func (c *cursor) number() uint64 {
	c.space()
	n, digits := uint64(0), 0
	for ; c.i < len(c.b) && c.b[c.i]-'0' <= 9 && digits < 19; c.i++ {
		n = n*10 + uint64(c.b[c.i]-'0')
		digits++
	}
	if digits == 0 {
		c.bad = true
	}
	return n
}

// end reports whether everything was consumed and understood.
func (c *cursor) end() bool {
	c.space()
	return !c.bad && c.i == len(c.b)
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if ch := s[i]; ch < ' ' || ch > '~' || ch == '"' || ch == '\\' {
			quoted, _ := json.Marshal(s) // a string never fails
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// appendRequest appends a request whose head, up to the length, is ready and whose body fill appends.
func appendRequest(dst, head []byte, fill func(dst []byte) []byte) []byte {
	const room = "00000000"
	dst = append(dst, head...)
	dst = append(dst, "Content-Length: "...)
	hole := len(dst)
	dst = append(dst, room+"\r\n\r\n"...)
	start := len(dst)
	dst = fill(dst)
	var digits [20]byte
	n := strconv.AppendInt(digits[:0], int64(len(dst)-start), 10)
	// the length is known only now: close the gap between its digits and the room left for them
	end := hole + copy(dst[hole:], n)
	end += copy(dst[end:], dst[hole+len(room):])
	return dst[:end]
}

// post is the head of a POST request up to its length, built once.
func post(e Endpoint, path string, headers ...[2]string) []byte {
	b := codec.Request{Method: "POST", Path: path, Host: e.Host, Headers: headers}.Append(nil)
	return b[:len(b)-2]
}
