package record

import (
	"fmt"

	"weir/broker"
)

// ItemDelta is what becomes of an item. Its key in the map is group, NUL, key.
type ItemDelta struct {
	Deleted bool // what the database has of it is dropped
	Set     bool
	Born    uint64 // seq of the change that made it, if deleted; otherwise the database may know better
	ends    int64
	data    []byte
	grown   [][]byte // what appends have put behind data or, unless it was set or deleted, behind what the database has: JSON strings
	renewed bool     // ends is that of an append
}

// NewItem is an item that was made, in the place of what the database may have of it.
func NewItem(born uint64, ends int64, data []byte) *ItemDelta {
	return &ItemDelta{Deleted: true, Set: true, Born: born, ends: ends, data: data}
}

// There reports whether there is an item.
func (i *ItemDelta) There() bool { return i.Set || len(i.grown) > 0 }

// Grown reports whether appends have grown it.
func (i *ItemDelta) Grown() bool { return len(i.grown) > 0 }

// add takes the next change.
func (i *ItemDelta) add(r *record) {
	if r.change.op == broker.Delete {
		*i = ItemDelta{Deleted: true}
		return
	}
	if !i.There() {
		i.Born = r.seq
	}
	if r.change.op == broker.Append {
		i.grown = append(i.grown, r.change.data)
		if r.ends != 0 {
			i.ends, i.renewed = r.ends, true
		}
		return
	}
	i.Set, i.grown = true, nil
	i.data, i.ends = r.change.data, r.ends
}

// Value returns the data of the item, and the end of its time to live, where the database has the item before, with ends. Errors: ErrCorrupt, if it has no
// text that was appended to.
func (i *ItemDelta) Value(before []byte, ends int64) ([]byte, int64, error) {
	if len(i.grown) == 0 {
		return i.data, i.ends, nil
	}
	switch {
	case i.Set:
		before, ends = i.data, i.ends
	case i.Deleted:
		before, ends = nil, i.ends
	}
	if i.renewed {
		ends = i.ends
	}
	size := len(before) + len(`""`)
	for _, more := range i.grown {
		size += len(more)
	}
	text := append(make([]byte, 0, size), '"')
	for n, part := range append([][]byte{before}, i.grown...) {
		switch {
		case n == 0 && part == nil: // the first one has begun it
		case len(part) < 2 || part[0] != '"':
			return nil, 0, fmt.Errorf("an append to an item that is not text: %w", ErrCorrupt)
		default:
			text = append(text, part[1:len(part)-1]...)
		}
	}
	return append(text, '"'), ends, nil
}
