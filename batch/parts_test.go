package batch

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestParts(t *testing.T) {
	for _, test := range []struct {
		name         string
		before       int
		pass         time.Duration
		channels     int // of a hundred readers
		looks, after int
	}{
		{"short passes", 1, 7 * ms, 100, 9, 1},
		{"long ones", 1, 9 * ms, 100, 1, 2},
		{"for long", 1, 9 * ms, 120, 9, 8},
		{"neither short nor long", 4, 7 * ms, 100, 9, 4},
		{"short again", 8, 1 * ms, 100, 2, 2},
		{"nothing to write", 8, 0, 0, 9, 1},
		{"readers of many channels", 1, 90 * ms, 130, 9, 1},
		{"of some more than before", 8, 90 * ms, 140, 9, 8},
		{"of many by now", 8, 90 * ms, 160, 3, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, now := parts{count: test.before}, time.Unix(1, 0)
			for range test.looks {
				now = now.Add(loadEvery)
				p.spent(test.pass, 100, test.channels)
				p.spent(test.pass/2, 1, 4) // one does not count for much
				p.look(now)
			}
			if p.count != test.after {
				t.Errorf("%d parts, want %d", p.count, test.after)
			}
		})
	}
}

// What has shown that readers share channels is not tried again at once.
func TestPartsStayTogether(t *testing.T) {
	p, now := parts{count: 8}, time.Unix(1, 0)
	p.spent(90*ms, 1, 2)
	p.look(now)
	for p.count = 1; p.count == 1; p.look(now) {
		now = now.Add(loadEvery)
		p.spent(90*ms, 1, 1)
	}
	if d := now.Sub(time.Unix(1, 0)); d < togetherFor || d > togetherFor+2*loadEvery {
		t.Errorf("divided again after %v", d)
	}
}

// Windows whose passes are long have their ticks in parts, evenly spread, and all at once when readers share them. None waits for longer than it says, neither meanwhile nor in between.
func TestWindowsAreDivided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t, Config{Load: func() float64 { return 0 }})
		var sinks [64]record
		var windows [len(sinks)]*Window
		for i := range sinks {
			windows[i] = l.Window(Options{Window: 48 * ms}, &sinks[i])
		}
		seq := uint64(0)
		busy := func(channels int) (ticks []int) {
			for range 400 { // for two seconds
				seq++
				for _, w := range windows {
					w.Append(send(seq, "a"))
				}
				after(ms)
				l.do(func() { l.Spent(10*ms, time.Now(), 1, channels) })
				after(4 * ms)
			}
			at := make(map[time.Duration]int)
			for i := range sinks {
				last := sinks[i].batches[len(sinks[i].batches)-1]
				at[last.at.Sub(l.start)]++
				for _, b := range sinks[i].batches {
					if d := b.at.Sub(b.since); d > 48*ms {
						t.Errorf("waited for %v", d)
					}
				}
				sinks[i].take()
			}
			for _, n := range at {
				ticks = append(ticks, n)
			}
			return ticks
		}
		ticks := busy(1)
		if len(ticks) != mostParts {
			t.Errorf("%v of the windows have the same tick, want %d parts", ticks, mostParts)
		}
		for _, n := range ticks {
			if even := len(sinks) / mostParts; n < even-2 || n > even+2 {
				t.Errorf("%d windows in a part, want about %d", n, even)
			}
		}
		if ticks = busy(4); len(ticks) != 1 {
			t.Errorf("%v of the windows have the same tick, want one", ticks)
		}
	})
}
