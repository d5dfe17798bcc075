package check

import (
	"testing"

	"pgregory.net/rapid"
)

// A Stream agrees with a set that remembers everything.
func TestStreamAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		numbers := rapid.SliceOf(rapid.Uint64Range(1, 60)).Draw(t, "numbers")
		keys := rapid.IntRange(1, 7).Draw(t, "keys")
		l := NewLatest(keys)
		seen, top := map[uint64]bool{}, uint64(0)
		var duplicated, reordered uint64
		for _, n := range numbers {
			want := InOrder
			switch {
			case seen[n]:
				want = Duplicate
				duplicated++
			case n < top:
				want = Reordered
				reordered++
			}
			seen[n], top = true, max(top, n)
			if got := l.Add(n); got != want {
				t.Fatalf("%d of %v is %v, want %v", n, numbers, got, want)
			}
		}
		published := rapid.Uint64Range(top, 80).Draw(t, "published")
		missing, stale := uint64(0), uint64(0)
		for n := uint64(1); n <= published; n++ {
			if seen[n] {
				continue
			}
			missing++
			if n+uint64(keys) > published {
				stale++
			}
		}
		if l.Missing(published) != missing || l.Received != uint64(len(seen)) || l.Duplicated != duplicated || l.Reordered != reordered || l.top != top {
			t.Fatalf("%v of %d: missing %d, want %d; %+v", numbers, published, l.Missing(published), missing, l.Stream)
		}
		if got := l.Stale(published); got != stale {
			t.Fatalf("%v of %d with %d keys: stale %d, want %d", numbers, published, keys, got, stale)
		}
	})
}

// Very many holes cost bounded memory, and stay counted.
func TestStreamForgetsTheOldestHoles(t *testing.T) {
	var s Stream
	const n = 3 * spanLimit
	for i := uint64(1); i <= n; i++ {
		s.Add(2 * i)
	}
	if len(s.missing) > spanLimit || s.Missing(2*n) != n {
		t.Errorf("%d spans, missing %d of %d", len(s.missing), s.Missing(2*n), n)
	}
	if s.Add(1) != Duplicate {
		t.Error("a forgotten hole was filled")
	}
	if s.Add(2*n-1) != Reordered || s.Missing(2*n) != n-1 {
		t.Error("a remembered hole was not filled")
	}
}
