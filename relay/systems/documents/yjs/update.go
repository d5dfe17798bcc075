package yjs

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// Update is what an update holds.
type Update struct {
	clients []pieces // by client, the highest first
	deletes deletes
}

// pieces are the structs of one client, in the order of their clocks.
type pieces struct {
	client uint64
	list   []piece
}

// piece is one struct: a run of so many clock ticks of a client.
type piece struct {
	clock, length uint64
	kind          byte   // the lower five bits of its first byte
	raw           []byte // as it stands, the first byte included
}

func (p *piece) end() uint64 { return p.clock + p.length }

// The kinds of structs that are not items, and of contents.
const (
	kindGC      = 0
	kindDeleted = 1
	kindJSON    = 2
	kindBinary  = 3
	kindString  = 4
	kindEmbed   = 5
	kindFormat  = 6
	kindType    = 7
	kindAny     = 8
	kindDoc     = 9
	kindSkip    = 10
)

// Bits of the first byte of an item.
const (
	hasKey         = 0x20 // of a map, where the parent follows
	hasRightOrigin = 0x40
	hasOrigin      = 0x80
	kindBits       = 0x1f
)

// Parse reads an update. It keeps b. Errors: ErrForm.
func Parse(b []byte) (*Update, error) {
	r := &reader{b: b}
	u := new(Update)
	for range r.count(3) {
		n, client, clock := r.count(2), r.number(), r.number()
		p := pieces{client: client}
		for range n {
			x := r.piece(clock)
			clock = x.end()
			if r.bad || clock > maxNumber {
				return nil, ErrForm
			}
			if x.kind != kindSkip {
				p.list = append(p.list, x)
			}
		}
		u.clients = append(u.clients, p)
	}
	u.deletes = r.deletes()
	if r.bad || r.at != len(b) {
		return nil, ErrForm
	}
	slices.SortStableFunc(u.clients, func(a, b pieces) int { return cmp.Compare(b.client, a.client) })
	return u, nil
}

// piece reads a struct that begins at a clock.
func (r *reader) piece(clock uint64) piece {
	from := r.at
	info := r.byte()
	p := piece{clock: clock, kind: info & kindBits}
	if p.kind == kindGC || p.kind == kindSkip {
		p.length = r.number()
	} else {
		r.head(info)
		p.length = r.content(p.kind)
	}
	if p.length == 0 {
		r.fail()
	}
	p.raw = r.b[from:r.at]
	return p
}

// id passes over the client and the clock of another piece.
func (r *reader) id() {
	r.number()
	r.number()
}

// head passes over the origins, parent and key of an item. It returns the bytes of the right origin.
func (r *reader) head(info byte) (right []byte) {
	if info&hasOrigin != 0 {
		r.id()
	}
	from := r.at
	if info&hasRightOrigin != 0 {
		r.id()
	}
	right = r.b[from:r.at]
	if info&(hasOrigin|hasRightOrigin) != 0 {
		return right
	}
	switch r.number() {
	case 1:
		r.text()
	case 0:
		r.id()
	default:
		r.fail()
	}
	if info&hasKey != 0 {
		r.text()
	}
	return nil
}

// content passes over the content of an item and returns its length in clock ticks.
func (r *reader) content(kind byte) uint64 {
	switch kind {
	case kindDeleted:
		return r.number()
	case kindJSON:
		n := r.count(1)
		for range n {
			r.text()
		}
		return uint64(n)
	case kindBinary:
		r.bytes()
	case kindString:
		return units(r.text())
	case kindEmbed:
		r.text()
	case kindFormat:
		r.text()
		r.text()
	case kindType:
		if ref := r.number(); ref == 3 || ref == 5 { // an XML element or hook has a name
			r.text()
		} else if ref > 6 {
			r.fail()
		}
	case kindAny:
		n := r.count(1)
		for range n {
			r.value(maxNesting)
		}
		return uint64(n)
	case kindDoc:
		r.text()
		r.value(maxNesting)
	default:
		r.fail()
	}
	return 1
}

// after is the piece without its first n ticks, as an item of its own. 0 < n < length.
func (p *piece) after(client, n uint64) piece {
	q := piece{clock: p.clock + n, length: p.length - n, kind: p.kind}
	if p.kind == kindGC {
		q.raw = binary.AppendUvarint([]byte{kindGC}, q.length)
		return q
	}
	r := &reader{b: p.raw}
	info := r.byte()
	right := r.head(info)
	b := []byte{info&(kindBits|hasRightOrigin) | hasOrigin}
	b = binary.AppendUvarint(binary.AppendUvarint(b, client), p.clock+n-1)
	b = append(b, right...)
	q.raw = r.appendRest(b, p.kind, n)
	return q
}

// appendRest appends the content that comes now without its first n ticks.
func (r *reader) appendRest(b []byte, kind byte, n uint64) []byte {
	switch kind {
	case kindDeleted:
		return binary.AppendUvarint(b, r.number()-n)
	case kindString:
		s := r.text()
		rest, half := cutUnits(s, n)
		if half { // as Yjs does with half a surrogate pair
			rest = append([]byte("\uFFFD"), rest...)
		}
		return append(binary.AppendUvarint(b, uint64(len(rest))), rest...)
	}
	count := r.number()
	for range n { // what else is longer than a tick is a list
		if kind == kindJSON {
			r.text()
		} else {
			r.value(maxNesting)
		}
	}
	return append(binary.AppendUvarint(b, count-n), r.b[r.at:]...)
}

// cutUnits is s without its first n UTF-16 units; half: the last of those was half a character.
func cutUnits(s []byte, n uint64) (rest []byte, half bool) {
	for n > 0 {
		size := 1
		for size < len(s) && s[size]&0xc0 == 0x80 {
			size++
		}
		wide := uint64(1)
		if size == 4 {
			wide = 2
		}
		s = s[size:]
		if n < wide {
			return s, true
		}
		n -= wide
	}
	return s, false
}
