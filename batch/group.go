package batch

import (
	"slices"
	"time"
)

// group is the windows of one kind that wait for a tick.
type group struct {
	window  time.Duration
	stretch float64     // Options.Stretch
	parts   [][]*Window // they have their ticks in turn, evenly spread over the window; see parts
	turn    int         // whose tick is next
	tick    time.Time   // zero: not armed
}

// join makes w wait for the tick of its kind and part.
func (b *Batcher) join(w *Window) {
	var g *group
	for i := range b.groups {
		if b.groups[i].window == w.opt.Window && b.groups[i].stretch == w.opt.Stretch {
			g = &b.groups[i]
		}
	}
	if g == nil {
		b.groups = append(b.groups, group{window: w.opt.Window, stretch: w.opt.Stretch, parts: make([][]*Window, 1)})
		g = &b.groups[len(b.groups)-1]
	}
	g.add(w)
	w.joined = true
}

// add puts a window into its part. Of twice as many parts it is in one of the two that take the place of that.
func (g *group) add(w *Window) {
	i := int(uint64(w.place) * uint64(len(g.parts)) >> 32)
	g.parts[i] = append(g.parts[i], w)
}

// idle reports whether no window waits.
func (g *group) idle() bool {
	for _, part := range g.parts {
		if len(part) > 0 {
			return false
		}
	}
	return true
}

// tick flushes the windows of a group whose time has come. One that held nothing closes.
func (b *Batcher) tick(g *group, now time.Time) {
	if g.idle() {
		return
	}
	if g.tick.IsZero() {
		g.divide(b.parts.count)
		g.turn, g.tick = 0, b.align(now, g.window/time.Duration(len(g.parts)))
	}
	if now.Before(g.tick) {
		return
	}
	b.load.late = max(b.load.late, now.Sub(g.tick))
	step := b.step(g)
	for due := len(g.parts); due > 0 && !now.Before(g.tick); due-- {
		b.flushPart(&g.parts[g.turn])
		g.turn, g.tick = (g.turn+1)%len(g.parts), g.tick.Add(step)
		if g.turn == 0 {
			before := len(g.parts)
			g.divide(min(max(b.parts.count, before/2), 2*before))
			if step = b.step(g); len(g.parts) > before { // the second half of what was the first part is due when all of it would have been
				g.tick = g.tick.Add(-step)
			}
		}
	}
	if !g.tick.After(now) { // a pass that overran is not made up for by a burst of ticks
		g.tick = now.Add(step)
	}
	if g.idle() {
		g.tick = time.Time{}
	}
}

// step is the time from one tick of a group to the next.
func (b *Batcher) step(g *group) time.Duration {
	return time.Duration(float64(g.window) * b.load.factor(g.stretch) / float64(len(g.parts)))
}

// divide has the windows in n parts. Between two rounds n is at most twice or half of what it was: then no window waits for longer than it says. Before the first one it may be any.
func (g *group) divide(n int) {
	if n == len(g.parts) {
		return
	}
	before := g.parts
	g.parts = make([][]*Window, n)
	for _, part := range before {
		for _, w := range part {
			g.add(w)
		}
	}
}

// flushPart flushes windows that have their tick, and leaves those that held something.
func (b *Batcher) flushPart(part *[]*Window) {
	kept, expedited := (*part)[:0], false
	for _, w := range *part {
		expedited = expedited || w.eager
		w.eager = false // what it waited for leaves now
		if b.flush(w) || !w.rest() {
			kept = append(kept, w)
		} else {
			w.joined = false
		}
	}
	clear((*part)[len(kept):])
	*part = kept
	if expedited {
		b.eager = slices.DeleteFunc(b.eager, func(w *Window) bool { return !w.eager })
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
