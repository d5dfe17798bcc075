// Package escape writes names of other protocols as names of weir, and reads them again. It has no state.
//
// Entry points: [Append] and [Undo]; [Plain] makes the table for Append.
package escape

import (
	"strconv"
	"strings"

	"weir/internal/wire"
)

// Plain is which bytes stand for themselves: those that weir's names may hold, but "~" and others.
func Plain(others string) *[256]bool {
	var t [256]bool
	for c := range 256 {
		t[c] = c != '~' && strings.IndexByte(others, byte(c)) < 0 && wire.ValidName([]byte{byte(c)})
	}
	return &t
}

// Append appends text, in which each byte that is not plain is "~" and two hexadecimal digits.
func Append(dst []byte, text string, plain *[256]bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; plain[c] {
			dst = append(dst, c)
		} else {
			dst = append(dst, '~', digits[c>>4], digits[c&15])
		}
	}
	return dst
}

// Undo is the way back. What is no escape stands for itself.
func Undo(text string) string {
	if strings.IndexByte(text, '~') < 0 {
		return text
	}
	b := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '~' && i+2 < len(text) {
			if n, err := strconv.ParseUint(text[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, text[i])
	}
	return string(b)
}
