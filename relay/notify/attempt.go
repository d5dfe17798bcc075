package notify

import (
	"container/heap"
	"context"
	"log/slog"
	"sync"
	"time"

	"weir/internal/retry"
)

// Between two tries at a device lies up to twice as long as before.
const (
	firstBackoff   = time.Second
	longestBackoff = time.Minute
)

// attempt tells a device, and settles what comes of it.
func (q *queue) attempt(a *attempt) {
	defer q.work.Done()
	if a.device == nil {
		q.settle(a, outcome{verdict: refused})
		return
	}
	q.settle(a, q.send(a))
}

func (q *queue) send(a *attempt) (o outcome) {
	to := q.senders[a.device.Kind]
	if to == nil { // it was configured when the device came
		return outcome{verdict: alarming, problem: "devices of this kind are not configured any more"}
	}
	defer func() { // a library that does not like a key must not end the process
		if x := recover(); x != nil {
			q.log.Error("push panicked", slog.String("kind", a.device.Kind), slog.Any("panic", x))
			o = outcome{verdict: refused, problem: "internal"}
		}
	}()
	ctx, cancel := context.WithTimeout(q.ctx, q.config.Timeout)
	defer cancel()
	return to.send(ctx, a.device, a.delivery.n)
}

// settle notes what came of an attempt: the device is done with, or waits for the next.
func (q *queue) settle(a *attempt, o outcome) {
	now := time.Now()
	stopped := q.ctx.Err() != nil && o.verdict == failed // it stays where it is, for the next process
	pruned := false
	if a.device != nil && !stopped {
		q.counted.attempt(a.device.Kind, o.verdict).Inc()
		if o.verdict == gone {
			pruned = q.forget(a.delivery.user, a.device)
		}
		if o.verdict == alarming && q.alarms.due(a.device.Kind, now) {
			q.log.Error("pushes are refused: this needs the operator", slog.String("kind", a.device.Kind), slog.String("problem", o.problem))
		}
	}
	d := a.delivery
	q.mu.Lock()
	q.inFlight--
	q.idle.Broadcast()
	if stopped {
		q.mu.Unlock()
		return
	}
	if a.device != nil {
		q.hosts.note(a.device, o, now)
	}
	a.tries++
	wait := retry.Backoff(a.tries, firstBackoff, longestBackoff)
	if o.wait > 0 {
		wait += o.wait // not all of those that were asked to wait come back at once
	}
	if o.verdict == failed && !now.Add(wait).After(d.until(q.config.Retry)) {
		a.at = now.Add(wait)
		heap.Push(&q.later, a)
		q.mu.Unlock()
		q.schedule()
		return
	}
	d.left--
	if o.verdict == delivered {
		d.delivered++
	}
	if pruned {
		d.pruned++
	}
	last := d.left == 0
	q.mu.Unlock()
	if last {
		q.done(d)
		q.release(d) // only now: until here one of the same id is not sent again
	}
	q.schedule()
}

// until is how long the devices of a notification are tried.
func (d *delivery) until(retry time.Duration) time.Time { return d.since.Add(retry) }

// alarms keeps the log from being told the same by every notification.
type alarms struct {
	mu   sync.Mutex
	last map[string]time.Time // by kind
}

// due says whether the log should be told: once a minute.
func (a *alarms) due(kind string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, ok := a.last[kind]; ok && now.Sub(last) < time.Minute {
		return false
	}
	if a.last == nil {
		a.last = make(map[string]time.Time)
	}
	a.last[kind] = now
	return true
}
