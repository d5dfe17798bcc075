package stats

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"weir/internal/process"
)

// Memory is how much of the memory limit (GOMEMLIMIT) is in use, as watch has seen it last. All is atomic.
type Memory struct {
	Use  atomic.Int32 // hundredths of the limit; 0 without one
	Room atomic.Int64 // bytes that new items may still take until the next look, when it is near
}

// Short reports that nine tenths of the limit are in use: new sessions are refused before old ones suffer.
func (w *Memory) Short() bool { return w.Use.Load() >= MemoryShort }

// Admits reports whether something new may be taken. Of an item, which stays, size is about what it takes; 0 of what does not.
func (w *Memory) Admits(size int64) bool {
	use := w.Use.Load()
	switch {
	case use >= MemoryFull:
		return false
	case use < MemoryNear || size == 0:
		return true
	}
	return use < MemoryShort && w.Room.Add(-size) >= 0
}

// How much of the memory limit may be in use, in hundredths: from the first on new sessions and items are refused,
// from the second on everything that is published.
const (
	MemoryShort = 90
	MemoryFull  = 97
)

// MemoryNear is the use from which on it is counted what items take until the next look: a flood between two looks
// would leave no room for what goes on.
const MemoryNear = 50

// memoryCheck is how often the memory in use is looked at: a flood takes tens of MiB meanwhile.
const memoryCheck = 100 * time.Millisecond

// collectEvery is how much longer than a collection nothing is collected after it, when memory is short.
const collectEvery = 10

// Watch keeps the figures true, and gives memory back when a storm of connections has passed, until ctx is done. Opened is how
// many connections there have been.
func (w *Memory) Watch(ctx context.Context, opened func() uint64) {
	after := storm{opened: opened, cpu: process.CPUTime, free: debug.FreeOSMemory}
	look := time.NewTicker(stormCheck)
	defer look.Stop()
	var tick <-chan time.Time // without a limit, none
	limit := debug.SetMemoryLimit(-1)
	m := memory{limit: uint64(limit), read: readMemory, collect: runtime.GC}
	if limit != math.MaxInt64 {
		check := time.NewTicker(memoryCheck)
		defer check.Stop()
		tick = check.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			after.look(now)
		case <-tick:
			used := m.used()
			w.Room.Store(int64(m.limit*MemoryShort/100) - int64(used))
			w.Use.Store(int32(used * 100 / m.limit))
		}
	}
}

// memory finds out how much of the limit is in use. Up to the limit the runtime leaves garbage lying about, so what it
// has taken says little when that is nearly all: then the garbage is collected, and what is left counts, and what has
// been taken since.
type memory struct {
	limit   uint64
	read    func() taken
	collect func()

	left   uint64    // bytes after the last collection
	heap   uint64    // of that, objects
	next   time.Time // no collection before
	looked bool      // there was one
}

// taken is what the runtime has of the system's memory.
type taken struct {
	all  uint64 // that counts for the limit
	free uint64 // of these, that nothing is in
	heap uint64 // objects, dead ones among them
}

func readMemory() taken {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return taken{all: sample[0].Value.Uint64() - sample[1].Value.Uint64(), free: sample[2].Value.Uint64(), heap: sample[3].Value.Uint64()}
}

// used is the bytes in use.
func (m *memory) used() uint64 {
	now := m.read()
	if now.all*100 < m.limit*MemoryShort {
		m.looked = false
		return now.all
	}
	if begun := time.Now(); !m.looked || begun.After(m.next) {
		m.collect()
		end := time.Now()
		m.next = end.Add(collectEvery * end.Sub(begun))
		now = m.read()
		m.left, m.heap, m.looked = now.all-min(now.all, now.free), now.heap, true
	}
	used := m.left
	if now.heap > m.heap {
		used += now.heap - m.heap
	}
	return min(used, now.all)
}
