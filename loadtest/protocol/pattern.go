package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Matcher is a compiled Pattern.
type Matcher struct {
	text, prefix []byte
	whole        bool
	values       []wanted
	none         bool // nothing was given: everything matches
}

// wanted is a value that has to be somewhere.
type wanted struct {
	path    Path
	any     bool      // anything but nothing
	nothing bool      // nothing, or null
	text    *Template // a text
	raw     []byte    // or another value
}

// compile compiles a pattern. None of it depends on the client but the texts of match.
func (c *compiler) matcher(at string, p Pattern) *Matcher {
	m := &Matcher{none: p.Text == "" && p.Prefix == "" && len(p.Match) == 0, whole: p.Text != ""}
	m.text = c.constant(at+".text", p.Text)
	m.prefix = c.constant(at+".prefix", p.Prefix)
	for _, path := range slices.Sorted(maps.Keys(p.Match)) {
		w := wanted{path: c.path(at+".match", path)}
		switch v := p.Match[path].(type) {
		case nil:
			w.nothing = true
		case string:
			if w.any = v == "*"; !w.any {
				w.text = c.template(at+".match."+path, v, asHeader, inClient)
			}
		case bool, uint64, int64, int, float64:
			w.raw, _ = json.Marshal(v) // numbers and booleans never fail, but for NaN, which matches nothing
		default:
			c.wrong(at+".match."+path, fmt.Sprint(v), "a text, a number, true, false or null")
		}
		m.values = append(m.values, w)
	}
	return m
}

// Rest reports whether a message matches, and what of it follows the prefix.
func (m *Matcher) Rest(msg []byte, v *Values, row map[string]string) (rest []byte, ok bool) {
	if m.whole {
		return nil, bytes.Equal(msg, m.text)
	}
	rest, ok = bytes.CutPrefix(msg, m.prefix)
	if !ok {
		return nil, false
	}
	for i := range m.values {
		if !m.values[i].holds(rest, v, row) {
			return nil, false
		}
	}
	return rest, true
}

// Uses reports whether a text that has to be somewhere has one of the variables.
func (m *Matcher) Uses(names ...string) bool {
	return slices.ContainsFunc(m.values, func(w wanted) bool { return w.text != nil && w.text.Uses(names...) })
}

// Everything reports whether the pattern says nothing.
func (m *Matcher) Everything() bool { return m.none }

func (w *wanted) holds(msg []byte, v *Values, row map[string]string) bool {
	raw, ok := w.path.Get(msg)
	null := !ok || string(raw) == "null"
	switch {
	case w.nothing:
		return null
	case null:
		return false
	case w.any:
		return true
	case w.text == nil:
		return bytes.Equal(raw, w.raw) || number(raw, w.raw)
	}
	text, _ := Text(raw)
	var room [64]byte
	return bytes.Equal(text, w.text.Append(room[:0], v, row))
}

// number reports whether two JSON numbers are the same, whatever they look like.
func number(a, b []byte) bool {
	var x, y float64
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && x == y
}

// Compile compiles a pattern that stands by itself. The error wraps ErrInvalid; at is where it stands, in errors.
func (p Pattern) Compile(at string) (*Matcher, error) {
	c := &compiler{}
	m := c.matcher(at, p)
	if m.none {
		c.wrong(at, "empty", "text, prefix or match")
	}
	return m, errors.Join(c.faults...)
}

// ParseText compiles what a client sends, by itself. The error wraps ErrInvalid.
func ParseText(at, text string, vars map[string]string) (*Template, error) {
	c := &compiler{vars: vars}
	return c.template(at, text, asMessage, inClient), errors.Join(c.faults...)
}
