package check

import "bytes"

// object walks a flat JSON object whose names are single letters and whose values are unsigned
// integers or strings without escapes: all that a stamp may be.
type object struct {
	b    []byte
	i    int
	name byte
	any  bool // a field was read
	bad  bool
}

func (p *object) fail() { p.bad = true }

func (p *object) space() {
	for p.i < len(p.b) && (p.b[p.i] == ' ' || p.b[p.i] == '\n' || p.b[p.i] == '\t' || p.b[p.i] == '\r') {
		p.i++
	}
}

// take consumes c after white space.
func (p *object) take(c byte) bool {
	p.space()
	if p.i >= len(p.b) || p.b[p.i] != c {
		return false
	}
	p.i++
	return true
}

// field reads up to the next field's value and reports whether there is one. After the last field
// nothing but white space may follow.
func (p *object) field() bool {
	if p.bad {
		return false
	}
	if !p.any {
		p.bad = !p.take('{')
	} else if p.take('}') {
		p.space()
		p.bad = p.i != len(p.b)
		return false
	} else {
		p.bad = !p.take(',')
	}
	p.any = true
	if p.bad || !p.take('"') || p.i+2 > len(p.b) || p.b[p.i+1] != '"' {
		p.bad = true
		return false
	}
	p.name = p.b[p.i]
	p.i += 2
	p.bad = !p.take(':')
	p.space()
	return !p.bad
}

// number reads an unsigned integer of at most limit.
func (p *object) number(limit uint64) uint64 {
	start, n := p.i, uint64(0)
	for ; p.i < len(p.b) && p.b[p.i]-'0' <= 9; p.i++ {
		d := uint64(p.b[p.i] - '0')
		if n > (limit-d)/10 {
			p.fail()
			return 0
		}
		n = n*10 + d
	}
	if p.i == start {
		p.fail()
	}
	return n
}

// text reads a string without escapes.
func (p *object) text() []byte {
	if !p.take('"') {
		p.fail()
		return nil
	}
	end := bytes.IndexByte(p.b[p.i:], '"')
	if end < 0 {
		p.fail()
		return nil
	}
	s := p.b[p.i : p.i+end]
	p.i += end + 1
	if bytes.IndexByte(s, '\\') >= 0 {
		p.fail()
	}
	return s
}
