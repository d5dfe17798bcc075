package batch

import (
	"math"
	"sync/atomic"
	"time"
)

// Bounds of how windows stretch, and of the rest that is owed for eager writing. Below the first share of its time that
// the shard spends writing, or of the processors that the process uses, windows are as long as they say and no rest is
// owed; from the second on they are longer by mostStretch of that, and each time spent writing is owed as rest. Twice the
// messages in a write cost hardly more than half of them: what is saved is left for publishers. While there is processor
// time to spare, saving writes only makes readers wait.
const (
	loadFrom    = 0.65
	loadFull    = 0.85
	mostStretch = 0.5
)

// loadEvery is how often the load is looked at.
const loadEvery = 100 * time.Millisecond

// load is by what share of themselves windows are longer for now, and what rest is owed. It belongs to the loop.
type load struct {
	process func() float64 // Config.Load
	spent   time.Duration  // writing, since then
	since   time.Time
	level   float64 // how far the load is from the first bound to the second, 0 to 1
	stretch float64 // 0 to mostStretch

	shown atomic.Uint64 // the bits of stretch, for Batcher.Stretch
}

// look brings level and stretch up to date, half of the way at a time, and returns true if it has.
func (l *load) look(now time.Time) bool {
	d := now.Sub(l.since)
	if l.process == nil || d < loadEvery {
		return false
	}
	share := max(float64(l.spent)/float64(d), l.process())
	l.spent, l.since = 0, now
	if l.level = (l.level + min(max((share-loadFrom)/(loadFull-loadFrom), 0), 1)) / 2; l.level < 0.01 {
		l.level = 0
	}
	l.stretch = mostStretch * l.level
	l.shown.Store(math.Float64bits(l.stretch))
	return true
}
