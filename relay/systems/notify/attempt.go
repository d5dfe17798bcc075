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
	if q.begin != nil {
		end, ok := q.begin(t.delivery, tries > 1)
		if !ok {
			b.Settle(elsewhere(t.delivery))
			return
		}
		defer end()
	}
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
	again, only := q.judge(t, o, tries, now)
	if !again.IsZero() {
		b.Settle(retryqueue.Result{At: again})
		return
	}
	if !only { // of the last one it is not needed: nothing is pending then
		q.tell(t, o, pruned)
	}
	last := q.count(t.delivery, o, pruned)
	b.Settle(retryqueue.Result{Done: 1})
	if !last {
		return
	}
	mine := !t.delivery.lost.Load()
	if mine {
		q.contain.Do("result of a notification", func() { mine = q.done(t.delivery) })
	}
	if only && !mine {
		q.tell(t, o, pruned)
	}
	q.release(t.delivery) // only now: until here one of the same id is not sent again
	if !mine && q.unfinished != nil {
		q.unfinished(t.delivery)
	}
}

// unclear is how long an attempt waits where it is not known which node has the user.
const unclear = time.Second

// elsewhere is the result of an attempt that is another node's to make, or that of nobody at the moment.
func elsewhere(d *delivery) retryqueue.Result {
	if d.lost.Load() {
		return retryqueue.Result{Done: 1}
	}
	return retryqueue.Result{At: time.Now().Add(unclear)}
}

// tell notes that a device needs nothing more, for the next node of the user.
func (q *queue) tell(t target, o outcome, pruned bool) {
	as := wasFailed
	switch {
	case q.reached == nil, t.device == nil, o.verdict == gone && !pruned: // the next node finds out
		return
	case pruned:
		as = wasPruned
	case o.verdict == delivered:
		as = wasReached
	}
	q.mu.Lock()
	t.delivery.told = append(t.delivery.told, t.device.id)
	q.mu.Unlock()
	q.contain.Do("outcome of a push", func() { q.reached(t.delivery, t.device.id, as) })
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
		level, text = slog.LevelError, "the push service refuses pushes: check its settings under notify"
	case failed, refused:
	default:
		return pruned
	}
	if q.due(alarm{t.device.Kind, o.verdict}, now) {
		q.log.Log(ctx, level, text, slog.String("kind", t.device.Kind), slog.String("problem", o.problem))
	}
	return pruned
}

// judge takes the outcome of an attempt into the health of the host. It returns when the device is tried again, or zero and whether it is the only one that is left.
func (q *queue) judge(t target, o outcome, tries int, now time.Time) (again time.Time, only bool) {
	d := t.delivery
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.device != nil && (o.silent || len(q.hosts) > 0) {
		q.hosts.Note(t.device.hostKey(), o.silent, now)
	}
	// What was asked to wait waits a random time longer, so that not all of it comes back at once.
	again = now.Add(max(o.wait, 0) + retry.Backoff(tries, firstBackoff, longestBackoff))
	if o.verdict == failed && !again.After(d.since.Add(q.config.Retry)) {
		return again, false
	}
	return time.Time{}, d.left == 1
}

// count takes what has come of a device into its delivery. It returns whether that was the last one.
func (q *queue) count(d *delivery, o outcome, pruned bool) (last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	d.left--
	if o.verdict == delivered {
		d.delivered++
	}
	if pruned {
		d.pruned++
	}
	return d.left == 0
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
