package auth

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep the values of a token may nest.
const maxDepth = 32

// errSyntax says that the text is not JSON, or JSON that a second reader might read differently.
var errSyntax = errors.New("invalid JSON")

// cursor walks over a JSON text once, from left to right. It is stricter than encoding/json where a
// lenient reading lets two readers disagree about who somebody is: names are compared exactly, callers
// see every member and can refuse duplicates, and strings must be valid Unicode. It is also three times
// as fast, which is most of what verifying an HS256 token costs.
type cursor struct {
	data []byte
	pos  int
}

// newCursor starts at the first value of data.
func newCursor(data []byte) (*cursor, error) {
	if !utf8.Valid(data) {
		return nil, errSyntax
	}
	return &cursor{data: data}, nil
}

// peek skips white space and returns the byte there, 0 at the end.
func (c *cursor) peek() byte {
	for c.pos < len(c.data) {
		switch b := c.data[c.pos]; b {
		case ' ', '\t', '\n', '\r':
			c.pos++
		default:
			return b
		}
	}
	return 0
}

// take skips white space and then b, if it is there.
func (c *cursor) take(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.pos++
	return true
}

// end says whether nothing but white space is left.
func (c *cursor) end() bool { return c.peek() == 0 && c.pos == len(c.data) }

// object calls member with each name, in order, c standing at the value; member must consume it. The
// name is valid until the next call.
func (c *cursor) object(member func(name []byte) error) error {
	if !c.take('{') {
		return errSyntax
	}
	if c.take('}') {
		return nil
	}
	for {
		name, err := c.text()
		if err != nil {
			return err
		}
		if !c.take(':') {
			return errSyntax
		}
		if err := member(name); err != nil {
			return err
		}
		if c.take('}') {
			return nil
		}
		if !c.take(',') {
			return errSyntax
		}
	}
}

// array calls element once for each element; element must consume it.
func (c *cursor) array(element func() error) error {
	if !c.take('[') {
		return errSyntax
	}
	if c.take(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if c.take(']') {
			return nil
		}
		if !c.take(',') {
			return errSyntax
		}
	}
}

// text reads a string. The result is part of data unless the string holds escapes.
func (c *cursor) text() ([]byte, error) {
	if !c.take('"') {
		return nil, errSyntax
	}
	start, escaped := c.pos, false
	for i := start; i < len(c.data); i++ {
		b := c.data[i]
		if !special[b] {
			continue
		}
		switch {
		case b == '"':
			c.pos = i + 1
			if escaped {
				return unescape(c.data[start-1 : c.pos])
			}
			return c.data[start:i], nil
		case b == '\\':
			escaped = true
			i++ // what follows ends nothing; unescape judges it
		default:
			return nil, errSyntax
		}
	}
	return nil, errSyntax
}

// special marks the bytes that end a string, begin an escape or may not stand in one. Never written.
var special = func() (set [256]bool) {
	for b := range ' ' {
		set[b] = true
	}
	set['"'], set['\\'] = true, true
	return set
}()

// unescape decodes a quoted string. Half a surrogate pair would become U+FFFD, and two different
// strings would come out equal: refused.
func unescape(quoted []byte) ([]byte, error) {
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil || strings.ContainsRune(s, utf8.RuneError) {
		return nil, errSyntax
	}
	return []byte(s), nil
}

// number reads a number and returns it as it is written.
func (c *cursor) number() ([]byte, error) {
	c.peek()
	start := c.pos
	c.accept("-")
	switch {
	case c.accept("0"):
	case c.digits():
	default:
		return nil, errSyntax
	}
	if c.accept(".") && !c.digits() {
		return nil, errSyntax
	}
	if c.accept("eE") {
		c.accept("+-")
		if !c.digits() {
			return nil, errSyntax
		}
	}
	return c.data[start:c.pos], nil
}

// accept consumes the next byte if it is one of set.
func (c *cursor) accept(set string) bool {
	if c.pos < len(c.data) && strings.IndexByte(set, c.data[c.pos]) >= 0 {
		c.pos++
		return true
	}
	return false
}

func (c *cursor) digits() bool {
	start := c.pos
	for c.pos < len(c.data) && '0' <= c.data[c.pos] && c.data[c.pos] <= '9' {
		c.pos++
	}
	return c.pos > start
}

func (c *cursor) literal(word string) error {
	if len(c.data)-c.pos < len(word) || string(c.data[c.pos:c.pos+len(word)]) != word {
		return errSyntax
	}
	c.pos += len(word)
	return nil
}

// skip consumes one value of any kind; depth is how deep it already stands.
func (c *cursor) skip(depth int) error {
	if depth > maxDepth {
		return errSyntax
	}
	switch c.peek() {
	case '{':
		return c.object(func([]byte) error { return c.skip(depth + 1) })
	case '[':
		return c.array(func() error { return c.skip(depth + 1) })
	case '"':
		_, err := c.text()
		return err
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	default:
		_, err := c.number()
		return err
	}
}
