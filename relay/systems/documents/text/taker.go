package text

// taker walks over an operation in pieces.
type taker struct {
	op      Op
	i       int       // component
	rest    Component // of it; N is 0 when it has not been begun
	divides [3]bool   // kinds that may be cut in pieces
}

// newTaker walks over op; components of the kind whole are taken as they are or not at all.
func newTaker(op Op, whole Kind) taker {
	t := taker{op: op, divides: [3]bool{true, true, true}}
	t.divides[whole] = false
	return t
}

// next is the component that comes now, in whole; false at the end.
func (t *taker) next() (Component, bool) {
	if t.rest.N > 0 {
		return t.rest, true
	}
	if t.i < len(t.op) {
		return t.op[t.i], true
	}
	return Component{}, false
}

// all takes the component that comes now, in whole; false at the end.
func (t *taker) all() (Component, bool) {
	c, ok := t.next()
	if ok {
		t.rest.N = 0
		t.i++
	}
	return c, ok
}

// take takes at most n code points; behind the end of the operation everything is skipped.
func (t *taker) take(n int) Component {
	c, ok := t.next()
	if !ok {
		return Skipping(n)
	}
	if c.N <= n || !t.divides[c.Kind] {
		t.rest.N = 0
		t.i++
		return c
	}
	t.rest = c
	t.rest.N -= n
	if c.S != "" {
		at := cut(c.S, n, c.N)
		t.rest.S = c.S[at:]
		c.S = c.S[:at]
	}
	c.N = n
	return c
}
