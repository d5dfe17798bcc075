package broker

import (
	"bytes"
	"fmt"
	"math"
	"unicode/utf8"
	"unsafe"
)

// datum is the data of an item, or nothing. What was set lies in the change that set it, which is shared with the log. What appends have made
// or grown lies in a buffer with room behind it, as a JSON string without its closing quote: an append costs what it appends, and what has been
// read of the buffer stays as it is, whatever comes behind it. What has a form is made from it on demand.
type datum struct {
	source any    // a Form, of an object of data.size bytes; or the first of the bytes, a *byte: with both at once an item would take 96 instead of 80 B; or nil
	length uint32 // of the bytes
	room   uint32 // what of their memory is theirs
	data   span   // where the data lies in them. Of what grows: how many code points it has, and the flags below
}

// datumOf is data that lies in bytes.
func datumOf(encoded []byte, data span) datum {
	return datum{unsafe.SliceData(encoded), uint32(len(encoded)), uint32(min(uint64(cap(encoded)), math.MaxUint32)), data}
}

// encoded are the bytes, and nil if it has a form.
func (d *datum) encoded() []byte {
	first, _ := d.source.(*byte)
	return unsafe.Slice(first, d.room)[:d.length]
}

// form is what the data is made from; nil if it lies in bytes.
func (d *datum) form() Form {
	if _, ok := d.source.(*byte); ok || d.source == nil {
		return nil
	}
	return d.source.(Form)
}

// The flags in datum.data.size.
const (
	flagGrows = 1 << 31
	flagHalf  = 1 // it ends with the first half of a surrogate pair
)

func (d *datum) growing() bool { return d.data.size&flagGrows != 0 }

// held is the number of bytes that the data is counted with.
func (d *datum) held() int {
	if d.form() != nil {
		return d.size()
	}
	return int(d.length)
}

// size is the number of bytes of the data.
func (d *datum) size() int {
	if d.growing() {
		return int(d.length) + len(`"`)
	}
	return int(d.data.size)
}

// appendTo appends the data.
func (d *datum) appendTo(dst []byte) []byte {
	if d.growing() {
		return append(append(dst, d.encoded()...), '"')
	}
	if form := d.form(); form != nil {
		return form.AppendTo(dst)
	}
	return append(dst, d.data.of(d.encoded())...)
}

// value is the data. It does not change any more.
func (d *datum) value() []byte {
	if d.growing() || d.form() != nil {
		return d.appendTo(make([]byte, 0, d.size()))
	}
	return d.data.of(d.encoded())
}

// isText reports whether the data is a JSON string.
func (d *datum) isText() bool {
	return d.growing() || d.length > 0 && d.data.size > 0 && d.encoded()[d.data.from] == '"'
}

// text is the data of what is text, without its closing quote. It does not change any more.
func (d *datum) text() []byte {
	if d.growing() {
		return d.encoded()[:d.length:d.length]
	}
	end := d.data.from + d.data.size - 1
	return d.encoded()[d.data.from:end:end]
}

// points is how many code points a text has, and whether it ends with the first half of a surrogate pair.
func (d *datum) points() (n int, half bool) {
	if d.growing() {
		return int(d.data.from), d.data.size&flagHalf != 0
	}
	if !d.isText() {
		return 0, false
	}
	n, _, half = measure(d.text()[1:])
	return n, half
}

// with returns the text with more behind it, JSON text without quotes. Of what is not text nothing is kept.
func (d *datum) with(more []byte) datum {
	n, half := d.points()
	added, second, first := measure(more)
	if half && second {
		added--
	}
	b := d.encoded()
	switch {
	case d.growing():
	case d.isText():
		b = append(make([]byte, 0, 2*int(d.data.size)+len(more)), d.text()...)
	default:
		b = append(make([]byte, 0, 64+2*len(more)), '"')
	}
	g := datumOf(append(b, more...), span{uint32(n + added), flagGrows})
	if first || half && len(more) == 0 {
		g.data.size |= flagHalf
	}
	return g
}

// measure counts the code points of JSON text without quotes. A half of a surrogate pair that stands alone counts as one; it says whether the
// text begins with the second half of one, and whether it ends with the first.
func measure(text []byte) (points int, second, first bool) {
	if bytes.IndexByte(text, '\\') < 0 {
		return utf8.RuneCount(text), false, false
	}
	for i := 0; i < len(text); points++ {
		unit := unitAt(text, i)
		switch {
		case unit >= 0xd800 && unit < 0xdc00:
			if i += unitSize; unitAt(text, i)&^0x3ff == 0xdc00 {
				i += unitSize
			} else {
				first = i == len(text)
			}
		case unit >= 0:
			second = second || i == 0 && unit&^0x3ff == 0xdc00
			i += unitSize
		case text[i] == '\\':
			i += len(`\n`)
		default:
			_, size := utf8.DecodeRune(text[i:])
			i += size
		}
	}
	return points, second, first
}

const unitSize = len(`\u0000`)

// unitAt is the UTF-16 unit that an escape at i stands for; -1 if there is none.
func unitAt(text []byte, i int) (unit int) {
	if len(text)-i < unitSize || text[i] != '\\' || text[i+1] != 'u' {
		return -1
	}
	for _, c := range text[i+2 : i+unitSize] {
		unit <<= 4
		switch {
		case c >= 'a':
			unit |= int(c - 'a' + 10)
		case c >= 'A':
			unit |= int(c - 'A' + 10)
		default:
			unit |= int(c - '0')
		}
	}
	return unit
}

// textOf is the text of data that is a JSON string, without its quotes.
func textOf(data []byte) []byte { return data[1 : len(data)-1] }

// OffsetError is returned for an append at another place than the end.
type OffsetError struct {
	Want uint64 // how many code points the text has
}

// Error implements error.
func (e *OffsetError) Error() string {
	return fmt.Sprintf("the text has %d code points: offset must be %d", e.Want, e.Want)
}

// admitAppend reports whether an append may be made. One that completes a surrogate pair becomes a set of the whole text: most readers
// decode what is appended by itself, and would never have that character.
func (c *Channel) admitAppend(now int64, e *Entry, p *Publication) error {
	d, there := c.upcoming(e.Group, e.Key)
	if there && !d.isText() {
		return ErrNotText
	}
	more := textOf(e.Data)
	_, second, _ := measure(more)
	if p.HasOffset {
		if n, _ := d.points(); uint64(n) != p.Offset {
			return &OffsetError{Want: uint64(n)}
		}
		if second {
			return ErrHalf
		}
	}
	size := len(e.Data)
	if there {
		size = d.size() + len(more)
	}
	if most := c.policy.ItemBytes; most > 0 && size > most {
		return ErrItemTooLarge
	}
	if err := c.items.admitText(c.policy, e, size); err != nil {
		return err
	}
	if !second || !there {
		return nil
	}
	if _, half := d.points(); half {
		e.Op, e.Data = Set, append(append(append(make([]byte, 0, size), d.text()...), more...), '"')
		if i := c.items.find(e.Group, e.Key); e.TTL == 0 && i != nil && i.ttl != nil {
			e.TTL = max(1, i.left(now))
		}
	}
	return nil
}

// upcoming is the data that an item has when all that is queued has been applied; false if there is none then.
func (c *Channel) upcoming(group, key string) (d datum, there bool) {
	if c.ahead() {
		if q := c.durable.coming[[2]string{group, key}]; q != nil {
			return q.datum, q.there
		}
	}
	if i := c.items.find(group, key); i != nil {
		return i.datum, true
	}
	return d, false
}
