package stats

import (
	"runtime"
	"testing"
	"time"
)

// Memory is given back once, when a storm has passed and the process has little to do.
func TestStorm(t *testing.T) {
	var opened uint64
	var cpu time.Duration
	freed := 0
	s := storm{opened: func() uint64 { return opened }, cpu: func() time.Duration { return cpu }, free: func() { freed++ }}
	now := time.Unix(1000, 0)
	busy := stormCheck * time.Duration(runtime.GOMAXPROCS(0)) / 2
	look := func(came uint64, used time.Duration, want int) {
		t.Helper()
		now = now.Add(stormCheck)
		opened += came
		cpu += used
		if s.look(now); freed != want {
			t.Fatalf("given back %d times, want %d", freed, want)
		}
	}
	look(0, 0, 0)
	look(100, 0, 0)
	look(0, 0, 0)
	look(0, 0, 0) // too few
	for range 3 {
		look(5000, 0, 0)
	}
	look(10, 0, 0)   // over, perhaps
	look(1000, 0, 0) // it was not
	look(0, 0, 0)    // calm
	look(0, busy, 0) // but there is much to do
	look(20, 0, 1)   // now
	look(0, 0, 1)    // once
	look(0, 0, 1)    // and not again
	look(1000, 0, 1) // until the next one
	look(0, busy, 1)
	look(0, busy, 1)
	look(0, 0, 2)
}
