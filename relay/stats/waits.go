package stats

import (
	"sync"
	"sync/atomic"
	"time"
)

// Waits knows for how long the event loops have been at work without a rest. What a loop reads when it never comes to rest
// has waited: the more, the longer that goes on. The zero value is ready. Its methods may be called concurrently.
type Waits struct {
	mu    sync.Mutex
	loops []*LoopWait // one for each event loop ever opened, of which a process has few
}

// LoopWait is that of one event loop.
type LoopWait struct {
	busy atomic.Int64 // since when it has had no rest, in ns of this process's time; 0: it rests
}

// began is when the process's time begins.
var began = time.Now()

// Loop adds an event loop, which rests.
func (w *Waits) Loop() *LoopWait {
	l := new(LoopWait)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loops = append(w.loops, l)
	return l
}

// Rest notes that there is nothing to do. Called by the event loop, as Work is.
func (l *LoopWait) Rest() { l.busy.Store(0) }

// Work notes that there is something to do at now, whether there was before or not.
func (l *LoopWait) Work(now time.Time) {
	if l.busy.Load() == 0 {
		l.busy.Store(max(int64(now.Sub(began)), 1))
	}
}

// Longest is for how long that event loop has had no rest that has had none for longest.
func (w *Waits) Longest() time.Duration { return w.longest(time.Now()) }

func (w *Waits) longest(now time.Time) (d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.loops {
		if since := l.busy.Load(); since != 0 {
			d = max(d, now.Sub(began)-time.Duration(since))
		}
	}
	return d
}
