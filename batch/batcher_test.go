package batch

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetDelaysEagerNotTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r, ticked := newLoop(t, Config{}), &record{}, &record{}
		plain := l.Window(Options{Window: 10 * ms}, ticked)
		eager := l.Window(Options{Window: 200 * ms, Eager: true}, r)
		zero := l.Window(Options{}, r)
		after(0)
		l.spent(21 * ms) // a millisecond of it is covered by credit
		plain.Append(send(1, "p"))
		eager.Append(send(1, "e"))
		zero.Append(send(1, "z"))
		after(10 * ms)
		want(t, ticked, "p")
		after(9 * ms)
		want(t, r, "")
		after(ms + 2*time.Microsecond)
		want(t, r, "e|z")
		after(10 * ms)
		zero.Append(send(2, "z2"))
		after(0)
		want(t, r, "z2")
		// Debt has a bound: eager flushes are silenced for no longer than that.
		l.spent(10 * time.Second)
		zero.Append(send(3, "z3"))
		after(maxDebt - ms)
		want(t, r, "")
		after(2 * ms)
		want(t, r, "z3")
	})
}

func TestTickSettlesWhatWaitedForTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLoop(t, Config{}), &record{}
		w := l.Window(Options{Window: 20 * ms, Eager: true}, r)
		after(ms)
		l.spent(31 * ms)
		w.Append(send(1, "a")) // may go in 30 ms, but its tick comes before
		after(20 * ms)
		want(t, r, "a")
		w.Append(send(2, "b"))
		after(15 * ms) // the budget is there now, and it is not for b
		want(t, r, "")
		after(5 * ms)
		want(t, r, "b")
	})
}

func TestEarlyFlushSettlesWhatWaitedForTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLoop(t, Config{}), &record{}
		w := l.Window(Options{Window: 50 * ms, Eager: true}, r)
		after(ms)
		l.spent(11 * ms)
		w.Append(send(1, strings.Repeat("x", earlyBytes)))
		after(0)
		if len(r.take()) != earlyBytes {
			t.Fatal("not flushed")
		}
		w.Append(send(2, "b"))
		after(48 * ms)
		want(t, r, "")
		after(ms)
		want(t, r, "b")
	})
}

func TestOverrunRearmsFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &record{}
		b := New(Config{}) // driven by hand: the loop comes late
		w := b.Window(Options{Window: 50 * ms}, r)
		w.Append(send(1, "a"))
		now := time.Now()
		if next := b.Run(now); next.Sub(now) != 50*ms {
			t.Fatalf("next %v", next.Sub(now))
		}
		late := now.Add(170 * ms)
		if next := b.Run(late); next.Sub(late) != 50*ms {
			t.Fatalf("after an overrun: next in %v", next.Sub(late))
		}
		want(t, r, "a")
		w.Append(send(2, "b"))
		b.Run(late.Add(49 * ms))
		want(t, r, "")
		slightly := late.Add(51 * ms)
		if next := b.Run(slightly); next.Sub(late) != 100*ms { // late, but not by a window: the pace is kept
			t.Fatalf("next %v", next.Sub(late))
		}
		want(t, r, "b")
	})
}

func TestFlushAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &record{}
		b := New(Config{})
		ws := []*Window{
			b.Window(Options{Window: time.Second}, r),
			b.Window(Options{Window: time.Minute, Eager: true}, r),
			b.Window(Options{}, r),
		}
		b.Spent(time.Second, time.Now(), 1, 1)
		for i, w := range ws { // never seen by the loop
			w.Append(send(1, string(rune('a'+i))))
		}
		b.FlushAll(time.Now())
		if len(r.batches) != 3 || b.Waiting() != 0 {
			t.Fatalf("%q, %d bytes wait", r.take(), b.Waiting())
		}
		r.take()
		b.Spent(time.Second, time.Now(), 1, 1)
		b.Run(time.Now())
		for i, w := range ws { // open, and waiting for a tick or the budget
			w.Append(send(2, string(rune('a'+i))))
		}
		b.Run(time.Now())
		want(t, r, "")
		b.FlushAll(time.Now())
		if len(r.batches) != 3 || b.Waiting() != 0 {
			t.Fatalf("%q, %d bytes wait", r.take(), b.Waiting())
		}
	})
}

func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &record{}
		b := New(Config{MaxWaiting: 10})
		w := b.Window(Options{Window: 50 * ms, Conflate: true}, r)
		w.Append(set(1, "k", "12345"))
		w.Append(set(2, "k", "67890"))
		if b.Full() || b.Waiting() != 10 { // replaced ones take room until the flush
			t.Errorf("full %v with %d", b.Full(), b.Waiting())
		}
		w.Append(send(3, "x"))
		if !b.Full() || b.Waiting() != 11 {
			t.Errorf("full %v with %d", b.Full(), b.Waiting())
		}
		b.FlushAll(time.Now())
		if b.Full() || b.Waiting() != 0 {
			t.Errorf("full %v with %d", b.Full(), b.Waiting())
		}
		want(t, r, "67890,x")
		other := b.Window(Options{}, r)
		if other.Full() {
			t.Error("an idle window is full")
		}
		other.Append(send(1, strings.Repeat("x", maxHeld-1)))
		if other.Full() {
			t.Error("full before its bound")
		}
		other.Append(send(2, "")) // a comma
		if !other.Full() || w.Full() {
			t.Errorf("full %v at its bound, the other window %v", other.Full(), w.Full())
		}
		b.FlushAll(time.Now())
		if other.Full() {
			t.Error("full after a flush")
		}
		if New(Config{}).maxWaiting != 64<<20 {
			t.Error("default bound")
		}
	})
}

func TestLargeWorkIsNotKept(t *testing.T) {
	buf := new(buffer)
	buf.add(&Message{Bytes: make([]byte, maxKept+1)}, false)
	if buf.empty() {
		t.Error("kept")
	}
	buf = new(buffer)
	buf.add(&Message{Bytes: []byte("x"), Exclude: "c"}, false)
	if !buf.empty() || len(buf.bytes)+len(buf.marks)+len(buf.seals) > 0 || buf.excludes {
		t.Errorf("not empty: %+v", buf)
	}
}
