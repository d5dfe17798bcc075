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

// attempt tells a device, and settles what comes of it. A panic while it is told gives the device up: a library that does not
// like a key would do so again.
func (q *queue) attempt(a *attempt) {
	defer q.work.Done()
	o := outcome{verdict: refused, problem: "internal"}
	if a.device != nil {
		q.contain.Do("push", func() { o = q.send(a) })
	}
	q.settle(a, o)
}

func (q *queue) send(a *attempt) outcome {
	to := q.senders[a.device.Kind]
	if to == nil { // it was configured when the device came
		return outcome{verdict: alarming, problem: "devices of this kind are not configured any more"}
	}
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
		q.contain.Do("outcome of a push", func() { pruned = q.note(a, o, now) })
	}
	over, last := q.land(a, o, now, stopped, pruned)
	if last {
		q.contain.Do("result of a notification", func() { q.done(a.delivery) })
		q.release(a.delivery) // only now: until here one of the same id is not sent again
	}
	if over {
		q.kick()
	}
}

// note counts what came of an attempt. It answers whether the device was forgotten.
func (q *queue) note(a *attempt, o outcome, now time.Time) (pruned bool) {
	q.counted.attempt(a.device.Kind, o.verdict).Inc()
	if o.verdict == gone {
		pruned = q.forget(a.delivery.user, a.device)
	}
	level, text := slog.LevelWarn, "a push did not arrive"
	switch o.verdict {
	case alarming:
		level, text = slog.LevelError, "pushes are refused: this needs the operator"
	case failed, refused:
	default:
		return pruned
	}
	if q.alarms.due(alarm{a.device.Kind, o.verdict}, now) {
		q.log.Log(q.ctx, level, text, slog.String("kind", a.device.Kind), slog.String("problem", o.problem))
	}
	return pruned
}

// land is where an attempt is in flight no longer. It answers whether there may be more to do now, and whether its
// notification has no device left.
func (q *queue) land(a *attempt, o outcome, now time.Time, stopped, pruned bool) (over, last bool) {
	d := a.delivery
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inFlight--
	q.idle.Broadcast()
	if stopped {
		return false, false
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
		return true, false
	}
	d.left--
	if o.verdict == delivered {
		d.delivered++
	}
	if pruned {
		d.pruned++
	}
	return true, d.left == 0
}

// until is how long the devices of a notification are tried.
func (d *delivery) until(retry time.Duration) time.Time { return d.since.Add(retry) }

// alarms keeps the log from being told the same by every notification.
type alarms struct {
	mu   sync.Mutex
	last map[alarm]time.Time
}

// alarm is what the log is told of: a kind of device, and what came of an attempt.
type alarm struct {
	kind    string
	verdict verdict
}

// due says whether the log should be told: once a minute.
func (a *alarms) due(of alarm, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if last, ok := a.last[of]; ok && now.Sub(last) < time.Minute {
		return false
	}
	if a.last == nil {
		a.last = make(map[alarm]time.Time)
	}
	a.last[of] = now
	return true
}
