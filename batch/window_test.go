package batch

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

func TestEagerFirstThenTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLoop(t, Config{}), &record{}
		w := l.Window(Options{Window: 50 * ms, Eager: true}, r)
		begin := time.Now()
		after(10 * ms)
		w.Append(send(1, "a"))
		after(0)
		want(t, r, "a") // at once, though the next tick is in 40 ms
		w.Append(send(2, "b"))
		after(20 * ms)
		w.Append(send(3, "c"))
		after(19 * ms)
		want(t, r, "")
		after(1 * ms)
		if at := r.batches[0].at.Sub(begin); at != 50*ms || r.batches[0].last != 3 || r.batches[0].count != 2 || r.batches[0].since.Sub(begin) != 10*ms {
			t.Errorf("ticked at %v: %+v", at, r.batches[0])
		}
		want(t, r, "b,c")
		// The window stays open for one more tick, and is idle after one that found nothing.
		after(10 * ms)
		w.Append(send(4, "d"))
		after(39 * ms)
		want(t, r, "")
		after(1 * ms)
		want(t, r, "d")
		after(50 * ms)
		runs := l.runs
		after(time.Hour)
		if l.runs != runs {
			t.Errorf("an idle batcher ran %d times", l.runs-runs)
		}
		w.Append(send(5, "e"))
		after(0)
		want(t, r, "e")
	})
}

func TestTickIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLoop(t, Config{})
		var rs [3]record
		for i := range rs {
			after(time.Duration(i) * 7 * ms)
			w := l.Window(Options{Window: 50 * ms}, &rs[i])
			w.Append(send(1, "x"))
		}
		other := &record{}
		l.Window(Options{Window: 80 * ms}, other).Append(send(1, "y"))
		after(100 * ms)
		for i := range rs {
			if len(rs[i].batches) != 1 || !rs[i].batches[0].at.Equal(rs[0].batches[0].at) {
				t.Errorf("window %d: %+v", i, rs[i].batches)
			}
		}
		if len(other.batches) != 1 || other.batches[0].at.Equal(rs[0].batches[0].at) {
			t.Errorf("a window of another duration: %+v", other.batches)
		}
	})
}

func TestPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, phase := range []time.Duration{0, 10 * ms, 25 * ms, 75 * ms, -5 * ms} {
			now := time.Now()
			l, r := newLoop(t, Config{Phase: phase}), &record{}
			w := l.Window(Options{Window: 50 * ms}, r)
			w.Append(send(1, "x"))
			after(200 * ms)
			if len(r.batches) != 1 {
				t.Fatalf("phase %v: %+v", phase, r.batches)
			}
			at := r.batches[0].at.Sub(now)
			if at <= 0 || at > 50*ms || (at-phase)%(50*ms) != 0 {
				t.Errorf("phase %v: ticked %v after the batcher was made", phase, at)
			}
		}
	})
}

func TestWithoutWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLoop(t, Config{}), &record{}
		w := l.Window(Options{Window: -1}, r) // less than 0 is 0
		for i := range 3 {
			w.Append(send(uint64(i), strconv.Itoa(i)))
			after(0)
			want(t, r, strconv.Itoa(i))
		}
		r.during = func() { w.Append(send(4, "meanwhile")) }
		w.Append(send(3, "3"))
		after(ms)
		want(t, r, "3|meanwhile")
		w.Append(send(5, "5"))
		after(0)
		want(t, r, "5")
	})
}

func TestNotEager(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLoop(t, Config{}), &record{}
		w := l.Window(Options{Window: 50 * ms}, r)
		after(20 * ms)
		w.Append(send(1, "a"))
		after(10 * ms)
		w.Append(send(2, "b"))
		after(19 * ms)
		want(t, r, "")
		after(ms)
		want(t, r, "a,b")
	})
}

func TestEarlyFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLoop(t, Config{}), &record{}
		w := l.Window(Options{Window: time.Second}, r)
		for i := range earlyMessages - 1 {
			w.Append(send(uint64(i), "x"))
		}
		after(0)
		want(t, r, "")
		l.spent(time.Second) // no budget is left: no matter
		l.do(func() {
			w.Append(send(earlyMessages, "x"))
			w.Append(send(earlyMessages+1, "of the next batch"))
		})
		if len(r.batches) != 2 || r.batches[0].count != earlyMessages || r.batches[1].count != 1 {
			t.Fatalf("%d batches", len(r.batches))
		}
		r.take()
		half := strings.Repeat("y", earlyBytes/2)
		w.Append(send(1000, half[1:]))
		after(0)
		want(t, r, "")
		w.Append(send(1001, half))
		after(0)
		if len(r.batches) != 1 || len(r.batches[0].body) != earlyBytes {
			t.Fatalf("%d batches", len(r.batches))
		}
		r.take()
		// One that is larger by itself is flushed at once, as the first of its window.
		l.do(func() {
			w.Append(send(1002, half+half))
			w.Append(send(1003, "z"))
		})
		if len(r.batches) != 2 || r.batches[0].count != 1 || r.batches[1].body != "z" {
			t.Fatalf("%d batches", len(r.batches))
		}
	})
}

func TestFullWithoutWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLoop(t, Config{}), &record{}
		w := l.Window(Options{}, r)
		big := strings.Repeat("y", earlyBytes)
		// While what is there is flushed, it fills up again: it must not be taken for one at rest.
		r.during = func() {
			w.Append(send(3, big))
			w.Append(send(4, "b"))
		}
		l.do(func() {
			w.Append(send(1, "a"))
			w.Append(send(2, big))
		})
		if got := r.take(); got != "a,"+big+"|"+big+"|b" {
			t.Fatalf("flushed %d bytes", len(got))
		}
		w.Append(send(5, "c"))
		after(0)
		want(t, r, "c")
		if l.Waiting() != 0 {
			t.Errorf("%d bytes wait", l.Waiting())
		}
	})
}

func TestSeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLoop(t, Config{}), &record{}
		w := l.Window(Options{Window: 50 * ms, Conflate: true}, r)
		w.Seal() // nothing to seal
		w.Append(set(1, "k", "a1"))
		w.Append(set(2, "k", "a2"))
		w.Seal()
		w.Seal()
		w.Append(set(3, "k", "a3"))
		w.Append(send(4, "b"))
		w.Seal() // at the end
		after(50 * ms)
		if len(r.batches) == 2 && (r.batches[0].last != 2 || r.batches[1].last != 4) {
			t.Errorf("%+v", r.batches)
		}
		want(t, r, "a2|a3,b")
		w.Append(send(5, "c"))
		after(50 * ms)
		want(t, r, "c")
	})
}

func TestExclusive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLoop(t, Config{}), &record{}
		w := l.Window(Options{Window: 50 * ms, Conflate: true}, r)
		exclusive := func(seq uint64) Message {
			return Message{Bytes: []byte("!"), Seq: seq, Exclusive: true, Set: true, Group: "g", Key: "k"}
		}
		w.Append(exclusive(1))
		w.Append(set(2, "k", "a"))
		w.Append(exclusive(3))
		w.Append(exclusive(4))
		w.Append(set(5, "k", "b"))
		after(50 * ms)
		var is []bool
		for _, f := range r.batches {
			is = append(is, f.exclusive)
		}
		if len(is) != 5 || !is[0] || is[1] || !is[2] || !is[3] || is[4] {
			t.Errorf("exclusive: %v", is)
		}
		want(t, r, "!|a|!|!|b")
	})
}

func TestExpedite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, opt := range []Options{{Window: 50 * ms}, {Window: 50 * ms, Eager: true}, {}} {
			l, r := newLoop(t, Config{}), &record{}
			w := l.Window(opt, r)
			w.Expedite() // nothing to expedite
			l.do(func() {
				w.Append(send(1, "a"))
				w.Expedite() // before the loop has seen it
			})
			want(t, r, "a")
			w.Append(send(2, "b"))
			after(ms)
			w.Expedite()
			w.Expedite()
			after(0)
			want(t, r, "b")
			l.do(func() {
				w.Append(send(3, "c"))
				w.Append(send(4, "d"))
			})
			after(50 * ms)
			if got := r.take(); got != "c,d" {
				t.Errorf("%+v: %q", opt, got)
			}
		}
	})
}

func TestClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, opt := range []Options{{Window: 50 * ms}, {Window: 50 * ms, Eager: true}, {}} {
			l, r := newLoop(t, Config{}), &record{}
			w := l.Window(opt, r)
			w.Clear()
			l.do(func() {
				w.Append(set(1, "k", "lost"))
				w.Clear()
			})
			if l.Waiting() != 0 {
				t.Errorf("%+v: %d bytes wait after Clear", opt, l.Waiting())
			}
			after(ms)
			want(t, r, "")
			l.do(func() {
				w.Append(send(2, "lost too"))
				w.Clear()
				w.Append(send(3, "a"))
			})
			after(50 * ms)
			want(t, r, "a")
			w.Append(send(4, "b"))
			after(50 * ms)
			want(t, r, "b")
		}
	})
}

func TestConflation(t *testing.T) {
	to := func(m Message, exclude string) Message {
		m.Exclude = exclude
		return m
	}
	other := set(2, "k", "y")
	other.Group = "h"
	for _, tt := range []struct {
		name      string
		off       bool
		messages  []Message
		body      string
		conflated int
	}{
		{"set, set", false, []Message{set(1, "k", "x"), set(2, "k", "yy"), set(3, "k", "z")}, "z", 2},
		{"other keys", false, []Message{set(1, "k", "x"), set(2, "l", "y"), set(3, "k", "zzz"), set(4, "m", "u")}, "y,zzz,u", 1},
		{"other groups", false, []Message{set(1, "k", "x"), other}, "x,y", 0},
		{"send", false, []Message{send(1, "x"), send(2, "y"), set(3, "k", "a"), send(4, "z"), set(5, "k", "b")}, "x,y,z,b", 1},
		{"delete between", false, []Message{set(1, "k", "x"), {Bytes: []byte("-"), Seq: 2, Group: "g", Key: "k"}, set(3, "k", "y")}, "-,y", 1},
		{"delete last", false, []Message{set(1, "k", "x"), {Bytes: []byte("-"), Seq: 2, Group: "g", Key: "k"}}, "x,-", 0},
		{"off", true, []Message{set(1, "k", "x"), set(2, "k", "y")}, "x,y", 0},
		{"exclude", false, []Message{set(1, "k", "x"), to(set(2, "k", "y"), "c1"), set(3, "k", "z")}, "x,y,z", 0},
		{"same exclude", false, []Message{to(set(1, "k", "x"), "c1"), to(set(2, "k", "y"), "c1")}, "y", 1},
		{"empty", false, []Message{set(1, "k", ""), set(2, "k", ""), send(3, "")}, ",", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, r := newLoop(t, Config{}), &record{}
				w := l.Window(Options{Window: 50 * ms, Conflate: !tt.off}, r)
				for range 2 { // what is kept from the first flush must not show in the second
					for _, m := range tt.messages {
						w.Append(m)
					}
					after(50 * ms)
					if len(r.batches) != 1 {
						t.Fatalf("%d batches", len(r.batches))
					}
					f := r.batches[0]
					var parts [][]byte
					for _, e := range f.entries {
						parts = append(parts, e.Bytes)
					}
					if f.body != tt.body || f.conflated != tt.conflated || f.count+f.conflated != len(tt.messages) ||
						string(bytes.Join(parts, []byte(","))) != tt.body || f.last != tt.messages[len(tt.messages)-1].Seq {
						t.Errorf("got %+v, want %q, %d conflated", f, tt.body, tt.conflated)
					}
					if want := strings.Contains(tt.name, "exclude"); f.excludes != want {
						t.Errorf("excludes %v, want %v", f.excludes, want)
					}
					r.take()
				}
				if l.Waiting() != 0 {
					t.Errorf("%d bytes wait", l.Waiting())
				}
			})
		})
	}
}
