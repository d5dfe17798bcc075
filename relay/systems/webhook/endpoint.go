package webhook

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/contain"
	"weir/internal/safedial"
	"weir/internal/sign"
	"weir/relay/systems/internal/breaker"
	"weir/relay/systems/internal/retryqueue"
)

// parallel is how many requests to an endpoint are under way at once.
const parallel = 16

// endpoint is one configured address, and what is to be sent there.
type endpoint struct {
	// Set once by newEndpoint.
	config   Webhook
	keys     [][]byte
	store    *store
	client   *http.Client
	log      *slog.Logger
	counters counters
	contain  contain.Hook
	queue    *retryqueue.Queue[*event]

	breaker breaker.Breaker // keeps an address that does not respond from a request for every event that waits

	// Guarded by mu, which is taken inside the queue's and before the breaker's.
	mu       sync.Mutex
	paused   time.Time // until when the receiver has asked not to be sent anything
	disabled bool      // it has responded with 410
	closing  bool

	buried atomic.Int64 // when the log last named an event that was given up, in ms since 1970
}

func (s *System) newEndpoint(ctx context.Context, w Webhook) (*endpoint, error) {
	for _, other := range s.endpoints {
		if other.config.Name == w.Name {
			return nil, errors.New("duplicate name: already used by another webhook")
		}
	}
	keys, err := sign.ParseSecrets(w.Secrets)
	if err != nil {
		return nil, err
	}
	p := &endpoint{config: w, keys: keys, contain: s.host.Contain(), log: s.host.Log(), store: newStore(w.Name, s.channels())}
	p.client = safedial.For(w.Timeout, w.AllowInsecure, s.host.Config().Dev)
	p.queue = p.newQueue(ctx)
	p.counters = newCounters(s.host.Metrics(), p)
	return p, nil
}

// newQueue sets the limits of the breaker, which is the queue's gate, and returns the queue.
func (p *endpoint) newQueue(ctx context.Context) *retryqueue.Queue[*event] {
	p.breaker.After, p.breaker.First, p.breaker.Longest = breakAfter, firstRest, longestRest
	return retryqueue.New(ctx, retryqueue.Options[*event]{
		Attempt: p.attempt, Parallel: parallel, Limit: p.config.Queue, Backoff: firstBackoff,
		Batch: p.config.Batch, Weight: func(e *event) int { return len(e.body) }, MaxWeight: maxBody,
		Gate: p.gate, Contain: p.contain,
	})
}

// gate reports whether a request may begin now. If it may, the breaker counts it.
func (p *endpoint) gate(now time.Time) (ok bool, again time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.disabled:
		return false, time.Time{}
	case now.Before(p.paused):
		return false, p.paused
	}
	return p.breaker.Next(now)
}

// accept queues an event, or gives it up at once if there is no room. Wait, unless it is nil, returns when a restart
// does not lose the event.
func (p *endpoint) accept(e *event) (wait func() error) {
	switch {
	case p.isDisabled():
		p.bury(e, "gone")
		return nil
	case !p.queue.Reserve():
		p.bury(e, "full")
		return nil
	}
	wait, err := p.store.add(e)
	if err != nil {
		p.queue.Release()
		e.problem = err.Error()
		p.bury(e, "full")
		return nil
	}
	p.enqueue(e)
	return wait
}

// enqueue queues an event that is stored and has a place.
func (p *endpoint) enqueue(e *event) {
	p.queue.Fill(e.key, e)
	if p.isDisabled() { // meanwhile: what removes everything then may have been here before the event
		p.giveUpAll()
	}
}

func (p *endpoint) isDisabled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.disabled
}

// bury gives an event up: it becomes a dead letter. The log names one a second.
func (p *endpoint) bury(e *event, reason string) {
	p.counters.dead[reason].Inc()
	now := time.Now().UnixMilli()
	if last := p.buried.Load(); now-last >= 1000 && p.buried.CompareAndSwap(last, now) {
		p.log.Warn("event given up: it is among the dead letters", slog.String("webhook", p.config.Name), slog.String("event", e.id),
			slog.String("reason", reason), slog.String("problem", e.problem))
	}
	if err := p.store.bury(e, reason); err != nil {
		p.log.Error("event lost", slog.String("webhook", p.config.Name), slog.String("event", e.id), slog.String("error", err.Error()))
	}
}

// remove removes an event that is delivered or given up from the store.
func (p *endpoint) remove(e *event) {
	if err := p.store.remove(e.id); err != nil {
		p.log.Warn("event not removed: it is sent again after a restart",
			slog.String("webhook", p.config.Name), slog.String("event", e.id), slog.String("error", err.Error()))
	}
}

// enable has the endpoint tried again, whatever its last responses were.
func (p *endpoint) enable() {
	p.mu.Lock()
	p.disabled, p.paused = false, time.Time{}
	p.breaker.Done(time.Now(), false)
	p.mu.Unlock()
	p.queue.Kick()
}

// replay queues dead letters again, as many as there is room for: those of the ids, or all of them if ids is nil. It returns
// how many, and how many of the wanted stay dead.
func (p *endpoint) replay(ids []string) (replayed, left int, err error) {
	if p.store.broker != nil {
		if err := p.store.broker.Load(p.store.dead); err != nil { // damaged is not empty
			return 0, 0, err
		}
	}
	list, err := p.store.events(p.store.dead)
	if err != nil {
		return 0, 0, err
	}
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	p.enable()
	for _, e := range list {
		if ids != nil && !wanted[e.id] {
			continue
		}
		e.since, e.attempts, e.problem = time.Now(), 0, "" // it is tried for the whole time again
		if !p.requeue(e) {
			left++
			continue
		}
		replayed++
	}
	return replayed, left, nil
}

// requeue queues a dead letter again. It returns false if there is no room.
func (p *endpoint) requeue(e *event) bool {
	p.mu.Lock()
	closing := p.closing
	p.mu.Unlock()
	if closing || !p.queue.Reserve() {
		return false
	}
	if _, err := p.store.add(e); err != nil { // on disk before the removal below
		p.queue.Release()
		return false
	}
	if err := p.store.removeDead(e.id); err != nil {
		p.log.Warn("dead letter not removed", slog.String("webhook", p.config.Name), slog.String("event", e.id), slog.String("error", err.Error()))
	}
	p.enqueue(e)
	return true
}

// restore queues what waited when the process before ended. It is called before anything is accepted.
func (p *endpoint) restore() error {
	list, err := p.store.events(p.store.queue)
	if err != nil {
		return err
	}
	if err := p.store.restore(); err != nil {
		return err
	}
	for _, e := range list { // also beyond the limit: they were accepted
		p.queue.Add(e.key, e)
	}
	return nil
}

// finish sends what is due, and returns when that is done or ctx is. What is not delivered then stays in the store.
func (p *endpoint) finish(ctx context.Context) {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	p.queue.Finish(ctx, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return !p.disabled && !p.breaker.Broken() && !time.Now().Before(p.paused)
	})
}

// stop waits for the requests under way, whose context is done.
func (p *endpoint) stop() {
	p.queue.Stop()
	p.client.CloseIdleConnections()
}

// The limits of a breaker.
const (
	breakAfter  = 5           // failures in a row that open it
	firstRest   = time.Second // before the first probe
	longestRest = time.Minute // between later ones
)
