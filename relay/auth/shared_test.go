package auth

import (
	"hash/maphash"
	"slices"
	"testing"
	"unsafe"
)

// Equal lists are one from the third time on; others are not taken for them, wherever their hashes lie.
func TestGrantsAreShared(t *testing.T) {
	s := sharedGrants{seed: maphash.MakeSeed()}
	rooms := func() []Grant { return []Grant{{"room:*", Subscribe}, {"chat:*", Subscribe | Publish}} }
	first, second, third := s.of(rooms()), s.of(rooms()), s.of(rooms())
	if !slices.Equal(first, rooms()) || !slices.Equal(second, rooms()) || unsafe.SliceData(second) != unsafe.SliceData(third) {
		t.Errorf("%v, then %v at %p, then %v at %p", first, second, second, third, third)
	}
	for i := range s.places { // as if all lists had the same place
		s.places[i].list.Store(&third)
	}
	for _, other := range [][]Grant{{{"room:*", Publish}, {"chat:*", Subscribe | Publish}}, {{"room:*", Subscribe}}, {{"room:1", Subscribe}}} {
		for range 3 {
			if got := s.of(other); !slices.Equal(got, other) {
				t.Errorf("%v became %v", other, got)
			}
		}
	}
}
