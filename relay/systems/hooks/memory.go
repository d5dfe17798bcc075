package hooks

import (
	"sync"
	"time"
)

// maxRemembered bounds what a memory holds.
const maxRemembered = 1 << 16

// memory holds answers of the backend, and the questions under way: one about each key. The zero value is empty.
type memory[K comparable, V any] struct {
	// Guarded by mu, a leaf.
	mu     sync.Mutex
	held   map[K]remembered[V]
	asking map[K]*asking[V]
}

// remembered is an answer.
type remembered[V any] struct {
	value V
	fresh time.Time // until when it is as good as a new one
	stale time.Time // until when it holds while there is no new one
}

// asking is a question that is under way.
type asking[V any] struct {
	done chan struct{} // closed by end

	// Set before done is closed, and guarded by the memory's mu until then.
	value   V
	err     error
	dropped bool // what it is about was taken back meanwhile, whatever the answer
}

// get returns a fresh answer.
func (m *memory[K, V]) get(key K, now time.Time) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.held[key]
	if !ok || !now.Before(e.fresh) {
		return v, false
	}
	return e.value, true
}

// old returns an answer that holds while there is no new one.
func (m *memory[K, V]) old(key K, now time.Time) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.held[key]
	if !ok || !now.Before(e.stale) {
		return v, false
	}
	return e.value, true
}

// join returns the question about a key. If first is true it is a new one, which the caller asks and ends. A fresh answer that has come
// since the caller looked for one is a question that is over.
func (m *memory[K, V]) join(key K, now time.Time) (q *asking[V], first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.held[key]; ok && m.asking[key] == nil && now.Before(e.fresh) {
		q = &asking[V]{done: make(chan struct{}), value: e.value}
		close(q.done)
		return q, false
	}
	return m.question(key)
}

// renew is join for a caller to whom no answer from before will do.
func (m *memory[K, V]) renew(key K) (q *asking[V], first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.question(key)
}

// question is the one about a key. The caller holds mu.
func (m *memory[K, V]) question(key K) (q *asking[V], first bool) {
	if q = m.asking[key]; q != nil {
		return q, false
	}
	if m.asking == nil {
		m.asking = make(map[K]*asking[V])
	}
	q = &asking[V]{done: make(chan struct{})}
	m.asking[key] = q
	return q, true
}

// end ends a question. Its answer is remembered unless there is an error, or what it is about was dropped meanwhile.
func (m *memory[K, V]) end(q *asking[V], key K, e remembered[V], err error, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer close(q.done)
	q.value, q.err = e.value, err
	if m.asking[key] == q {
		delete(m.asking, key)
	}
	if err == nil && !q.dropped {
		m.put(key, e, now)
	}
}

// put remembers an answer. The caller holds mu.
func (m *memory[K, V]) put(key K, e remembered[V], now time.Time) {
	if m.held == nil {
		m.held = make(map[K]remembered[V])
	}
	if len(m.held) >= maxRemembered {
		m.makeRoom(now)
	}
	m.held[key] = e
}

// makeRoom drops what no longer holds, and others until a quarter of the places is free. It runs once for as many new
// answers as it frees places.
func (m *memory[K, V]) makeRoom(now time.Time) {
	for key, e := range m.held {
		if !now.Before(e.fresh) && !now.Before(e.stale) {
			delete(m.held, key)
		}
	}
	for key := range m.held { // in random order, so that no client can choose which
		if len(m.held) <= maxRemembered*3/4 {
			break
		}
		delete(m.held, key)
	}
}

// forget drops what is remembered where drop says so. Of questions under way only the key is known: those of which asked says
// so are marked, and no later caller joins them. asked may be nil.
func (m *memory[K, V]) forget(drop func(K, V) bool, asked func(K) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, q := range m.asking {
		if asked != nil && asked(key) {
			q.dropped = true
			delete(m.asking, key)
		}
	}
	for key, e := range m.held {
		if drop(key, e.value) {
			delete(m.held, key)
		}
	}
}

// size is how many answers there are.
func (m *memory[K, V]) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.held)
}
