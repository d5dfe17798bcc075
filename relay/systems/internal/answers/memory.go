// Package answers remembers what a backend has answered, and asks it once for all who want to know at the same time. The systems authz
// and hooks keep their decisions in it.
//
// A [Memory] holds answers by key: [Memory.Get] finds one, [Memory.Join] the [Question] under way or a new one, which its caller asks and
// ends with [Memory.End]. Nothing waits here but callers that wait for a question's Done. At most 65,536 answers are held; beyond that those
// that are over go, and others at random. One mutex, a leaf, guards it; there is no goroutine.
package answers

import (
	"sync"
	"time"
)

// maxRemembered bounds what a memory holds.
const maxRemembered = 1 << 16

// Memory holds answers of the backend, and the questions under way: one about each key. The zero value is empty.
type Memory[K comparable, V any] struct {
	// Guarded by mu, a leaf.
	mu     sync.Mutex
	held   map[K]Answer[V]
	asking map[K]*Question[V]
}

// Answer is what is remembered.
type Answer[V any] struct {
	Value V
	Fresh time.Time // until when it is as good as a new one
	Stale time.Time // until when it holds while there is no new one
}

// Question is one that is under way.
type Question[V any] struct {
	Done chan struct{} // closed by End

	// Set before Done is closed, and guarded by the memory's mu until then.
	Value   V
	Err     error
	Dropped bool // what it is about was taken back meanwhile, whatever the answer
}

// Get returns a fresh answer.
func (m *Memory[K, V]) Get(key K, now time.Time) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.held[key]
	if !ok || !now.Before(e.Fresh) {
		return v, false
	}
	return e.Value, true
}

// Old returns an answer that holds while there is no new one.
func (m *Memory[K, V]) Old(key K, now time.Time) (v V, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.held[key]
	if !ok || !now.Before(e.Stale) {
		return v, false
	}
	return e.Value, true
}

// Join returns the question about a key. If first is true it is a new one, which the caller asks and ends. A fresh answer that has come
// since the caller looked for one is a question that is over.
func (m *Memory[K, V]) Join(key K, now time.Time) (q *Question[V], first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.held[key]; ok && m.asking[key] == nil && now.Before(e.Fresh) {
		q = &Question[V]{Done: make(chan struct{}), Value: e.Value}
		close(q.Done)
		return q, false
	}
	return m.question(key)
}

// Renew is Join for a caller to whom no answer from before will do.
func (m *Memory[K, V]) Renew(key K) (q *Question[V], first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.question(key)
}

// question is the one about a key. The caller holds mu.
func (m *Memory[K, V]) question(key K) (q *Question[V], first bool) {
	if q = m.asking[key]; q != nil {
		return q, false
	}
	if m.asking == nil {
		m.asking = make(map[K]*Question[V])
	}
	q = &Question[V]{Done: make(chan struct{})}
	m.asking[key] = q
	return q, true
}

// End ends a question. Its answer is remembered unless there is an error, or what it is about was dropped meanwhile.
func (m *Memory[K, V]) End(q *Question[V], key K, e Answer[V], err error, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer close(q.Done)
	q.Value, q.Err = e.Value, err
	if m.asking[key] == q {
		delete(m.asking, key)
	}
	if err == nil && !q.Dropped {
		m.put(key, e, now)
	}
}

// put remembers an answer. The caller holds mu.
func (m *Memory[K, V]) put(key K, e Answer[V], now time.Time) {
	if m.held == nil {
		m.held = make(map[K]Answer[V])
	}
	if len(m.held) >= maxRemembered {
		m.makeRoom(now)
	}
	m.held[key] = e
}

// makeRoom drops what no longer holds, and others until a quarter of the places is free. It runs once for as many new
// answers as it frees places.
func (m *Memory[K, V]) makeRoom(now time.Time) {
	for key, e := range m.held {
		if !now.Before(e.Fresh) && !now.Before(e.Stale) {
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

// Forget drops what is remembered where drop says so. Of questions under way only the key is known: those of which asked says
// so are marked, and no later caller joins them. asked may be nil.
func (m *Memory[K, V]) Forget(drop func(K, V) bool, asked func(K) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, q := range m.asking {
		if asked != nil && asked(key) {
			q.Dropped = true
			delete(m.asking, key)
		}
	}
	for key, e := range m.held {
		if drop(key, e.Value) {
			delete(m.held, key)
		}
	}
}

// Len is how many answers there are.
func (m *Memory[K, V]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.held)
}
