package relay

import (
	"bytes"
	"strconv"
	"unsafe"

	"weir/broker"
)

// eachChange calls f with the changes that stand in b, a JSON array or what stands in one, in order, until it
// answers false. They are the broker's own encoding, which is trusted to be whole: nothing is checked again, and
// data may nest deeper than what clients send.
func eachChange(b []byte, f func(c *Changed) bool) {
	for {
		i := bytes.IndexByte(b, '{')
		if i < 0 {
			return
		}
		n := objectEnd(b[i:])
		c := readChange(b[i : i+n])
		b = b[i+n:]
		if !f(&c) {
			return
		}
	}
}

// objectEnd is the length of the JSON object that b begins with.
func objectEnd(b []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(b)
}

// readChange reads one change. Its parts stand in the order that broker.Change names.
func readChange(b []byte) (c Changed) {
	rest := bytes.TrimPrefix(b, []byte(`{"seq":`))
	seq, rest, _ := bytes.Cut(rest, []byte(`,"op":"`))
	c.Seq, _ = strconv.ParseUint(string(seq), 10, 64)
	op, rest, _ := bytes.Cut(rest, []byte(`"`))
	switch string(op) {
	case "set":
		c.Op = broker.Set
	case "delete":
		c.Op = broker.Delete
	default:
		c.Op = broker.Send
	}
	name := func(part string) string {
		after, ok := bytes.CutPrefix(rest, []byte(part))
		if !ok {
			return ""
		}
		end := max(bytes.IndexByte(after, '"'), 0) // names need no escapes
		rest = after[min(end+1, len(after)):]
		return unsafe.String(unsafe.SliceData(after), end)
	}
	c.Group, c.Key = name(`,"group":"`), name(`,"key":"`)
	if data, ok := bytes.CutPrefix(rest, []byte(`,"data":`)); ok {
		c.Data = data[:len(data)-1] // the last brace is the change's
	}
	return c
}
