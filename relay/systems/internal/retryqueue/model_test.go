package retryqueue_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/relay/systems/internal/retryqueue"
)

// numbered is an item of the model: the n-th of its key.
type numbered struct {
	key string
	n   int
}

// model is what is true of a queue, whatever happens in what order.
type model struct {
	t *testing.T

	// Guarded by mu, which is held while the queue is called.
	mu      sync.Mutex
	rand    *rand.Rand
	added   map[string]int
	next    map[string]int // the n of the first item of a key that is neither done nor removed
	removed map[numbered]bool
	busy    map[string]bool      // keys in flight
	due     map[string]time.Time // not before which a key is attempted
	alone   map[string]int       // items below this n are attempted one at a time
	flying  int
	resting map[string]time.Time
}

// advance passes over what was removed.
func (m *model) advance(key string) {
	for m.removed[numbered{key, m.next[key]}] {
		m.next[key]++
	}
}

// left is how many items are neither done nor removed.
func (m *model) left() (n int) {
	for key, added := range m.added {
		for i := m.next[key]; i < added; i++ {
			if !m.removed[numbered{key, i}] {
				n++
			}
		}
	}
	return n
}

const (
	modelParallel = 3
	modelBatch    = 4
	modelWeight   = 5
)

func weightOf(x numbered) int { return 1 + x.n%4 }

func (m *model) begin(b *retryqueue.Batch[numbered]) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.flying++; m.flying > modelParallel {
		m.t.Errorf("%d attempts at once", m.flying)
	}
	items, weight := 0, 0
	for _, p := range b.Parts {
		key := p.Items[0].key
		if m.busy[key] {
			m.t.Errorf("%s is in flight twice", key)
		}
		m.busy[key] = true
		if now := time.Now(); now.Before(m.due[key]) || now.Before(m.resting[key]) {
			m.t.Errorf("%s is attempted too early", key)
		}
		m.advance(key)
		if p.Items[0].n < m.alone[key] && (len(b.Parts) > 1 || len(p.Items) > 1) {
			m.t.Errorf("%v is not attempted alone", p.Items)
		}
		n := m.next[key]
		for _, x := range p.Items {
			for m.removed[numbered{key, n}] {
				n++
			}
			if x != (numbered{key, n}) {
				m.t.Errorf("%v comes where %s %d is next", x, key, n)
			}
			n++
			items++
			weight += weightOf(x)
		}
	}
	if items > modelBatch || items > 1 && weight > modelWeight {
		m.t.Errorf("%d items of %d bytes in a batch", items, weight)
	}
}

// attempt takes a random time, and settles with random results; or it panics at some part.
func (m *model) attempt(ctx context.Context, b *retryqueue.Batch[numbered]) {
	m.begin(b)
	m.mu.Lock()
	pause, chaos := time.Duration(m.rand.IntN(2000))*time.Millisecond, m.rand.IntN(12)
	m.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flying--
	keys := make([]string, len(b.Parts))
	for i, p := range b.Parts {
		keys[i] = p.Items[0].key
		m.busy[keys[i]] = false // in flight again no sooner than it is settled: mu is held until then
		m.due[keys[i]] = time.Time{}
	}
	for i, key := range keys {
		if chaos == 0 && i == len(keys)/2 {
			for _, left := range keys[i:] {
				m.due[left] = time.Now().Add(time.Second)
			}
			panic("thrown by the test")
		}
		var r retryqueue.Result
		taken := len(b.Parts[i].Items)
		last := b.Parts[i].Items[taken-1].n
		switch m.rand.IntN(4) {
		case 0:
			r.At = time.Now().Add(time.Duration(m.rand.IntN(30_000)) * time.Millisecond)
			m.due[key] = r.At
		case 1:
			r.Alone = true
			m.alone[key] = last + 1
		default:
			r.Done = 1 + m.rand.IntN(taken)
			m.next[key] = b.Parts[i].Items[r.Done-1].n + 1
		}
		b.Settle(r)
	}
}

// TestModel holds the queue against the model: keys in order and one at a time, bounds, times, removals, and that
// everything is done in the end.
func TestModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &model{t: t, rand: rand.New(rand.NewPCG(seed, 1)), added: make(map[string]int), next: make(map[string]int), removed: make(map[numbered]bool),
					busy: make(map[string]bool), due: make(map[string]time.Time), alone: make(map[string]int), resting: make(map[string]time.Time)}
				ctx, cancel := context.WithCancel(context.Background())
				rest := make(map[string]time.Time) // guarded by restMu; a leaf
				var restMu sync.Mutex
				q := retryqueue.New(ctx, retryqueue.Options[numbered]{
					Attempt: m.attempt, Parallel: modelParallel, Batch: modelBatch, Weight: weightOf, MaxWeight: modelWeight, Limit: 50, Backoff: time.Second,
					Rest: func(first numbered, now time.Time) time.Time {
						restMu.Lock()
						defer restMu.Unlock()
						if until := rest[first.key]; now.Before(until) {
							return until
						}
						return time.Time{}
					},
					Contain: func(string, any) {},
				})
				for range 300 {
					m.mu.Lock()
					op, key, pause := m.rand.IntN(20), fmt.Sprint("k", m.rand.IntN(6)), time.Duration(m.rand.IntN(500))*time.Millisecond
					switch {
					case op < 12:
						if q.Reserve() {
							x := numbered{key, m.added[key]}
							m.added[key]++
							q.Fill(key, x)
						} else if left := m.left(); left < 50 {
							t.Errorf("full with %d items", left)
						}
					case op < 14:
						m.mu.Unlock()
						synctest.Wait() // so that the attempts that have begun are known
						m.mu.Lock()
						odd := m.rand.IntN(2)
						for _, x := range q.Remove(func(x numbered) bool { return x.key == key && x.n%2 == odd }) {
							if m.busy[x.key] || m.removed[x] || x.n < m.next[x.key] {
								t.Errorf("%v is removed, which is in flight or gone", x)
							}
							m.removed[x] = true
						}
						if m.advance(key); m.next[key] == m.added[key] {
							delete(m.due, key) // nothing of the key waits
						}
					case op < 16:
						clear(m.due)
						q.RetryNow()
					case op < 18:
						m.mu.Unlock()
						synctest.Wait()
						m.mu.Lock()
						if !m.busy[key] {
							m.resting[key] = time.Now().Add(pause)
							restMu.Lock()
							rest[key] = m.resting[key]
							restMu.Unlock()
						}
					}
					if n, left := q.Len(), m.left(); n != left {
						t.Errorf("%d items, want %d", n, left)
					}
					m.mu.Unlock()
					time.Sleep(pause)
				}
				time.Sleep(24 * time.Hour)
				if q.Len() != 0 || m.left() != 0 {
					t.Errorf("%d items are left, %d of the model's", q.Len(), m.left())
				}
				cancel()
				q.Stop()
			})
		})
	}
}
