package yjs

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// ErrForm is returned for bytes that are not what they should be.
var ErrForm = errors.New("not a message of Yjs")

// maxNumber is the largest number that its clients can hold.
const maxNumber = 1<<53 - 1

// maxNesting bounds how deep values may nest.
const maxNesting = 64

// reader reads from bytes. After an error it reads zeros, and bad is set.
type reader struct {
	b   []byte
	at  int
	bad bool
}

func (r *reader) fail() { r.bad, r.at = true, len(r.b) }

func (r *reader) byte() byte {
	if r.at >= len(r.b) {
		r.fail()
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

// number reads an unsigned number of variable length.
func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.b[r.at:])
	if size <= 0 || n > maxNumber {
		r.fail()
		return 0
	}
	r.at += size
	return n
}

// count reads how many things follow, each of which takes at least so many bytes.
func (r *reader) count(least int) int {
	n := r.number()
	if n > uint64((len(r.b)-r.at)/least) {
		r.fail()
		return 0
	}
	return int(n)
}

// bytes reads a length and as many bytes.
func (r *reader) bytes() []byte {
	n := r.count(1)
	b := r.b[r.at : r.at+n]
	r.at += n
	return b
}

// text reads a string.
func (r *reader) text() []byte {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.fail()
		return nil
	}
	return b
}

func (r *reader) skip(n int) {
	if len(r.b)-r.at < n {
		r.fail()
		return
	}
	r.at += n
}

// value passes over a value of any type.
func (r *reader) value(nesting int) {
	if nesting == 0 {
		r.fail()
		return
	}
	switch r.byte() {
	case 127, 126, 121, 120: // undefined, null, false, true
	case 125: // a whole number: sign and six bits in the first byte
		for r.byte()&0x80 != 0 {
		}
	case 124:
		r.skip(4)
	case 123, 122:
		r.skip(8)
	case 119:
		r.text()
	case 118:
		for range r.count(2) {
			r.text()
			r.value(nesting - 1)
		}
	case 117:
		for range r.count(1) {
			r.value(nesting - 1)
		}
	case 116:
		r.bytes()
	default:
		r.fail()
	}
}

// units is the length of a string in UTF-16 units, which is how Yjs counts.
func units(b []byte) uint64 {
	var n uint64
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if n++; r >= 0x10000 {
			n++
		}
		b = b[size:]
	}
	return n
}
