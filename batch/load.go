package batch

import (
	"math"
	"sync/atomic"
	"time"
)

// Bounds of how windows stretch. Below the first share of its time that the shard spends writing, or of the
// processors that the process uses, they are as long as they say; from the second on they are longer by mostStretch of
// that. Twice the messages in a write cost hardly more than half of them: what is saved is left for publishers.
const (
	loadFrom    = 0.65
	loadFull    = 0.85
	mostStretch = 0.5
)

// loadEvery is how often the load is looked at.
const loadEvery = 100 * time.Millisecond

// load is by what share of themselves windows are longer for now. It belongs to the loop.
type load struct {
	process func() float64 // Config.Load
	spent   time.Duration  // writing, since then
	since   time.Time
	stretch float64 // 0 to mostStretch

	shown atomic.Uint64 // the bits of stretch, for Batcher.Stretch
}

// look brings stretch up to date, half of the way at a time.
func (l *load) look(now time.Time) {
	d := now.Sub(l.since)
	if l.process == nil || d < loadEvery {
		return
	}
	share := max(float64(l.spent)/float64(d), l.process())
	l.spent, l.since = 0, now
	aim := mostStretch * min(max((share-loadFrom)/(loadFull-loadFrom), 0), 1)
	if l.stretch = (l.stretch + aim) / 2; l.stretch < mostStretch/100 {
		l.stretch = 0
	}
	l.shown.Store(math.Float64bits(l.stretch))
}
