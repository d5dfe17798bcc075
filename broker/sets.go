package broker

import "bytes"

// AppendSet appends what an append is told as to readers that know no appends: a set of the whole text, which is a JSON string without its closing
// quote. change is encoded, or begins otherwise before its op.
func AppendSet(dst, change, text []byte) []byte {
	head, rest, _ := bytes.Cut(change, []byte(partAppend))
	names, _, _ := bytes.Cut(rest, []byte(partData)) // names hold no quotes
	dst = append(append(append(dst, head...), partSet...), names...)
	return append(append(append(dst, partData...), text...), `"}`...)
}

// isAppend reports whether an encoded change is an append.
func isAppend(encoded []byte) bool {
	i := len(partSeq)
	for encoded[i] >= '0' && encoded[i] <= '9' {
		i++
	}
	return bytes.HasPrefix(encoded[i:], []byte(partAppend))
}

// array returns entries from..to of the log as the reader of a part of the channel is told them, a JSON array, unless it gets longer than most
// bytes (0: no limit).
func (c *Channel) array(from, to int, p part, most int) ([]byte, bool) {
	l := c.log
	if !p.appends {
		for i := from; i < to; i++ {
			if isAppend(l.at(i).encoded) {
				return c.arrayOfSets(from, to, p, most)
			}
		}
	}
	return l.array(from, to, p, most)
}

// behind is what is known of the changes of an item that come after a place in the log.
type behind struct {
	settled bool // a set or a delete is among them
	told    bool // the last of the appends that are told has been found
	size    int  // bytes that appends among them have put behind the text
}

// arrayOfSets is array where there are appends, for a reader that knows none: see JoinRequest.Appends. What the text was at an append is what it is
// now without what was appended since.
func (c *Channel) arrayOfSets(from, to int, p part, most int) ([]byte, bool) {
	l, after := c.log, make(map[[2]string]*behind)
	told := make([][]byte, to-from) // nil: it is left out
	for i := l.size - 1; i >= from; i-- {
		encoded := l.at(i).encoded
		v := readChange(encoded)
		id := [2]string{v.Group, v.Key}
		if i < to && v.Op != Append {
			told[i-from] = encoded
		}
		if v.Op == Send {
			continue
		}
		x := after[id]
		if x == nil {
			x = new(behind)
			after[id] = x
		}
		if v.Op != Append {
			x.settled = true
			continue
		}
		if d := c.items.datum(v.Group, v.Key); i < to && !x.settled && !x.told && d.isText() && l.at(i).in(&p) {
			x.told = true
			text := d.text()
			told[i-from] = AppendSet(nil, encoded, text[:len(text)-x.size])
		}
		x.size += len(textOf(v.Data))
	}
	array := []byte{'['}
	for i, encoded := range told {
		if encoded != nil && l.at(from+i).in(&p) {
			array = append(append(array, encoded...), ',')
		}
	}
	if most > 0 && len(array) > most {
		return nil, false
	}
	if len(array) == 1 {
		return emptyArray, true
	}
	array[len(array)-1] = ']'
	return array, true
}
