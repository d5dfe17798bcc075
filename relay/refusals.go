package relay

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"weir/relay/auth"
	"weir/relay/problem"
)

// refusals tells operators why tokens are refused: one line in the log for each reason and second, which says how many
// more there were. What is said is made of fixed words: nothing of a token is in it.
type refusals struct {
	// Guarded by mu, a leaf.
	mu   sync.Mutex
	told map[auth.Reason]lastRefusal
}

type lastRefusal struct {
	at    time.Time
	since int // more of the reason that were not told
}

// take says whether a refusal is to be told, and how many were not told since the last that was.
func (v *refusals) take(reason auth.Reason, now time.Time) (since int, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	last := v.told[reason]
	if now.Sub(last.at) < time.Second {
		last.since++
		v.told[reason] = last
		return 0, false
	}
	if v.told == nil {
		v.told = make(map[auth.Reason]lastRefusal)
	}
	v.told[reason] = lastRefusal{at: now}
	return last.since, true
}

// refusedToken is the answer to a token that was refused, after that was counted and told. In development mode it says
// why; elsewhere that would help those who guess.
func (r *Relay) refusedToken(err error) *problem.Error {
	reason := auth.ReasonOf(err)
	r.metrics.AuthFailures.Of(string(reason)).Inc()
	var refused *auth.Error
	if !errors.As(err, &refused) {
		return problem.Unauthorized
	}
	if since, ok := r.refusals.take(reason, time.Now()); ok {
		r.log.Warn("token refused", slog.String("reason", string(reason)), slog.String("why", refused.Explain()), slog.Int("more", since))
	}
	switch {
	case refused.Retry:
		return problem.NoKeys
	case r.cfg.Dev:
		g := *problem.Unauthorized
		g.Detail = string(reason) + ": " + refused.Explain()
		return &g
	}
	return problem.Unauthorized
}
