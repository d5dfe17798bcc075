package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/bits"
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// maxDepth is how deep arrays and objects may nest in what a client or backend sends.
const maxDepth = 32

// ErrJSON is returned for bytes that are not JSON as RFC 8259 has it: UTF-8, no unescaped control
// characters, escapes that mean something, nested at most maxDepth deep.
//
// The scanner is strict because what it lets through is fanned out as it stands: one message that a
// browser's JSON.parse refuses would reach every subscriber. (The fast validators that were measured
// let invalid escapes, control characters and broken UTF-8 pass.)
var ErrJSON = errors.New("not valid JSON")

// ErrDepth is returned for JSON nested deeper than maxDepth.
var ErrDepth = errors.New("JSON is nested too deeply")

// ValidJSON checks one whole value. Errors: ErrJSON, ErrDepth.
func ValidJSON(b []byte) error {
	end, err := scanValue(b, space(b, 0), maxDepth)
	return finished(b, end, err)
}

// finished returns nil if nothing but white space comes behind at, where the scan has ended with err, and otherwise
// what is wrong and where.
func finished(b []byte, at int, err error) error {
	if err == nil {
		if at = space(b, at); at == len(b) {
			return nil
		}
		err = ErrJSON
	}
	if err == ErrJSON || err == ErrDepth { //nolint:errorlint // the scan does not wrap them
		return &positionError{err, at}
	}
	return err
}

// positionError is ErrJSON or ErrDepth with the place.
type positionError struct {
	Err error
	At  int // index of the byte that is wrong, or the length if something is missing at the end
}

func (e *positionError) Error() string { return e.Err.Error() + ", at byte " + strconv.Itoa(e.At) }

// Unwrap returns what is wrong.
func (e *positionError) Unwrap() error { return e.Err }

// Members checks that b is one JSON object and calls f with each member in order: the key without its
// quotes, the value as it stands. It stops at the first error. Errors: ErrJSON, ErrDepth, those of f.
func Members(b []byte, f func(key string, value []byte) error) error {
	start := space(b, 0)
	end, err := scanMembers(b, start, f)
	if end == start && err == ErrJSON { //nolint:errorlint // the scan does not wrap it
		err = noObject(b, start)
	}
	return finished(b, end, err)
}

// noObject is ErrJSON for b, which does not begin as an object, at start: it may be JSON for all that.
func noObject(b []byte, start int) error {
	switch {
	case start == len(b):
		return &positionError{worded{"no data: expected a JSON object", ErrJSON}, start}
	case ValidJSON(b) == nil:
		return &positionError{worded{"expected a JSON object", ErrJSON}, start}
	}
	return ErrJSON
}

// Elements is Members for an array.
func Elements(b []byte, f func(value []byte) error) error {
	i := space(b, 0)
	if i >= len(b) || b[i] != '[' {
		return &positionError{ErrJSON, i}
	}
	if i = space(b, i+1); i < len(b) && b[i] == ']' {
		return finished(b, i+1, nil)
	}
	for {
		end, err := scanValue(b, i, maxDepth-1)
		if err != nil {
			return &positionError{err, end}
		}
		if err := f(b[i:end]); err != nil {
			return err
		}
		i = space(b, end)
		switch {
		case i < len(b) && b[i] == ']':
			return finished(b, i+1, nil)
		case i >= len(b) || b[i] != ',':
			return &positionError{ErrJSON, i}
		}
		i = space(b, i+1)
	}
}

func scanMembers(b []byte, i int, f func(string, []byte) error) (int, error) {
	if i >= len(b) || b[i] != '{' {
		return i, ErrJSON
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for {
		end, err := scanString(b, i)
		if err != nil {
			return end, err
		}
		key, err := Text(b[i:end])
		if err != nil {
			return i, err
		}
		i = space(b, end)
		if i >= len(b) || b[i] != ':' {
			return i, ErrJSON
		}
		i = space(b, i+1)
		end, err = scanValue(b, i, maxDepth-1)
		if err != nil {
			return end, err
		}
		if err := f(key, b[i:end]); err != nil {
			return 0, err
		}
		i = space(b, end)
		switch {
		case i < len(b) && b[i] == '}':
			return i + 1, nil
		case i >= len(b) || b[i] != ',':
			return i, ErrJSON
		}
		i = space(b, i+1)
	}
}

// Text is the string that a scanned JSON string stands for. It aliases b unless b holds escapes.
// Errors: ErrJSON if b is not a string.
func Text(b []byte) (string, error) {
	if len(b) < 2 || b[0] != '"' {
		return "", ErrJSON
	}
	if bytes.IndexByte(b, '\\') >= 0 {
		var s string
		if json.Unmarshal(b, &s) != nil {
			return "", ErrJSON
		}
		return s, nil
	}
	return alias(b[1 : len(b)-1]), nil
}

// alias is b as a string, without a copy: it is valid only as long as b is left alone.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// space is the index of the first byte from i on that is not white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// scanValue returns the index after the value that begins at i.
func scanValue(b []byte, i, depth int) (int, error) {
	if i >= len(b) {
		return i, ErrJSON
	}
	switch b[i] {
	case '"':
		return scanString(b, i)
	case '{', '[':
		return scanNested(b, i, depth)
	case 't':
		return scanWord(b, i, "true")
	case 'f':
		return scanWord(b, i, "false")
	case 'n':
		return scanWord(b, i, "null")
	}
	return scanNumber(b, i)
}

func scanWord(b []byte, i int, word string) (int, error) {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return i, ErrJSON
	}
	return i + len(word), nil
}

// scanNested scans an object or array; depth is how many levels it may have.
func scanNested(b []byte, i, depth int) (int, error) {
	if depth == 0 {
		return i, ErrDepth
	}
	object, last := b[i] == '{', byte(']')
	if object {
		last = '}'
	}
	i = space(b, i+1)
	if i < len(b) && b[i] == last {
		return i + 1, nil
	}
	for {
		var err error
		if object {
			if i, err = scanString(b, i); err != nil {
				return i, err
			}
			if i = space(b, i); i >= len(b) || b[i] != ':' {
				return i, ErrJSON
			}
			i = space(b, i+1)
		}
		if i, err = scanValue(b, i, depth-1); err != nil {
			return i, err
		}
		i = space(b, i)
		switch {
		case i < len(b) && b[i] == last:
			return i + 1, nil
		case i >= len(b) || b[i] != ',':
			return i, ErrJSON
		}
		i = space(b, i+1)
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special flags the bytes of w that end a string, escape, are control characters or are beyond ASCII, in
// their highest bits. It tests all eight at once. Because of borrows a flag above the lowest one may be wrong;
// the lowest is right.
func special(w uint64) uint64 {
	control := w - ones*0x20
	quote := w ^ ones*'"'
	slash := w ^ ones*'\\'
	return (control | (quote - ones) | (slash - ones) | w) & highs
}

// scanString returns the index after the string that begins at i.
func scanString(b []byte, i int) (int, error) {
	if i >= len(b) || b[i] != '"' {
		return i, ErrJSON
	}
	for i++; len(b)-i >= 16 && special(binary.LittleEndian.Uint64(b[i:]))|special(binary.LittleEndian.Uint64(b[i+8:])) == 0; {
		i += 16
	}
	for i < len(b) {
		if len(b)-i >= 8 {
			m := special(binary.LittleEndian.Uint64(b[i:]))
			if m == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) / 8
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c == '\\':
			n := escape(b[i:])
			if n == 0 {
				return i, ErrJSON
			}
			i += n
		case c < ' ':
			return i, ErrJSON
		case c < utf8.RuneSelf:
			i++
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				return i, ErrJSON
			}
			i += n
		}
	}
	return i, ErrJSON
}

// escape is the length of the escape sequence that b begins with; 0 if it is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// scanNumber returns the index after the number that begins at i.
func scanNumber(b []byte, i int) (int, error) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return i, ErrJSON
	case b[i] == '0':
		i++
	default:
		end := digits(b, i)
		if end == i {
			return i, ErrJSON
		}
		i = end
	}
	if i < len(b) && b[i] == '.' {
		end := digits(b, i+1)
		if end == i+1 {
			return i, ErrJSON
		}
		i = end
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		end := digits(b, i)
		if end == i {
			return i, ErrJSON
		}
		i = end
	}
	return i, nil
}

// digits is the index of the first byte from i on that is not a decimal digit.
func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}
