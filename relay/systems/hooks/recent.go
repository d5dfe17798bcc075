package hooks

import (
	"sync"
	"time"
)

// maxRecent bounds what is remembered of one life. Beyond that the oldest is forgotten.
const maxRecent = 1 << 18

// recent remembers keys for at least a life, and for twice that at most.
type recent[K comparable, V any] struct {
	life time.Duration // set once

	// Guarded by mu, a leaf.
	mu   sync.Mutex
	kept [2]map[K]V // those of now, and of the time before
	turn time.Time  // when the first becomes the second
}

// put remembers a key, unless it is remembered already: then it returns its value.
func (r *recent[K, V]) put(key K, value V, now time.Time) (before V, again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, again = r.find(key); !again {
		r.room(now)
		r.kept[0][key] = value
	}
	return before, again
}

// raise remembers a key with a value, unless it has one that is not less.
func (r *recent[K, V]) raise(key K, value V, now time.Time, more func(a, b V) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, ok := r.find(key); !ok || more(value, before) {
		r.room(now)
		r.kept[0][key] = value
	}
}

// room has place for one more. The caller holds mu.
func (r *recent[K, V]) room(now time.Time) {
	if !now.Before(r.turn) || len(r.kept[0]) >= maxRecent {
		r.kept[1], r.kept[0], r.turn = r.kept[0], make(map[K]V), now.Add(r.life)
	}
}

func (r *recent[K, V]) get(key K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(key)
}

func (r *recent[K, V]) find(key K) (v V, ok bool) {
	for _, kept := range r.kept {
		if v, ok = kept[key]; ok {
			break
		}
	}
	return v, ok
}

// each calls f with all that is remembered.
func (r *recent[K, V]) each(f func(key K, value V)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, kept := range []map[K]V{r.kept[1], r.kept[0]} { // the newer value of a key is last
		for key, value := range kept {
			f(key, value)
		}
	}
}
