package text

// Side says whose insert comes first where two are made at the same place.
type Side uint8

// The sides: the inserts of Left come first. The server transforms with Left, its clients with Right.
const (
	Left Side = iota
	Right
)

// String answers "left" or "right".
func (s Side) String() string {
	if s == Left {
		return "left"
	}
	return "right"
}

// Transform is op as it is to be applied after other, when both were made at the same text.
func Transform(op, other Op, side Side) Op {
	return AppendTransform(make(Op, 0, len(op)+2), op, other, side)
}

// AppendTransform is Transform that builds in dst, which must be empty and share no memory with the operations.
func AppendTransform(dst, op, other Op, side Side) Op {
	t := newTaker(op, Insert)
	for _, o := range other {
		switch o.Kind {
		case Skip:
			for n := o.N; n > 0; {
				c := t.take(n)
				dst = dst.add(c)
				if c.Kind != Insert {
					n -= c.N
				}
			}
		case Insert:
			if c, ok := t.next(); ok && c.Kind == Insert && side == Left {
				dst = dst.add(c)
				t.all()
			}
			dst = dst.add(Skipping(o.N))
		case Delete:
			for n := o.N; n > 0; {
				c := t.take(n)
				if c.Kind == Insert {
					dst = dst.add(c)
				} else {
					n -= c.N // skipped or deleted here, it is gone already
				}
			}
		}
	}
	for {
		c, ok := t.all()
		if !ok {
			return dst.trim()
		}
		dst = dst.add(c)
	}
}

// Compose is the one operation that does what first and then second do.
func Compose(first, second Op) Op {
	out := make(Op, 0, len(first)+len(second))
	t := newTaker(first, Delete)
	for _, o := range second {
		switch o.Kind {
		case Skip:
			for n := o.N; n > 0; {
				c := t.take(n)
				out = out.add(c)
				if c.Kind != Delete {
					n -= c.N
				}
			}
		case Insert:
			out = out.add(o)
		case Delete:
			for rest := o; rest.N > 0; {
				c := t.take(rest.N)
				switch c.Kind {
				case Delete:
					out = out.add(c)
					continue
				case Skip: // what second deletes was there before first
					out = out.add(rest.part(c.N))
				case Insert: // first has put it
				}
				rest = rest.after(c.N)
			}
		}
	}
	for {
		c, ok := t.all()
		if !ok {
			return out.trim()
		}
		out = out.add(c)
	}
}

// part is the first n code points of a component.
func (c Component) part(n int) Component {
	if c.S != "" {
		c.S = c.S[:cut(c.S, n, c.N)]
	}
	c.N = n
	return c
}

// after is a component without its first n code points.
func (c Component) after(n int) Component {
	if c.S != "" {
		c.S = c.S[cut(c.S, n, c.N):]
	}
	c.N -= n
	return c
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

// End is where the cursor of whoever made the operation stands after it: behind its last edit.
func (op Op) End() int {
	at := 0
	for _, c := range op {
		if c.Kind != Delete {
			at += c.N
		}
	}
	return at
}
