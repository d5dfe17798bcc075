package loadtest

import "sync"

// gauge holds what is known of the target's usage.
type gauge struct {
	mu sync.Mutex

	// Guarded by mu.
	cpu, rss int64 // as read last; rss is 0 when the last reading failed
	taken    int64 // CPU that take has handed out
	known    bool
}

// read asks for the usage. A failure leaves the CPU as it was: the target may be restarting.
func (g *gauge) read(u usage) {
	if u == nil {
		return
	}
	cpu, rss, err := u()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.rss = 0
		return
	}
	if !g.known || cpu < g.taken { // the first time, or another process than before
		g.taken = cpu
	}
	g.cpu, g.rss, g.known = cpu, rss, true
}

// take returns the CPU used since the last take, and the memory, which is 0 when it is not known.
func (g *gauge) take() (cpu, rss int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	cpu = g.cpu - g.taken
	g.taken = g.cpu
	return cpu, g.rss
}

// get returns the CPU used in all, and the memory.
func (g *gauge) get() (cpu, rss int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cpu, g.rss
}
