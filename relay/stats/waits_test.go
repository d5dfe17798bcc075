package stats

import (
	"testing"
	"time"
)

func TestWaits(t *testing.T) {
	var w Waits
	now := time.Now()
	want := func(d time.Duration) {
		t.Helper()
		if got := w.longest(now); got != d {
			t.Errorf("longest %v, want %v", got, d)
		}
	}
	want(0)
	a, b := w.Loop(), w.Loop()
	want(0)
	a.Work(now)
	now = now.Add(3 * time.Second)
	b.Work(now)
	a.Work(now) // there was something to do all the time
	now = now.Add(time.Second)
	want(4 * time.Second)
	a.Rest()
	want(time.Second)
	a.Work(now)
	b.Rest()
	want(0)
	a.Rest()
	now = now.Add(time.Second)
	want(0)
}
