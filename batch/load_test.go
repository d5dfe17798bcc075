package batch

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestStretchFollowsLoad(t *testing.T) {
	for _, test := range []struct {
		name          string
		process       float64
		spent         time.Duration // writing, of each 100 ms
		once, lasting float64
	}{
		{"idle", 0, 0, 0, 0},
		{"up to the first bound", 0.65, 65 * ms, 0, 0},
		{"half way", 0.75, 0, 0.125, 0.25},
		{"full", 0.85, 0, 0.25, 0.5},
		{"more than full", 1, 0, 0.25, 0.5},
		{"the shard alone", 0.1, 90 * ms, 0.25, 0.5},
		{"longer than there was time", 0, 300 * ms, 0.25, 0.5},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := time.Unix(1, 0)
			l := load{process: func() float64 { return test.process }, since: now}
			for i := range 12 {
				l.spent += test.spent
				now = now.Add(loadEvery)
				l.look(now)
				if want := test.once; i == 0 && math.Abs(l.stretch-want) > 1e-9 {
					t.Errorf("at first %v, want %v", l.stretch, want)
				}
			}
			if math.Abs(l.stretch-test.lasting) > 0.001 {
				t.Errorf("for long %v, want %v", l.stretch, test.lasting)
			}
			test.process, test.spent = 0, 0
			for range 8 {
				now = now.Add(loadEvery)
				l.look(now)
			}
			if l.stretch != 0 {
				t.Errorf("%v is left when all is quiet again", l.stretch)
			}
		})
	}
}

// It is not looked at more often than that: a share of a moment says nothing.
func TestLoadIsLookedAtInTurn(t *testing.T) {
	now, asked := time.Unix(1, 0), 0
	l := load{process: func() float64 { asked++; return 1 }, since: now}
	for range 1000 {
		now = now.Add(ms)
		l.look(now)
	}
	if asked != 10 {
		t.Errorf("asked %d times in a second", asked)
	}
}

func TestWindowsStretchUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t, Config{Load: func() float64 { return 1 }})
		soft, hard := &record{}, &record{}
		long := l.Window(Options{Window: 50 * ms, Stretch: true}, soft)
		short := l.Window(Options{Window: 50 * ms}, hard)
		for seq := uint64(1); time.Since(l.start) < 3*time.Second; seq++ { // both are never idle
			long.Append(send(seq, "a"))
			short.Append(send(seq, "b"))
			after(5 * ms)
		}
		for _, test := range []struct {
			r    *record
			want time.Duration
		}{{soft, 75 * ms}, {hard, 50 * ms}} {
			n := len(test.r.batches)
			last, before := test.r.batches[n-1].at, test.r.batches[n-2].at
			if d := last.Sub(before); d < test.want-ms || d > test.want+ms {
				t.Errorf("a window of %v, want %v", d, test.want)
			}
		}
		if s := l.Stretch(); s < 0.49 || s > mostStretch {
			t.Errorf("shown %v", s)
		}
		// Nothing is due later than its window says by more than that.
		for _, f := range soft.batches {
			if d := f.at.Sub(f.since); d > 75*ms {
				t.Errorf("waited for %v", d)
			}
		}
	})
}

// Two messages, the second during the pass of the first, which takes 10 ms: how long the second waits after the pass
// depends on the load.
func TestRestFollowsLoad(t *testing.T) {
	for _, test := range []struct {
		name string
		load func() float64 // nil: not known
		want time.Duration
	}{
		{"not known", nil, 9 * ms}, // all of the pass but the credit
		{"time to spare", func() float64 { return 0.64 }, 0},
		{"half way", func() float64 { return 0.75 }, 4 * ms},
		{"busy", func() float64 { return 0.9 }, 9 * ms},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New(Config{Load: test.load})
				r := &record{}
				w := b.Window(Options{}, r)
				for range 12 { // until the load is known
					time.Sleep(loadEvery)
					b.Run(time.Now())
				}
				w.Append(send(1, "a"))
				b.Run(time.Now())
				time.Sleep(10 * ms)
				w.Append(send(2, "b"))
				done := time.Now()
				b.Spent(10*ms, done)
				for len(r.batches) < 2 {
					if next := b.Run(time.Now()); !next.IsZero() {
						time.Sleep(time.Until(next))
					}
				}
				if waited := time.Since(done); waited < test.want-2*time.Microsecond || waited > test.want+20*time.Microsecond {
					t.Errorf("waited for %v, want %v", waited, test.want)
				}
			})
		})
	}
}
