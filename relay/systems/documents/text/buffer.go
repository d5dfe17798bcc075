package text

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// chunkSize is the aim for the bytes of a chunk; see BenchmarkStructure for how it was chosen.
const chunkSize = 1024

// Buffer is a text that operations are applied to. It is kept as a list of chunks of about a kilobyte: finding a
// place looks at one number a chunk, and an edit moves the bytes of one or two. The zero value is empty.
type Buffer struct {
	chunks []chunk
	runes  int
	bytes  int
}

// chunk is a piece of the text; never empty, never more than twice chunkSize.
type chunk struct {
	b     []byte
	runes int
}

// NewBuffer is a buffer that holds s, which must be UTF-8.
func NewBuffer(s string) *Buffer {
	t := new(Buffer)
	t.chunks = appendChunks(make([]chunk, 0, len(s)/chunkSize+1), s)
	t.bytes, t.runes = len(s), utf8.RuneCountInString(s)
	return t
}

// appendChunks appends s in chunks.
func appendChunks(dst []chunk, s string) []chunk {
	for len(s) > 0 {
		n := len(s)
		if n > 2*chunkSize {
			for n = chunkSize; !utf8.RuneStart(s[n]); n-- {
			}
		}
		dst = append(dst, chunk{[]byte(s[:n]), utf8.RuneCountInString(s[:n])})
		s = s[n:]
	}
	return dst
}

// Len is the code points of the text.
func (t *Buffer) Len() int { return t.runes }

// Size is its bytes.
func (t *Buffer) Size() int { return t.bytes }

// String is the text.
func (t *Buffer) String() string {
	var b strings.Builder
	b.Grow(t.bytes)
	for _, c := range t.chunks {
		b.Write(c.b)
	}
	return b.String()
}

// AppendJSON appends the text as a JSON string.
func (t *Buffer) AppendJSON(dst []byte) []byte {
	dst = append(slices.Grow(dst, t.bytes+t.bytes/16+2), '"')
	for _, c := range t.chunks {
		// A chunk is whole runes, so that its escapes are those of the whole text; the quotes are in between.
		n := len(dst)
		dst = AppendString(dst, string(c.b))
		dst = append(dst[:n], dst[n+1:len(dst)-1]...)
	}
	return append(dst, '"')
}

// Fits reports whether an operation can be applied. Errors: ErrRange.
func (t *Buffer) Fits(op Op) error {
	n := 0
	for _, c := range op {
		if c.Kind != Insert {
			n += c.N
		}
	}
	if n > t.runes {
		return fmt.Errorf("%w: the text has %d code points, and the operation needs %d", ErrRange, t.runes, n)
	}
	return nil
}

// Apply applies an operation, and writes into its deletes what they have removed, so that it can be taken back.
// Errors: ErrRange, and nothing has changed.
func (t *Buffer) Apply(op Op) error {
	if err := t.Fits(op); err != nil {
		return err
	}
	at := place{}
	for i := range op {
		c := &op[i]
		switch c.Kind {
		case Skip:
			at = t.forward(at, c.N)
		case Insert:
			at = t.insert(at, c.S, c.N)
		case Delete:
			c.S, at = t.remove(at, c.N)
		}
	}
	return nil
}

// place is a byte in a chunk. One at the end of a chunk and one at the beginning of the next are the same.
type place struct {
	chunk, byte, rune int
}

// forward is the place n code points behind at.
func (t *Buffer) forward(at place, n int) place {
	for n > 0 {
		c := &t.chunks[at.chunk]
		left := c.runes - at.rune
		if n < left {
			at.byte += skipRunes(c.b[at.byte:], n, len(c.b) == c.runes)
			at.rune += n
			return at
		}
		n -= left
		at = place{chunk: at.chunk + 1}
	}
	return at
}

// skipRunes is the bytes of the first n runes of b.
func skipRunes(b []byte, n int, ascii bool) int {
	if ascii {
		return n
	}
	i := 0
	for ; n > 0; n-- {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		_, size := utf8.DecodeRune(b[i:])
		i += size
	}
	return i
}

// insert puts s, which has n runes, and returns the place behind it.
func (t *Buffer) insert(at place, s string, n int) place {
	t.runes += n
	t.bytes += len(s)
	if at.byte == 0 && at.chunk > 0 { // the end of the chunk before is as good, and needs no move
		before := t.chunks[at.chunk-1]
		at = place{at.chunk - 1, len(before.b), before.runes}
	}
	if len(t.chunks) == 0 {
		t.chunks = append(t.chunks, chunk{})
	}
	c := &t.chunks[at.chunk]
	if len(c.b)+len(s) <= 2*chunkSize {
		c.b = slices.Insert(c.b, at.byte, []byte(s)...)
		c.runes += n
		at.byte += len(s)
		at.rune += n
		return at
	}
	// What was before, s and what was behind become chunks of their own.
	head, tail := string(c.b[:at.byte]), string(c.b[at.byte:])
	parts := appendChunks(make([]chunk, 0, len(s)/chunkSize+4), head+s)
	end := place{chunk: at.chunk + len(parts)}
	parts = appendChunks(parts, tail)
	t.chunks = slices.Replace(t.chunks, at.chunk, at.chunk+1, parts...)
	return end
}

// remove takes n runes away, and returns them and the place where they were.
func (t *Buffer) remove(at place, n int) (string, place) {
	t.runes -= n
	out := make([]byte, 0, n)
	i := at.chunk
	empty := 0 // chunks before i that nothing is left of
	for from, fromRune := at.byte, at.rune; n > 0; from, fromRune = 0, 0 {
		c := &t.chunks[i]
		k := min(n, c.runes-fromRune)
		end := from + skipRunes(c.b[from:], k, len(c.b) == c.runes)
		out = append(out, c.b[from:end]...)
		c.b = slices.Delete(c.b, from, end)
		c.runes -= k
		n -= k
		if c.runes == 0 {
			empty++
		} else if n == 0 {
			break
		}
		i++
	}
	t.chunks = slices.Delete(t.chunks, i-empty, i)
	t.bytes -= len(out)
	return string(out), t.join(at)
}

// join puts the chunk of a place and the one behind it together if both have become small, so that chunks do not
// become many. It returns the same place.
func (t *Buffer) join(at place) place {
	if at.byte == 0 && at.chunk > 0 {
		at.chunk--
		at.byte, at.rune = len(t.chunks[at.chunk].b), t.chunks[at.chunk].runes
	}
	if at.chunk+1 < len(t.chunks) {
		c, next := &t.chunks[at.chunk], t.chunks[at.chunk+1]
		if len(c.b)+len(next.b) <= chunkSize {
			c.b = append(c.b, next.b...)
			c.runes += next.runes
			t.chunks = slices.Delete(t.chunks, at.chunk+1, at.chunk+2)
		}
	}
	return at
}
