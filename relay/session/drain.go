package session

import (
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"weir/internal/retry"
	"weir/internal/wire"
)

// fullSpread is from how many sessions on the closes of a drain are spread over all of its time: a few
// clients that come back at once are no herd.
const fullSpread = 1000

// Drain ends all sessions, spread over the configured time, each after everything accepted for it has
// been sent. From its start the relay is not ready and takes no new sessions; backends may still publish.
func (m *Manager) Drain() {
	m.draining.Store(true)
	list := m.sessions.all()
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	spread := min(m.hub.Config.Drain, maxDrain-drainPatience, max(100*time.Millisecond, m.hub.Config.Drain*time.Duration(len(list))/fullSpread))
	m.hub.Log.Info("draining", slog.Int("connections", len(list)), slog.Duration("spread", spread))
	start := time.Now()
	for i, s := range list {
		if wait := spread*time.Duration(i)/time.Duration(len(list)) - time.Since(start); wait > 0 {
			time.Sleep(wait)
		}
		why := comeBack(max(spread, time.Second))
		if !m.hub.Contain.Do("drain", func() { s.Close(why) }) {
			s.conn.Abort()
		}
	}
	m.awaitReaders(spread)
}

// awaitReaders waits for the sessions to end, and ends those that do not.
func (m *Manager) awaitReaders(spread time.Duration) {
	done := make(chan struct{})
	m.hub.Contain.Go(nil, "wait for sessions", func() { // ends when the last session has: at the latest after the aborts below
		m.readers.Wait()
		close(done)
	}, nil)
	select {
	case <-done:
	case <-time.After(drainPatience):
		left := m.sessions.all()
		m.hub.Log.Warn("connections did not close in time", slog.Int("connections", len(left)), slog.Duration("spread", spread))
		for _, s := range left {
			s.conn.Abort()
		}
		select {
		case <-done:
		case <-time.After(drainPatience): // only a fault of ours keeps a session whose connection is closed
			m.hub.Log.Error("sessions did not end")
		}
	}
}

// A drain takes no longer than maxDrain, of which the last clients have drainPatience to answer their close.
const (
	maxDrain      = 30 * time.Second
	drainPatience = 5 * time.Second
)

// comeBack closes a session whose client is to come back after around d: half of it up to one and a half.
func comeBack(d time.Duration) Closing {
	later := d/2 + retry.Jitter(d)
	return Closing{Code: wire.CloseDraining, Reason: "retry=" + strconv.FormatInt(later.Milliseconds(), 10), Retry: later}
}
