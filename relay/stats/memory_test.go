package stats

import (
	"testing"
	"testing/synctest"
	"time"
)

// What counts near the limit is what a collection leaves, and what has come since; collecting takes a tenth of the
// time at most.
func TestMemoryInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := taken{all: 50, heap: 45}
		live, collected := uint64(0), 0
		m := memory{limit: 100, read: func() taken { return state }, collect: func() {
			time.Sleep(20 * time.Millisecond)
			collected++
			state.free += state.heap - live
			state.heap = live
		}}
		want := func(what string, use uint64, times int) {
			t.Helper()
			if got := m.used(); got != use || collected != times {
				t.Errorf("%s: %d in use after %d collections, want %d and %d", what, got, collected, use, times)
			}
		}
		want("far from the limit", 50, 0)
		state, live = taken{all: 98, heap: 90}, 30
		want("mostly garbage", 38, 1)
		state.heap, state.free = 60, 30
		want("more has come, alive or not", 68, 1)
		time.Sleep(300 * time.Millisecond)
		live = 60
		want("it lives", 68, 2)
		state.heap, state.free, live = 90, 0, 90
		want("a flood between two collections", 98, 2)
		time.Sleep(300 * time.Millisecond)
		want("and it stays", 98, 3)
		state, live = taken{all: 40, heap: 30}, 30
		want("it is over", 40, 3)
		state, live = taken{all: 95, heap: 85}, 10
		want("again", 20, 4)
	})
}
