package relay

import (
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"weir/internal/wire"
)

// fullSpread is from how many sessions on the closes of a drain are spread over all of its time: a few
// clients that come back at once are no herd.
const fullSpread = 1000

// drain ends all sessions, spread over the configured time, each after everything accepted for it has
// been sent. From its start the relay is not ready and takes no new sessions; backends may still publish.
func (r *Relay) drain() {
	r.draining.Store(true)
	list := r.sessions.all()
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	spread := min(r.hub.Config.Drain, maxDrain-drainPatience, max(100*time.Millisecond, r.hub.Config.Drain*time.Duration(len(list))/fullSpread))
	r.hub.Log.Info("draining", slog.Int("connections", len(list)), slog.Duration("spread", spread))
	start := time.Now()
	for i, s := range list {
		if wait := spread*time.Duration(i)/time.Duration(len(list)) - time.Since(start); wait > 0 {
			time.Sleep(wait)
		}
		retry := jitter(max(spread, time.Second))
		why := closing{code: wire.CloseDraining, reason: "retry=" + strconv.FormatInt(retry.Milliseconds(), 10), retry: retry}
		if !r.hub.Contain.Do("drain", func() { s.end(why) }) {
			s.conn.Abort()
		}
	}
	r.awaitReaders(spread)
}

// awaitReaders waits for the sessions to end, and ends those that do not.
func (r *Relay) awaitReaders(spread time.Duration) {
	done := make(chan struct{})
	r.hub.Contain.Go(nil, "wait for sessions", func() { // ends when the last session has: at the latest after the aborts below
		r.readers.Wait()
		close(done)
	}, nil)
	select {
	case <-done:
	case <-time.After(drainPatience):
		left := r.sessions.all()
		r.hub.Log.Warn("connections did not close in time", slog.Int("connections", len(left)), slog.Duration("spread", spread))
		for _, s := range left {
			s.conn.Abort()
		}
		select {
		case <-done:
		case <-time.After(drainPatience): // only a fault of ours keeps a session whose connection is closed
			r.hub.Log.Error("sessions did not end")
		}
	}
}

// A drain takes no longer than maxDrain, of which the last clients have drainPatience to answer their
// close.
const (
	maxDrain      = 30 * time.Second
	drainPatience = 5 * time.Second
)
