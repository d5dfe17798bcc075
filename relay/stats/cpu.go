package stats

import (
	"runtime"
	"sync"
	"time"

	"weir/internal/process"
)

// loadSpan is how far back the load looks, at least.
const loadSpan = 90 * time.Millisecond

// ProcessLoad returns a function that returns which share of its processors, GOMAXPROCS of them, this process has used
// lately: from 0 to 1. It may be called concurrently, and often. What the kernel does for the process outside of its
// system calls does not count, so that a processor is full from some 0.9 on.
func ProcessLoad() func() float64 {
	m := &loadMeter{at: time.Now(), used: process.CPUTime()}
	return func() float64 { return m.share(time.Now(), process.CPUTime, runtime.GOMAXPROCS(0)) }
}

// loadMeter measures the load.
type loadMeter struct {
	mu   sync.Mutex
	at   time.Time     // of the last measurement
	used time.Duration // processor time by then
	last float64
}

// share measures, if the last time is long enough ago.
func (m *loadMeter) share(now time.Time, used func() time.Duration, processors int) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := now.Sub(m.at); d >= loadSpan {
		u := used()
		m.last = min(float64(u-m.used)/float64(d)/float64(processors), 1)
		m.at, m.used = now, u
	}
	return m.last
}
