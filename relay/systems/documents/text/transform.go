package text

import "unicode/utf8"

// Side is whose insert comes first where two are made at the same place.
type Side uint8

// The sides: the inserts of Left come first. The server transforms with Left, its clients with Right.
const (
	Left Side = iota
	Right
)

// Transform is op as it is to be applied after other, when both were made at the same text.
func Transform(op, other Op, side Side) Op {
	return AppendTransform(make(Op, 0, len(op)+2), op, other, side)
}

// AppendTransform is Transform that builds in dst, which must be empty and share no memory with the operations.
func AppendTransform(dst, op, other Op, side Side) Op {
	t := iterator{op: op, whole: Insert}
	for _, o := range other {
		switch o.Kind {
		case Skip:
			dst = t.appendUpTo(dst, o.N)
		case Insert:
			if c, ok := t.peek(); ok && c.Kind == Insert && side == Left {
				dst = dst.add(c)
				t.skip()
			}
			dst = dst.add(Skipping(o.N))
		case Delete:
			for n := o.N; n > 0; {
				c := t.next(n)
				if c.Kind == Insert {
					dst = dst.add(c)
				} else {
					n -= c.N // skipped or deleted here, it is gone already
				}
			}
		}
	}
	return t.appendRest(dst)
}

// Compose is the one operation that does what first and then second do.
func Compose(first, second Op) Op {
	out := make(Op, 0, len(first)+len(second))
	t := iterator{op: first, whole: Delete}
	for _, o := range second {
		switch o.Kind {
		case Skip:
			out = t.appendUpTo(out, o.N)
		case Insert:
			out = out.add(o)
		case Delete:
			for o.N > 0 {
				c := t.next(o.N)
				if c.Kind == Delete {
					out = out.add(c)
					continue
				}
				deleted, rest := o.split(c.N)
				if c.Kind == Skip { // it was there before first; what first has inserted vanishes
					out = out.add(deleted)
				}
				o = rest
			}
		}
	}
	return t.appendRest(out)
}

// Move is where a cursor stands after the operation. One at the place of an insert stays before it.
func (op Op) Move(cursor int) int {
	at := 0
	for _, c := range op {
		if cursor <= at {
			break
		}
		switch c.Kind {
		case Skip:
			at += c.N
		case Insert:
			at += c.N
			cursor += c.N
		case Delete:
			cursor -= min(c.N, cursor-at)
		}
	}
	return cursor
}

// End is where the cursor of the author stands after the operation: behind its last edit.
func (op Op) End() int {
	at := 0
	for _, c := range op {
		if c.Kind != Delete {
			at += c.N
		}
	}
	return at
}

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
