package text

import "unicode/utf8"

// iterator walks over an operation in pieces.
type iterator struct {
	op    Op
	i     int       // component
	rest  Component // of it; N is 0 when it has not been begun
	whole Kind      // components of this kind are not cut in pieces
}

// peek returns the component that comes now; false at the end.
func (t *iterator) peek() (Component, bool) {
	if t.rest.N > 0 {
		return t.rest, true
	}
	if t.i < len(t.op) {
		return t.op[t.i], true
	}
	return Component{}, false
}

// skip goes on behind the component that comes now.
func (t *iterator) skip() {
	t.rest.N = 0
	t.i++
}

// next returns at most n code points and goes on behind them. Behind the end of the operation everything is skipped.
func (t *iterator) next(n int) Component {
	c, ok := t.peek()
	if !ok {
		return Skipping(n)
	}
	if c.N <= n || c.Kind == t.whole {
		t.skip()
		return c
	}
	c, t.rest = c.split(n)
	return c
}

// appendUpTo appends n code points to dst, and the whole components that stand among them.
func (t *iterator) appendUpTo(dst Op, n int) Op {
	for n > 0 {
		c := t.next(n)
		dst = dst.add(c)
		if c.Kind != t.whole {
			n -= c.N
		}
	}
	return dst
}

// appendRest appends what is left, and returns dst in normal form.
func (t *iterator) appendRest(dst Op) Op {
	for c, ok := t.peek(); ok; c, ok = t.peek() {
		dst = dst.add(c)
		t.skip()
	}
	return dst.trim()
}

// split cuts a component behind its first n code points.
func (c Component) split(n int) (first, rest Component) {
	first, rest = c, c
	first.N, rest.N = n, c.N-n
	if c.S != "" {
		at := byteOf(c.S, n, c.N)
		first.S, rest.S = c.S[:at], c.S[at:]
	}
	return first, rest
}

// byteOf is the byte at which the rune with index n begins in s, which has count runes.
func byteOf(s string, n, count int) int {
	if len(s) == count {
		return n
	}
	i := 0
	for ; n > 0; n-- {
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return i
}
