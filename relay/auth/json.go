package auth

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"weir/internal/wire"
)

// members calls f with each member of a part of a token, as wire.Members does: names are compared exactly, and f sees all
// of them and can refuse duplicates. It also refuses strings that are not Unicode: half a surrogate pair would become
// U+FFFD, and two different strings would come out equal. A lenient reading lets two readers disagree about who somebody
// is. Errors: as of wire.Members.
func members(b []byte, f func(name string, v []byte) error) error {
	if halfSurrogate(b) {
		return wire.ErrJSON
	}
	return wire.Members(b, f)
}

// isSyntax reports whether err says that a text is not JSON, or nested too deeply.
func isSyntax(err error) bool { return errors.Is(err, wire.ErrJSON) || errors.Is(err, wire.ErrDepth) }

// halfSurrogate reports whether JSON escapes half of a surrogate pair.
func halfSurrogate(b []byte) bool {
	for i := bytes.IndexByte(b, '\\'); i >= 0; i = bytes.IndexByte(b, '\\') {
		b = b[i:]
		switch unit, ok := escapedUnit(b); {
		case !ok:
			b = b[min(2, len(b)):] // another escape; the scanner judges it
		case !utf16.IsSurrogate(unit):
			b = b[6:]
		default:
			second, _ := escapedUnit(b[6:])
			if utf16.DecodeRune(unit, second) == utf8.RuneError {
				return true
			}
			b = b[12:]
		}
	}
	return false
}

// escapedUnit returns the unit of UTF-16 that b begins with the escape of.
func escapedUnit(b []byte) (unit rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil
}
