package broker

import (
	"bytes"
	"strconv"
	"unsafe"
)

// ChangeView is a change as its parts. It shares the memory of the log and is not to be changed.
type ChangeView struct {
	Seq        uint64
	Op         Op
	Group, Key string
	Data       []byte // JSON on one line; nil: none
	Created    bool   // of a set: the item was not there; what stands in a log does not say
}

// EachChange calls f with the changes that stand in b, in order, until it returns false. They are the broker's own encoding:
// what [Broker.History] and [Reply.Changes] hold, or the Encoded of changes with commas between them. It is trusted to be
// whole: nothing is checked again, and data may nest deeper than what clients send. c is valid during the call only.
func EachChange(b []byte, f func(c *ChangeView) bool) {
	var c ChangeView
	for i := bytes.IndexByte(b, '{'); i >= 0; i = bytes.IndexByte(b, '{') {
		n := objectEnd(b[i:])
		c = readChange(b[i : i+n])
		b = b[i+n:]
		if !f(&c) {
			return
		}
	}
}

// ViewOf reads one change, as its Encoded.
func ViewOf(b []byte) ChangeView { return readChange(b) }

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

// readChange reads one change. Its parts stand in the order in which encode puts them.
func readChange(b []byte) (c ChangeView) {
	rest := bytes.TrimPrefix(b, []byte(partSeq))
	seq, rest, _ := bytes.Cut(rest, []byte(`,"op":"`))
	c.Seq, _ = strconv.ParseUint(string(seq), 10, 64)
	op, rest, _ := bytes.Cut(rest, []byte(`"`))
	c.Op, _ = ParseOp(op)
	name := func(part string) string {
		after, ok := bytes.CutPrefix(rest, []byte(part))
		if !ok {
			return ""
		}
		end := max(bytes.IndexByte(after, '"'), 0) // names need no escapes
		rest = after[min(end+1, len(after)):]
		return unsafe.String(unsafe.SliceData(after), end)
	}
	c.Group, c.Key = name(partGroup), name(partKey)
	if data, ok := bytes.CutPrefix(rest, []byte(partData)); ok {
		c.Data = data[:len(data)-1] // the last brace is the change's
	}
	return c
}
