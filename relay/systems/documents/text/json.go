package text

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"weir/internal/wire"
)

// Bounds of an operation: components, and code points of one of them.
const (
	MaxComponents = 1000
	maxLength     = 1 << 30
)

// The errors of this package. They come wrapped with what is wrong.
var (
	ErrOp    = errors.New("bad operation")
	ErrRange = errors.New("operation beyond the end of the text")
)

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrOp, fmt.Sprintf(format, args...))
}

// Parse reads an operation from JSON. It keeps nothing of b. Errors: ErrOp.
func Parse(b []byte) (Op, error) {
	op := make(Op, 0, 4)
	err := wire.Elements(b, func(value []byte) error {
		if len(op) == MaxComponents {
			return bad("more than %d components", MaxComponents)
		}
		c, err := parseComponent(value)
		if err != nil {
			return err
		}
		op = append(op, c)
		return nil
	})
	switch {
	case errors.Is(err, wire.ErrJSON), errors.Is(err, wire.ErrDepth):
		return nil, bad("expected a list of numbers, strings and {\"d\":...}")
	case err != nil:
		return nil, err
	}
	return op, op.Check()
}

func parseComponent(value []byte) (Component, error) {
	switch value[0] {
	case '"':
		s, err := ParseString(value)
		return Inserting(s), err
	case '{':
		return parseDelete(value)
	}
	n, err := parseLength(value)
	return Skipping(n), err
}

func parseDelete(value []byte) (c Component, err error) {
	members := 0
	err = wire.Members(value, func(key string, v []byte) (err error) {
		if members++; key != "d" || members > 1 {
			return bad("an object other than {\"d\":...}")
		}
		if v[0] == '"' {
			c.S, err = ParseString(v)
			c.N = utf8.RuneCountInString(c.S)
		} else {
			c.N, err = parseLength(v)
		}
		return err
	})
	if err == nil && members == 0 {
		err = bad("an object other than {\"d\":...}")
	}
	c.Kind = Delete
	return c, err
}

func parseLength(value []byte) (int, error) {
	n, err := strconv.Atoi(string(value))
	if err != nil || n <= 0 || n > maxLength {
		return 0, bad("%s is not a length from 1 to %d", short(value), maxLength)
	}
	return n, nil
}

// ParseString reads a JSON string that is Unicode: without halves of surrogate pairs, which can be neither stored nor
// sent. It keeps nothing of value. Errors: ErrOp.
func ParseString(value []byte) (string, error) {
	if halves(value) {
		return "", bad("a string holds half a surrogate pair")
	}
	s, err := wire.Text(value)
	if err != nil {
		return "", bad("%s is not a string", short(value))
	}
	return strings.Clone(s), nil
}

// short is a value that is wrong, cut to what a message can show.
func short(b []byte) string {
	if len(b) > 24 {
		return string(bytes.ToValidUTF8(b[:24], nil)) + "..."
	}
	return string(b)
}

// halves reports whether a JSON string escapes one half of a surrogate pair without the other: such a string is
// not Unicode, and would not survive being stored. (Decoders put U+FFFD in its place, silently.)
func halves(value []byte) bool {
	for {
		i := bytes.IndexByte(value, '\\')
		if i < 0 {
			return false
		}
		value = value[i:]
		switch r := unit(value); {
		case r < 0:
			value = value[2:]
		case !utf16.IsSurrogate(r):
			value = value[6:]
		case utf16.DecodeRune(r, unit(value[6:])) == utf8.RuneError:
			return true
		default:
			value = value[12:]
		}
	}
}

// unit is the UTF-16 unit that b begins with as \uXXXX; -1 if it does not.
func unit(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// Check reports whether an operation is in normal form. Errors: ErrOp.
func (op Op) Check() error {
	for i, c := range op {
		switch {
		case c.Kind > Delete:
			return bad("component %d has an unknown kind", i)
		case c.N <= 0 || c.N > maxLength:
			return bad("component %d is empty or too long", i)
		case c.Kind == Insert && utf8.RuneCountInString(c.S) != c.N,
			c.Kind == Delete && c.S != "" && utf8.RuneCountInString(c.S) != c.N:
			return bad("component %d has another length than its text", i)
		case i > 0 && op[i-1].Kind == c.Kind:
			return bad("components %d and %d are of the same kind: expected one", i-1, i)
		case i == len(op)-1 && c.Kind == Skip:
			return bad("a skip at the end")
		}
	}
	return nil
}

// AppendJSON appends the operation as JSON. A delete has the text that it removed, if that is known.
func (op Op) AppendJSON(dst []byte) []byte {
	dst = append(dst, '[')
	for i, c := range op {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch {
		case c.Kind == Skip:
			dst = strconv.AppendInt(dst, int64(c.N), 10)
		case c.Kind == Insert:
			dst = AppendString(dst, c.S)
		case c.S != "":
			dst = append(AppendString(append(dst, `{"d":`...), c.S), '}')
		default:
			dst = append(strconv.AppendInt(append(dst, `{"d":`...), int64(c.N), 10), '}')
		}
	}
	return append(dst, ']')
}

// String is the operation as JSON.
func (op Op) String() string { return string(op.AppendJSON(nil)) }

// AppendString appends s, which must be UTF-8, as a JSON string with no more escapes than needed: texts are
// long, and few of them end up in HTML.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[from:i]...)
		from = i + 1
		if short := strings.IndexByte("\"\\\n\r\t", c); short >= 0 {
			dst = append(dst, '\\', "\"\\nrt"[short])
		} else {
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[from:]...), '"')
}
