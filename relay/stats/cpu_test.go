package stats

import (
	"testing"
	"time"
)

func TestLoadMeter(t *testing.T) {
	now, used := time.Unix(100, 0), time.Duration(0)
	m := &loadMeter{at: now}
	share := func() float64 { return m.share(now, func() time.Duration { return used }, 2) }
	if got := share(); got != 0 {
		t.Errorf("at first %v", got)
	}
	now, used = now.Add(100*time.Millisecond), 100*time.Millisecond
	if got := share(); got != 0.5 {
		t.Errorf("one of two processors: %v", got)
	}
	now, used = now.Add(loadSpan-1), used+time.Second
	if got := share(); got != 0.5 {
		t.Errorf("looked too early: %v", got)
	}
	now = now.Add(1)
	if got := share(); got != 1 {
		t.Errorf("more than there is: %v", got)
	}
	now = now.Add(time.Minute)
	if got := share(); got != 0 {
		t.Errorf("at rest: %v", got)
	}
}

// It follows what the process does.
func TestProcessLoad(t *testing.T) {
	load := ProcessLoad()
	deadline := time.Now().Add(10 * time.Second)
	for load() == 0 {
		if time.Now().After(deadline) {
			t.Fatal("a process that turns in a circle has no load")
		}
	}
}
