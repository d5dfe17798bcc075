package batch

import (
	"math"
	"sync/atomic"
	"time"
)

// Bounds of how windows stretch with the load, and of the rest that is owed for eager writing. Below the first share of its
// time that the shard spends writing, or of the processors that the process uses, windows are as long as they say and no
// rest is owed; from the second on they are 1.5 times as long, and each time spent writing is owed as rest. Twice the
// messages in a write cost hardly more than half of them: what is saved is left for publishers. While there is processor
// time to spare, saving writes only makes readers wait.
const (
	loadFrom    = 0.65
	loadFull    = 0.85
	loadStretch = 1.5
)

// Bounds of what counts as being behind: how late the loop comes to a tick, and for how long publishes have waited. From
// the first on windows become longer, as long as they may be at the second, in so far as the load is beyond its
// second bound: what a machine that has time to spare comes late to, it does not catch up with by waiting.
const (
	lateFrom = 25 * time.Millisecond
	lateFull = 75 * time.Millisecond
	waitFrom = 20 * time.Millisecond
	waitFull = 100 * time.Millisecond
)

// MostStretch is the largest Options.Stretch.
const MostStretch = 8

// maxLate is how late the loop may come to what is due before publishers are refused. What is accepted after that would
// only be delivered later still.
const maxLate = 250 * time.Millisecond

// loadEvery is how often the load is looked at.
const loadEvery = 100 * time.Millisecond

// fade is what remains of how far the shard is behind when it no longer is, each time the load is looked at: 3 % after a
// second. Less, and windows would be too short again before the backlog that they were for is gone.
const fade = 0.7

// load is how much longer windows are for now, and what rest is owed. It belongs to the loop.
type load struct {
	process func() float64       // Config.Load
	waited  func() time.Duration // Config.Waited
	spent   time.Duration        // writing, since then
	late    time.Duration        // the latest that the loop came to a tick since then
	since   time.Time
	level   float64 // how far the load is from its first bound to the second, 0 to 1
	behind  float64 // how far the shard is behind, 0 to 1

	shown atomic.Uint64 // the bits of Batcher.Stretch
	busy  atomic.Bool   // level is above 0
}

// look brings level and behind up to date, level half of the way at a time, and returns true if it has.
func (l *load) look(now time.Time) bool {
	d := now.Sub(l.since)
	if l.process == nil || d < loadEvery {
		return false
	}
	share := max(float64(l.spent)/float64(d), l.process())
	if l.level = (l.level + within(share, loadFrom, loadFull)) / 2; l.level < 0.01 {
		l.level = 0
	}
	behind := within(float64(l.late), float64(lateFrom), float64(lateFull))
	if l.waited != nil {
		behind = max(behind, within(float64(l.waited()), float64(waitFrom), float64(waitFull)))
	}
	if behind *= l.level; behind > l.behind {
		l.behind = (l.behind + behind) / 2
	} else if l.behind = max(l.behind*fade, behind); l.behind < 0.01 {
		l.behind = 0
	}
	l.spent, l.late, l.since = 0, 0, now
	l.busy.Store(l.level > 0)
	return true
}

// within is how far x is from one bound to the other, 0 to 1.
func within(x, from, to float64) float64 { return min(max((x-from)/(to-from), 0), 1) }

// factor is how many times as long windows are that may become most times as long.
func (l *load) factor(most float64) float64 {
	if most <= 1 {
		return 1
	}
	busy := 1 + (min(most, loadStretch)-1)*l.level
	return busy + (most-busy)*l.behind
}

// show sets what Batcher.Stretch returns.
func (l *load) show(stretch float64) { l.shown.Store(math.Float64bits(stretch)) }
