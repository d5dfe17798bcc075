package batch

import (
	"slices"
	"time"
)

// group is the windows of one kind that wait for a tick.
type group struct {
	window  time.Duration
	stretch float64   // Options.Stretch
	tick    time.Time // zero: not armed
	open    []*Window
}

// join makes w wait for the tick of its kind.
func (b *Batcher) join(w *Window) {
	var g *group
	for i := range b.groups {
		if b.groups[i].window == w.opt.Window && b.groups[i].stretch == w.opt.Stretch {
			g = &b.groups[i]
		}
	}
	if g == nil {
		b.groups = append(b.groups, group{window: w.opt.Window, stretch: w.opt.Stretch})
		g = &b.groups[len(b.groups)-1]
	}
	g.open = append(g.open, w)
	w.joined = true
}

// tick flushes the windows of a group if its time has come. One that held nothing closes.
func (b *Batcher) tick(g *group, now time.Time) {
	if len(g.open) == 0 {
		return
	}
	if g.tick.IsZero() {
		g.tick = b.align(now, g.window)
	}
	if now.Before(g.tick) {
		return
	}
	b.load.late = max(b.load.late, now.Sub(g.tick))
	kept, expedited := g.open[:0], false
	for _, w := range g.open {
		expedited = expedited || w.eager
		w.eager = false // what it waited for leaves now
		if b.flush(w) || !w.rest() {
			kept = append(kept, w)
		} else {
			w.joined = false
		}
	}
	clear(g.open[len(kept):])
	g.open = kept
	if expedited {
		b.eager = slices.DeleteFunc(b.eager, func(w *Window) bool { return !w.eager })
	}
	// A pass that overran is not made up for by a burst of ticks: the next one is a window from now.
	window := time.Duration(float64(g.window) * b.load.factor(g.stretch))
	if g.tick = g.tick.Add(window); !g.tick.After(now) {
		g.tick = now.Add(window)
	}
	if len(g.open) == 0 {
		g.tick = time.Time{}
	}
}

// align is the next tick of this batcher's phase after now, at most one window away.
func (b *Batcher) align(now time.Time, window time.Duration) time.Time {
	since := now.Sub(b.start) - b.phase%window
	return now.Add(window - (since%window+window)%window)
}

// rest closes a window that holds nothing. It returns false if a message has come meanwhile. It belongs
// to the loop.
func (w *Window) rest() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.buffer != nil {
		return false
	}
	w.open = false
	return true
}
