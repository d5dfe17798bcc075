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
				if got, want := l.factor(MostStretch)-1, test.once; i == 0 && math.Abs(got-want) > 1e-9 {
					t.Errorf("at first %v, want %v", got, want)
				}
			}
			if got := l.factor(MostStretch) - 1; math.Abs(got-test.lasting) > 0.001 {
				t.Errorf("for long %v, want %v", got, test.lasting)
			}
			test.process, test.spent = 0, 0
			for range 8 {
				now = now.Add(loadEvery)
				l.look(now)
			}
			if got := l.factor(MostStretch); got != 1 {
				t.Errorf("%v times as long when all is quiet again", got)
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
		long := l.Window(Options{Window: 50 * ms, Stretch: 4}, soft)
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
		if s := l.Stretch(); s < 0.49 || s > 0.5 {
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
				b.Spent(10*ms, done, 1, 1)
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

// Being behind counts as far as the processors are full: what is late for other reasons is not helped by waiting.
func TestStretchFollowsBacklog(t *testing.T) {
	for _, test := range []struct {
		name          string
		process       float64
		late, waited  time.Duration
		most, lasting float64
	}{
		{"full, and nothing late", 1, 0, 0, 4, 1.5},
		{"as late as a pass makes it", 1, 25 * ms, 20 * ms, 4, 1.5},
		{"ticks late", 1, 75 * ms, 0, 4, 4},
		{"publishes wait", 1, 0, 100 * ms, 4, 4},
		{"half way", 1, 50 * ms, 0, 4, 2.75},
		{"late, with time to spare", 0.6, time.Second, time.Second, 4, 1},
		{"late, and half way to full", 0.75, time.Second, 0, 4, 2.625},
		{"as far as it takes", 1, time.Second, time.Second, 8, 8},
		{"by half at most", 1, time.Second, time.Second, 1.5, 1.5},
		{"not at all", 1, time.Second, time.Second, 1, 1},
		{"not set", 1, time.Second, time.Second, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := time.Unix(1, 0)
			l := load{process: func() float64 { return test.process }, waited: func() time.Duration { return test.waited }, since: now}
			look := func() {
				l.late = test.late
				now = now.Add(loadEvery)
				l.look(now)
			}
			for range 20 {
				look()
			}
			if got := l.factor(test.most); math.Abs(got-test.lasting) > 0.01 {
				t.Errorf("%v times as long, want %v", got, test.lasting)
			}
			test.late, test.waited = 0, 0
			for range 10 { // a second
				look()
			}
			if got := l.factor(test.most); got > 1.7 {
				t.Errorf("%v times as long, a second after", got)
			}
		})
	}
}

// A loop that is busy and comes late has publishers refused until it has come.
func TestLate(t *testing.T) {
	for _, test := range []struct {
		name string
		load float64
		late bool
	}{{"busy", 1, true}, {"held up by something else", 0.5, false}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New(Config{Load: func() float64 { return test.load }})
				r := &record{}
				w := b.Window(Options{Window: 50 * ms}, r)
				time.Sleep(loadEvery)
				w.Append(send(1, "a"))
				due := b.Run(time.Now())
				time.Sleep(time.Until(due) + maxLate)
				if b.Late() {
					t.Error("late before its time")
				}
				time.Sleep(1)
				if b.Late() != test.late {
					t.Errorf("late: %v, want %v", b.Late(), test.late)
				}
				w.Append(send(2, "b")) // what is accepted all the same
				b.Run(time.Now())
				want(t, r, "a,b")
				if b.Late() || b.Full() {
					t.Error("late when all is written")
				}
			})
		})
	}
}

// A panic while a function of the configuration is asked is reported, and it is not asked again.
func TestWaitedPanics(t *testing.T) {
	now, told := time.Now(), 0
	b := New(Config{Load: func() float64 { return 1 }, Waited: func() time.Duration { panic("no") }, Panic: func(sink Sink, v any) {
		if sink == nil && v == "no" {
			told++
		}
	}})
	for range 3 {
		now = now.Add(loadEvery)
		b.Run(now)
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
