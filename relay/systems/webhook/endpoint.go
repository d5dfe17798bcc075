package webhook

import (
	"container/heap"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/contain"
	"weir/relay/config"
)

// parallel is how many events an endpoint is sent at once, each of another key.
const parallel = 16

// endpoint is one configured address: what waits for it, and how it fares.
type endpoint struct {
	// Set once by newEndpoint.
	config  config.Webhook
	keys    [][]byte
	shelf   *shelf
	client  *http.Client
	run     func(work func()) bool // on a pool that has room for all that is in flight; false: it is closed
	log     *slog.Logger
	counted counters
	contain contain.Hook
	ctx     context.Context // of attempts; ended by stop

	// Guarded by mu, which is never held while anything is sent, published or logged.
	mu       sync.Mutex
	lanes    map[string]*lane // by key, those with events
	ready    []*lane          // that may be sent from, in order of when they became so
	later    lanes            // that wait for their next attempt
	size     int              // events that wait or are in flight, and places promised
	inFlight int
	breaker  breaker
	paused   time.Time // until when the receiver has asked for peace
	disabled bool      // it has answered 410
	closing  bool
	timer    *time.Timer // for what comes next; stopped by stop
	idle     *sync.Cond  // something has come back; its lock is mu

	buried atomic.Int64   // when the log was told of an event that was given up, in ms since 1970
	work   sync.WaitGroup // attempts; stop waits
}

// lane is the events of one key, of which one request at a time is under way. Guarded by the endpoint's mu.
type lane struct {
	key    string
	events []*event
	at     time.Time // of the next attempt
	loaded int       // how many of them are under way
	alone  int       // how many are to be sent one at a time: something of a request with them was refused
}

// accept takes an event on, or gives it up at once if there is no room. Wait, unless it is nil, answers when the
// event will not be lost by a restart.
func (p *endpoint) accept(e *event) (wait func() error) {
	p.mu.Lock()
	reason := ""
	switch {
	case p.disabled:
		reason = "gone"
	case p.size >= p.config.Queue:
		reason = "full"
	default:
		p.size++ // the place is promised: what is kept will be sent
	}
	p.mu.Unlock()
	if reason == "" {
		var err error
		if wait, err = p.shelf.keep(e); err != nil {
			e.problem = err.Error()
			reason = "full"
			p.mu.Lock()
			p.size--
			p.mu.Unlock()
		}
	}
	if reason != "" {
		p.bury(e, reason)
		return nil
	}
	p.enter(e)
	p.kick()
	return wait
}

// enter lets an event wait that is kept and counted, unless the endpoint has been disabled in between.
func (p *endpoint) enter(e *event) {
	p.mu.Lock()
	disabled := p.disabled
	if disabled {
		p.size--
	} else {
		p.push(e)
	}
	p.mu.Unlock()
	if disabled {
		p.bury(e, "gone")
		p.forget(e)
	}
}

// push appends an event to the lane of its key. The caller holds mu and has counted it in size.
func (p *endpoint) push(e *event) {
	key := "k" + e.key
	if e.key == "" {
		key = "i" + e.id // nothing to keep in order with
	}
	l := p.lanes[key]
	if l == nil {
		l = &lane{key: key}
		p.lanes[key] = l
		p.ready = append(p.ready, l)
	}
	l.events = append(l.events, e)
}

// schedule starts every attempt that is due, and sees to it that it is called again when the next one is.
func (p *endpoint) schedule() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil || p.disabled {
		return
	}
	now := time.Now()
	for len(p.later) > 0 && !p.later[0].at.After(now) {
		p.ready = append(p.ready, heap.Pop(&p.later).(*lane))
	}
	var next time.Time
	for len(p.ready) > 0 && p.inFlight < parallel {
		if now.Before(p.paused) {
			next = p.paused
			break
		}
		ok, again := p.breaker.ready(now)
		if !ok {
			next = again
			break
		}
		c := p.load()
		p.breaker.begin()
		p.inFlight++
		p.work.Add(1)
		if !p.run(func() { p.attempt(c) }) { // ended by its timeout or ctx; stop waits
			p.work.Done()
			p.inFlight--
			return
		}
	}
	if len(p.later) > 0 && (next.IsZero() || p.later[0].at.Before(next)) && !p.closing {
		next = p.later[0].at
	}
	if next.IsZero() {
		return
	}
	p.wake(next.Sub(now))
}

// kick is schedule, which is called again in a while after a panic: nobody else would.
func (p *endpoint) kick() {
	if p.contain.Do("schedule of a webhook", p.schedule) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() == nil {
		p.wake(firstBackoff)
	}
}

// wake has kick called after a while. The caller holds mu.
func (p *endpoint) wake(after time.Duration) {
	if p.timer == nil {
		p.timer = p.contain.After(after, "timer of a webhook", p.kick, p.kick)
	} else {
		p.timer.Reset(after)
	}
}

// bury gives an event up: it is found in the dead letters. The log is told of one a second.
func (p *endpoint) bury(e *event, reason string) {
	p.counted.dead(reason).Inc()
	now := time.Now().UnixMilli()
	if last := p.buried.Load(); now-last >= 1000 && p.buried.CompareAndSwap(last, now) {
		p.log.Warn("event given up: it is among the dead letters", slog.String("webhook", p.config.Name), slog.String("event", e.id),
			slog.String("reason", reason), slog.String("problem", e.problem))
	}
	if err := p.shelf.bury(e, reason); err != nil {
		p.log.Error("event lost", slog.String("webhook", p.config.Name), slog.String("event", e.id), slog.String("error", err.Error()))
	}
}

// enable tries an endpoint again, whatever it has answered before.
func (p *endpoint) enable() {
	p.mu.Lock()
	p.disabled, p.paused = false, time.Time{}
	p.breaker.reset()
	p.mu.Unlock()
	p.kick()
}

// replay puts dead events back into the queue, as many as there is room for: those that only names, or all of
// them if it is nil. It answers how many, and how many of the wanted stay dead.
func (p *endpoint) replay(only map[string]bool) (replayed, left int, err error) {
	if err := p.shelf.broker.Load(p.shelf.dead); err != nil { // damaged is not empty
		return 0, 0, err
	}
	list, err := p.shelf.buried()
	if err != nil {
		return 0, 0, err
	}
	p.enable()
	for _, e := range list {
		if only != nil && !only[e.id] {
			continue
		}
		e.since = time.Now() // it gets its whole time again
		p.mu.Lock()
		room := p.size < p.config.Queue && !p.closing
		if room {
			p.size++
		}
		p.mu.Unlock()
		if room {
			if _, err := p.shelf.keep(e); err != nil { // revive, which comes after it, is on disk after it
				room = false
				p.mu.Lock()
				p.size--
				p.mu.Unlock()
			}
		}
		if !room {
			left++
			continue
		}
		if err := p.shelf.revive(e.id); err != nil {
			p.log.Warn("dead event not removed", slog.String("webhook", p.config.Name), slog.String("event", e.id), slog.String("error", err.Error()))
		}
		p.enter(e)
		replayed++
	}
	p.kick()
	return replayed, left, nil
}

// restore takes on what waited when the process before ended. Before anything is accepted.
func (p *endpoint) restore() error {
	list, err := p.shelf.waiting()
	if err != nil {
		return err
	}
	if err := p.shelf.restore(); err != nil {
		return err
	}
	p.mu.Lock()
	for _, e := range list { // also beyond the bound: they were accepted
		p.size++
		p.push(e)
	}
	p.mu.Unlock()
	p.kick()
	return nil
}

// finish lets what is due be sent, and waits for that, but not longer than until ctx is done. What is not
// delivered then stays in its channel.
func (p *endpoint) finish(ctx context.Context) {
	stop := p.contain.Upon(ctx, "end of a webhook", p.rouse, p.rouse)
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = true
	for ctx.Err() == nil && (p.inFlight > 0 || len(p.ready) > 0 && !p.breaker.open && !time.Now().Before(p.paused)) && !p.disabled {
		p.idle.Wait()
	}
}

// rouse has finish look.
func (p *endpoint) rouse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle.Broadcast()
}

// stop ends the timer and waits for attempts, whose context has ended.
func (p *endpoint) stop() {
	p.mu.Lock()
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.work.Wait()
	p.client.CloseIdleConnections()
}

// lanes is a heap of lanes by the time of their next attempt.
type lanes []*lane

func (h lanes) Len() int           { return len(h) }
func (h lanes) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h lanes) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *lanes) Push(x any) { *h = append(*h, x.(*lane)) }

// Pop implements heap.Interface.
func (h *lanes) Pop() any {
	old := *h
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return l
}
