package text

import "unicode/utf8"

// Kind is what a component does.
type Kind uint8

// The kinds of components.
const (
	Skip   Kind = iota // passes over N code points
	Insert             // puts S, which has N code points
	Delete             // removes N code points; S is what they were, if that is known
)

// Component is one step of an operation.
type Component struct {
	Kind Kind
	N    int // code points; 1 or more
	S    string
}

// Op is an operation: components in the order of the text, none of them empty, no two neighbours that could be
// one, no skip at the end. nil changes nothing.
type Op []Component

// Skipping is a component that passes over n code points.
func Skipping(n int) Component { return Component{Kind: Skip, N: n} }

// Inserting is a component that puts s.
func Inserting(s string) Component {
	return Component{Kind: Insert, N: utf8.RuneCountInString(s), S: s}
}

// Deleting is a component that removes n code points.
func Deleting(n int) Component { return Component{Kind: Delete, N: n} }

// Growth is by how many bytes an operation makes a text longer: an upper bound where it is not known what is deleted.
func (op Op) Growth() (bytes int) {
	for _, c := range op {
		switch c.Kind {
		case Insert:
			bytes += len(c.S)
		case Delete:
			bytes -= max(len(c.S), c.N)
		case Skip:
		}
	}
	return bytes
}

// add appends a component and joins it with the last one where that is the same operation.
func (op Op) add(c Component) Op {
	if c.N == 0 {
		return op
	}
	if len(op) == 0 || op[len(op)-1].Kind != c.Kind {
		return append(op, c)
	}
	last := &op[len(op)-1]
	last.N += c.N
	switch {
	case c.Kind == Insert, c.Kind == Delete && last.S != "" && c.S != "":
		last.S += c.S
	default:
		last.S = "" // one of the two is not known
	}
	return op
}

// trim takes skips off the end.
func (op Op) trim() Op {
	if n := len(op); n > 0 && op[n-1].Kind == Skip {
		return op[:n-1]
	}
	return op
}

// Plain is the operation without what its deletes have removed.
func (op Op) Plain() Op {
	out := make(Op, len(op))
	for i, c := range op {
		if c.Kind == Delete {
			c.S = ""
		}
		out[i] = c
	}
	return out
}

// Invert is the operation that takes this one back. Every delete must know what it removed (see Buffer.Apply);
// one that does not is taken back by nothing.
func (op Op) Invert() Op {
	out := make(Op, 0, len(op))
	for _, c := range op {
		switch c.Kind {
		case Insert:
			c.Kind = Delete
		case Delete:
			c.Kind = Insert
			if c.S == "" {
				c.N = 0
			}
		case Skip:
		}
		out = out.add(c)
	}
	return out.trim()
}

// Diff is an operation that makes to of from: what they have in common at both ends stays.
func Diff(from, to string) Op {
	head, skip := 0, 0
	for head < len(from) && head < len(to) {
		a, n := utf8.DecodeRuneInString(from[head:])
		if b, _ := utf8.DecodeRuneInString(to[head:]); a != b {
			break
		}
		head += n
		skip++
	}
	from, to = from[head:], to[head:]
	for len(from) > 0 && len(to) > 0 {
		a, n := utf8.DecodeLastRuneInString(from)
		if b, _ := utf8.DecodeLastRuneInString(to); a != b {
			break
		}
		from, to = from[:len(from)-n], to[:len(to)-n]
	}
	op := make(Op, 0, 3)
	op = op.add(Skipping(skip)).add(Inserting(to))
	return op.add(Deleting(utf8.RuneCountInString(from))).trim()
}
