package batch

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// fragile is a sink that panics over one body, and notes what it has missed.
type fragile struct {
	record
	over   string
	missed []uint64
}

func (f *fragile) Flush(b *Batch) {
	if string(b.Body) == f.over {
		panic(f.over)
	}
	f.record.Flush(b)
}

func (f *fragile) Missed(last uint64) {
	f.missed = append(f.missed, last)
	if f.over == "twice" {
		panic("once more")
	}
}

// teller is a Config.Panic that notes what it is told.
type teller struct{ told []string }

func (p *teller) panicked(sink Sink, v any) { p.told = append(p.told, fmt.Sprint(v, " ", sink != nil)) }

// A panic in a sink costs the batch that it was looking at: the sink is told which, the rest of the same window and
// other windows are flushed, and nothing stays behind in any list.
func TestPanicCostsItsBatch(t *testing.T) {
	for name, opt := range map[string]Options{
		"eager": {Window: 20 * ms, Eager: true, Conflate: true}, "ticked": {Window: 20 * ms}, "without a window": {Conflate: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p teller
				l := newLoop(t, Config{Panic: p.panicked})
				bad, good := &fragile{over: "b,c"}, &fragile{}
				before, w, after_ := l.Window(opt, good), l.Window(opt, bad), l.Window(opt, good)
				after(0)
				l.do(func() { // so that all of it is flushed in one run
					before.Append(send(1, "x"))
					w.Append(send(1, "a"))
					w.Seal()
					w.Append(send(2, "b"))
					w.Append(send(3, "c"))
					w.Seal()
					w.Append(send(4, "d"))
					after_.Append(send(1, "y"))
				})
				after(25 * ms)
				want(t, &good.record, "x|y")
				want(t, &bad.record, "a|d")
				if !slices.Equal(bad.missed, []uint64{3}) || !slices.Equal(p.told, []string{"b,c true"}) {
					t.Fatalf("missed %v, told %q", bad.missed, p.told)
				}
				w.Append(set(5, "k", "e"))
				after(25 * ms)
				want(t, &bad.record, "e")
				bad.over = "twice" // to be told of it panics, too
				w.Append(send(6, "twice"))
				before.Append(send(2, "z"))
				after(25 * ms)
				want(t, &good.record, "z")
				w.Append(send(7, "f"))
				after(100 * ms)
				want(t, &bad.record, "f")
				if !slices.Equal(bad.missed, []uint64{3, 6}) || !slices.Equal(p.told, []string{"b,c true", "twice true", "once more true"}) {
					t.Fatalf("missed %v, told %q", bad.missed, p.told)
				}
				l.do(func() {
					if w.open || w.asked || w.joined || w.eager || w.buffer != nil || len(l.eager) > 0 || l.Waiting() != 0 {
						t.Errorf("something stays behind: %+v, %d windows wait for the budget, %d bytes", w, len(l.eager), l.Waiting())
					}
					for i := range l.groups {
						if g := &l.groups[i]; !g.idle() || !g.tick.IsZero() {
							t.Errorf("windows wait for a tick: %v", g.parts)
						}
					}
				})
			})
		})
	}
}

// What is to be flushed at the end is, past a sink that panics.
func TestPanicWhileAllIsFlushed(t *testing.T) {
	var p teller
	b := New(Config{Panic: p.panicked})
	bad, good := &fragile{over: "a"}, &fragile{}
	for _, s := range []*fragile{bad, good} {
		b.Window(Options{Window: time.Hour}, s).Append(send(1, "a"))
	}
	b.FlushAll(time.Now())
	want(t, &good.record, "a")
	if len(bad.missed) != 1 || len(p.told) != 1 || b.Waiting() != 0 {
		t.Errorf("missed %v, told %q, %d bytes wait", bad.missed, p.told, b.Waiting())
	}
}

// One whose answer is how busy the process is, and who panics, is asked once.
func TestPanicOverLoad(t *testing.T) {
	var p teller
	b := New(Config{Panic: p.panicked, Load: func() float64 { panic("busy") }})
	r, now := &record{}, time.Now()
	w := b.Window(Options{Window: 50 * ms, Stretch: 4}, r)
	for n := range 10 {
		w.Append(send(uint64(n), "a"))
		now = now.Add(loadEvery)
		b.Run(now)
		b.Spent(loadEvery, now, 1, 1)
	}
	if !slices.Equal(p.told, []string{"busy false"}) {
		t.Errorf("told %q", p.told)
	}
	if b.Stretch() == 0 {
		t.Error("what the shard itself spends does not count any more")
	}
	b.FlushAll(now)
	if len(r.batches) == 0 {
		t.Error("nothing is flushed")
	}
}

// Without Config.Panic a panic goes on: who drives the batcher learns of it.
func TestPanicGoesOn(t *testing.T) {
	b := New(Config{})
	b.Window(Options{}, &fragile{over: "a"}).Append(send(1, "a"))
	defer func() {
		if v := recover(); v != "a" {
			t.Errorf("recovered %v", v)
		}
	}()
	b.Run(time.Now())
	t.Error("it did not")
}
