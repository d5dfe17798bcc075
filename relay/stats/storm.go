package stats

import (
	"runtime"
	"time"
)

// storm finds out when many connections have come and no more come: what their handshakes took and nobody needs is then given
// back to the system, which the runtime alone would do minutes later, and in part. That costs a collection, so it waits until the
// process has little to do.
type storm struct {
	// Set once.
	opened func() uint64        // connections so far
	cpu    func() time.Duration // of the process so far
	free   func()

	// Owned by who looks.
	seen    uint64
	used    time.Duration
	at      time.Time
	pending uint64 // connections since memory was given back
	calm    int    // looks in a row at which hardly any came
}

const (
	stormCheck = 5 * time.Second
	stormSize  = 1000 // connections for which it is worth it
	stormCalm  = 2    // looks
)

// look is called every stormCheck.
func (s *storm) look(now time.Time) {
	opened, used := s.opened(), s.cpu()
	came, spent, passed := opened-s.seen, used-s.used, now.Sub(s.at)
	s.seen, s.used, s.at = opened, used, now
	s.pending += came
	if came*100 > s.pending { // more than one in a hundred of them
		s.calm = 0
		return
	}
	s.calm++
	if s.pending < stormSize || s.calm < stormCalm || spent > passed*time.Duration(runtime.GOMAXPROCS(0))/4 {
		return
	}
	s.pending, s.calm = 0, 0
	s.free()
	s.used = s.cpu()
}
