package lookup

import (
	"hash/maphash"
	"iter"
)

// Table holds objects by their keys. Of two with the same key it has the one that was put last. An object's key does not change while it is in a
// table. The zero value is empty; it is not safe for concurrent use.
type Table[T any, K interface{ Key(object *T) string }] struct {
	places []*T     // their number is 0 or a power of two. An object is in the place that its hash names, or in the first behind that was free
	hashes []uint32 // of the keys of what is in them
	count  int
}

// The sizes of tables.
const (
	fewest  = 4  // places of one that is not empty
	keeping = 64 // places that are kept although they have become too many
)

var seed = maphash.MakeSeed()

func hashOf(key string) uint32 { return uint32(maphash.String(seed, key)) }

// Len is how many objects there are; of nil, none.
func (t *Table[T, K]) Len() int {
	if t == nil {
		return 0
	}
	return t.count
}

// Find returns the object of a key, or nil. Of a nil table that is all it returns.
func (t *Table[T, K]) Find(key string) *T {
	if t.Len() == 0 {
		return nil
	}
	return t.places[t.place(key, hashOf(key))]
}

// place is where the object of a key is or, in a free place, would be.
func (t *Table[T, K]) place(key string, hash uint32) int {
	var of K
	last := uint32(len(t.places) - 1)
	at := hash & last
	for ; t.places[at] != nil; at = (at + 1) & last {
		if t.hashes[at] == hash && of.Key(t.places[at]) == key {
			break
		}
	}
	return int(at)
}

// Put adds an object, in the place of one with the same key if there is one.
func (t *Table[T, K]) Put(object *T) {
	if 8*(t.count+1) > 7*len(t.places) {
		t.resize(max(fewest, 2*len(t.places)))
	}
	var of K
	key := of.Key(object)
	hash := hashOf(key)
	at := t.place(key, hash)
	if t.places[at] == nil {
		t.count++
	}
	t.places[at], t.hashes[at] = object, hash
}

// Remove takes the object of a key out, if there is one.
func (t *Table[T, K]) Remove(key string) {
	if t.count == 0 {
		return
	}
	free := uint32(t.place(key, hashOf(key)))
	if t.places[free] == nil {
		return
	}
	last := uint32(len(t.places) - 1)
	for at := (free + 1) & last; t.places[at] != nil; at = (at + 1) & last {
		if (at-t.hashes[at])&last >= (at-free)&last { // it would be found no more behind a free place: it is as far from its own, or farther
			t.places[free], t.hashes[free] = t.places[at], t.hashes[at]
			free = at
		}
	}
	t.places[free] = nil
	if t.count--; len(t.places) > keeping && 8*t.count < len(t.places) {
		t.resize(len(t.places) / 2)
	}
}

// resize makes so many places. No key is hashed, and none is looked at.
func (t *Table[T, K]) resize(n int) {
	places, hashes, last := make([]*T, n), make([]uint32, n), uint32(n-1)
	for i, object := range t.places {
		if object == nil {
			continue
		}
		at := t.hashes[i] & last
		for places[at] != nil {
			at = (at + 1) & last
		}
		places[at], hashes[at] = object, t.hashes[i]
	}
	t.places, t.hashes = places, hashes
}

// All are the objects, in no order. The table is not changed meanwhile.
func (t *Table[T, K]) All() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for _, object := range t.places {
			if object != nil && !yield(object) {
				return
			}
		}
	}
}
