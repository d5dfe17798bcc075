package notify

import (
	"context"
	"log/slog"
	"time"

	"weir/internal/retry"
	"weir/relay/systems/internal/retryqueue"
)

// The bounds of the pauses between two attempts at a device, which double.
const (
	firstBackoff   = time.Second
	longestBackoff = time.Minute
)

// attempt sends to one device and notes the outcome. A panic while it is sent gives the device up: a library that does not
// like a key would panic again.
func (q *queue) attempt(ctx context.Context, b *retryqueue.Batch[target]) {
	t, tries := b.Parts[0].Items[0], b.Parts[0].Tries+1
	o := outcome{verdict: refused, problem: "internal"}
	if t.device != nil {
		q.contain.Do("push", func() { o = q.send(ctx, t) })
	}
	if ctx.Err() != nil && o.verdict == failed {
		b.Settle(retryqueue.Result{At: time.Now()}) // it stays where it is, for the next process
		return
	}
	now := time.Now()
	pruned := false
	if t.device != nil {
		q.contain.Do("outcome of a push", func() { pruned = q.note(ctx, t, o, now) })
	}
	again, last := q.count(t, o, tries, now, pruned)
	if !again.IsZero() {
		b.Settle(retryqueue.Result{At: again})
		return
	}
	b.Settle(retryqueue.Result{Done: 1})
	if last {
		q.contain.Do("result of a notification", func() { q.done(t.delivery) })
		q.release(t.delivery) // only now: until here one of the same id is not sent again
	}
}

func (q *queue) send(ctx context.Context, t target) outcome {
	to := q.transports[t.device.Kind]
	if to == nil { // it was configured when the device was registered
		return outcome{verdict: alarming, problem: "devices of this kind are not configured any more"}
	}
	ctx, cancel := context.WithTimeout(ctx, q.config.Timeout)
	defer cancel()
	return to.send(ctx, t.device, t.delivery.n)
}

// note counts and logs the outcome of an attempt. It reports whether the device was removed.
func (q *queue) note(ctx context.Context, t target, o outcome, now time.Time) (pruned bool) {
	q.counters.attempts[t.device.Kind][o.verdict].Inc()
	if o.verdict == gone {
		pruned = q.forget(t.delivery.user, t.device)
	}
	level, text := slog.LevelWarn, "a push did not arrive"
	switch o.verdict {
	case alarming:
		level, text = slog.LevelError, "pushes are refused: this needs the operator"
	case failed, refused:
	default:
		return pruned
	}
	if q.due(alarm{t.device.Kind, o.verdict}, now) {
		q.log.Log(ctx, level, text, slog.String("kind", t.device.Kind), slog.String("problem", o.problem))
	}
	return pruned
}

// count takes the outcome of an attempt into the delivery and the health of the host. It returns when the device is tried
// again, or zero and whether it was the last of its delivery.
func (q *queue) count(t target, o outcome, tries int, now time.Time, pruned bool) (again time.Time, last bool) {
	d := t.delivery
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.device != nil {
		q.hosts.note(t.device, o, now)
	}
	// What was asked to wait waits a random time longer, so that not all of it comes back at once.
	again = now.Add(max(o.wait, 0) + retry.Backoff(tries, firstBackoff, longestBackoff))
	if o.verdict == failed && !again.After(d.since.Add(q.config.Retry)) {
		return again, false
	}
	d.left--
	if o.verdict == delivered {
		d.delivered++
	}
	if pruned {
		d.pruned++
	}
	return time.Time{}, d.left == 0
}

// alarm is what the log names: a kind of device, and what has come of an attempt.
type alarm struct {
	kind    string
	verdict verdict
}

// due reports whether the log should name it: once a minute, so that it does not repeat itself for every notification.
func (q *queue) due(of alarm, now time.Time) bool {
	last, known := q.alarms.LoadOrStore(of, now)
	return !known || now.Sub(last.(time.Time)) >= time.Minute && q.alarms.CompareAndSwap(of, last, now)
}
