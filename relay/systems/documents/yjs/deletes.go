package yjs

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
)

// span is a run of clock ticks.
type span struct{ clock, length uint64 }

// deletes is what is deleted, by client. Spans are in order and do not touch, once sorted.
type deletes map[uint64][]span

func (r *reader) deletes() deletes {
	d := make(deletes)
	for range r.count(2) {
		client := r.number()
		for range r.count(2) {
			s := span{r.number(), r.number()}
			if s.clock+s.length > maxNumber {
				r.fail()
			}
			d[client] = append(d[client], s)
		}
	}
	d.sort()
	return d
}

// sort puts spans in order, and those that touch together.
func (d deletes) sort() {
	for client, list := range d {
		d[client] = joined(list)
	}
}

func joined(list []span) []span {
	slices.SortFunc(list, func(a, b span) int { return cmp.Compare(a.clock, b.clock) })
	out := list[:0]
	for _, s := range list {
		if n := len(out); n > 0 && s.clock <= out[n-1].clock+out[n-1].length {
			out[n-1].length = max(out[n-1].length, s.clock+s.length-out[n-1].clock)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// add adds what another set deletes.
func (d deletes) add(other deletes) {
	for client, list := range other {
		for _, s := range list {
			if s.length > 0 && !d.has(client, s) {
				d[client] = joined(append(slices.Clip(d[client]), s))
			}
		}
	}
}

// has reports whether all of a span is deleted.
func (d deletes) has(client uint64, s span) bool {
	list := d[client]
	i, exact := slices.BinarySearchFunc(list, s.clock, func(x span, clock uint64) int { return cmp.Compare(x.clock, clock) })
	if !exact {
		i--
	}
	return i >= 0 && list[i].clock+list[i].length >= s.clock+s.length
}

// append appends the set, the highest client first.
func (d deletes) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(d)))
	clients := slices.Sorted(maps.Keys(d))
	for _, client := range slices.Backward(clients) {
		b = binary.AppendUvarint(binary.AppendUvarint(b, client), uint64(len(d[client])))
		for _, s := range d[client] {
			b = binary.AppendUvarint(binary.AppendUvarint(b, s.clock), s.length)
		}
	}
	return b
}
