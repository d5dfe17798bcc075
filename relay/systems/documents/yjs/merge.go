package yjs

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
)

// StateVector is how many clock ticks of each client a replica has.
type StateVector map[uint64]uint64

// ParseStateVector reads a state vector. Errors: ErrForm.
func ParseStateVector(b []byte) (StateVector, error) {
	r := &reader{b: b}
	v := make(StateVector)
	for range r.count(2) {
		client := r.number()
		v[client] = max(v[client], r.number())
	}
	if r.bad || r.at != len(b) {
		return nil, ErrForm
	}
	return v, nil
}

// Append appends the state vector.
func (v StateVector) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	for _, client := range slices.Backward(slices.Sorted(maps.Keys(v))) {
		b = binary.AppendUvarint(binary.AppendUvarint(b, client), v[client])
	}
	return b
}

// Merge puts updates together. Pieces that several of them hold are in the result once.
func Merge(updates ...*Update) *Update {
	u := &Update{deletes: make(deletes)}
	by := make(map[uint64][]piece)
	for _, x := range updates {
		for _, p := range x.clients {
			by[p.client] = append(by[p.client], p.list...)
		}
		for client, list := range x.deletes {
			u.deletes[client] = append(u.deletes[client], list...)
		}
	}
	u.deletes.sort()
	for _, client := range slices.Backward(slices.Sorted(maps.Keys(by))) {
		list := by[client]
		slices.SortStableFunc(list, func(a, b piece) int { return cmp.Compare(a.clock, b.clock) })
		if list = distinct(client, list); len(list) > 0 {
			u.clients = append(u.clients, pieces{client, list})
		}
	}
	return u
}

// distinct is pieces in the order of their clocks, without what is there twice.
func distinct(client uint64, list []piece) []piece {
	out := make([]piece, 0, len(list))
	var end uint64
	for _, p := range list {
		switch {
		case len(out) > 0 && p.end() <= end:
			continue
		case len(out) > 0 && p.clock < end:
			p = p.after(client, end-p.clock)
		}
		out = append(out, p)
		end = p.end()
	}
	return out
}

// Since returns what a replica with a state vector lacks, with all that is deleted.
func (u *Update) Since(v StateVector) *Update {
	out := &Update{deletes: u.deletes}
	for _, p := range u.clients {
		have := v[p.client]
		i := slices.IndexFunc(p.list, func(x piece) bool { return x.end() > have })
		if i < 0 {
			continue
		}
		list := p.list[i:]
		if list[0].clock < have {
			list = append([]piece{list[0].after(p.client, have-list[0].clock)}, list[1:]...)
		}
		out.clients = append(out.clients, pieces{p.client, list})
	}
	return out
}

// vector is how much of each client is there without a gap.
func (u *Update) vector() StateVector {
	v := make(StateVector, len(u.clients))
	for _, p := range u.clients {
		var end uint64
		for _, x := range p.list {
			if x.clock > end {
				break
			}
			end = max(end, x.end())
		}
		if end > 0 {
			v[p.client] = end
		}
	}
	return v
}

// Append appends the update in encoding V1.
func (u *Update) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(u.clients)))
	for _, p := range u.clients {
		gaps := 0
		for i := 1; i < len(p.list); i++ {
			if p.list[i].clock > p.list[i-1].end() {
				gaps++
			}
		}
		b = binary.AppendUvarint(b, uint64(len(p.list)+gaps))
		b = binary.AppendUvarint(b, p.client)
		b = binary.AppendUvarint(b, p.list[0].clock)
		end := p.list[0].clock
		for _, x := range p.list {
			if x.clock > end {
				b = binary.AppendUvarint(append(b, kindSkip), x.clock-end)
			}
			b = x.append(b)
			end = x.end()
		}
	}
	return u.deletes.append(b)
}

// append appends a piece. The bit of a key that does not follow, because the parent does not, is left out as Yjs does.
func (p *piece) append(b []byte) []byte {
	info := p.raw[0]
	if p.kind != kindGC && info&(hasOrigin|hasRightOrigin) != 0 {
		info &^= hasKey
	}
	return append(append(b, info), p.raw[1:]...)
}

// State is what a document has come to, as far as it shows whether an update is new.
type State struct {
	vector  StateVector
	deletes deletes
	gaps    bool // pieces are there whose predecessors are not
}

// NewState is the state of a document that is an update.
func NewState(u *Update) *State {
	s := &State{vector: u.vector(), deletes: make(deletes)}
	s.deletes.add(u.deletes)
	for _, p := range u.clients {
		if len(p.list) > 0 && p.list[len(p.list)-1].end() > s.vector[p.client] {
			s.gaps = true
		}
	}
	return s
}

// Vector is how much of each client is there. It is not to be changed.
func (s *State) Vector() StateVector { return s.vector }

// Gaps reports whether pieces came whose predecessors had not: NewState of everything merged knows whether they have
// by now.
func (s *State) Gaps() bool { return s.gaps }

// New reports whether there is anything new in an update.
func (s *State) New(u *Update) bool {
	for client, list := range u.deletes {
		if slices.ContainsFunc(list, func(x span) bool { return x.length > 0 && !s.deletes.has(client, x) }) {
			return true
		}
	}
	return slices.ContainsFunc(u.clients, func(p pieces) bool {
		return slices.ContainsFunc(p.list, func(x piece) bool { return x.end() > s.vector[p.client] })
	})
}

// Add takes an update in. It reports whether there was anything new in it.
func (s *State) Add(u *Update) bool {
	if !s.New(u) {
		return false
	}
	s.deletes.add(u.deletes)
	for _, p := range u.clients {
		for _, x := range p.list {
			if have := s.vector[p.client]; x.clock > have {
				s.gaps = true
			} else {
				s.vector[p.client] = max(have, x.end())
			}
		}
	}
	return true
}
