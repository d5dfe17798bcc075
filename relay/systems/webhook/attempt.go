package webhook

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"weir/internal/retry"
	"weir/internal/safedial"
	"weir/relay/systems/internal/post"
	"weir/relay/systems/internal/retryqueue"
)

// maxAnswer bounds what is read of a response, so that the connection can be used again.
const maxAnswer = 4 << 10

type batch = retryqueue.Batch[*event]

// outcome is what has come of a request.
type outcome struct {
	verdict verdict
	wait    time.Duration // that the receiver has asked for; 0: none
	problem string
}

// attempt sends a batch. A panic while it is sent is a failed attempt; after one while the outcome is noted, the events are
// sent again.
func (p *endpoint) attempt(ctx context.Context, b *batch) {
	list := slices.Clip(b.Parts[0].Items)
	for i := range b.Parts[1:] {
		list = append(list, b.Parts[i+1].Items...)
	}
	o := outcome{verdict: failed, problem: "internal error: see the log"}
	p.contain.Do("attempt at a webhook", func() {
		id, body, trace := list[0].id, list[0].body, list[0].trace
		if p.config.Batch > 1 {
			id, body = pack(list)
		}
		if slices.ContainsFunc(list, func(e *event) bool { return e.trace != trace }) {
			trace = "" // a request is of one trace
		}
		o = p.send(ctx, id, trace, body)
	})
	stopped := ctx.Err() != nil && o.verdict == failed // the events stay in the store, for the next process
	if p.contain.Do("outcome of a webhook", func() { p.settle(b, list, o, stopped) }) {
		return
	}
	p.breaker.Done(time.Now(), true) // this may have been the probe
}

// send makes one request.
func (p *endpoint) send(ctx context.Context, id, trace string, body []byte) outcome {
	ctx, cancel := context.WithTimeout(ctx, p.config.Timeout)
	defer cancel()
	now := time.Now()
	header := post.Signed(p.keys, id, now, body)
	maps.Copy(header, post.Traced(trace))
	resp, err := post.Send(ctx, p.client, p.config.URL, header, body, maxAnswer)
	if resp == nil {
		return outcome{verdict: failed, problem: safedial.Problem(err)}
	}
	o := outcome{verdict: judge(resp.Status), problem: "it returned status " + strconv.Itoa(resp.Status)}
	if o.verdict == failed {
		o.wait = min(retry.After(resp.Header, now), p.config.Retry)
	}
	return o
}

// settle notes what has come of a request with the events of list: each is delivered, given up, or tried again.
func (p *endpoint) settle(b *batch, list []*event, o outcome, stopped bool) {
	now := time.Now()
	p.counters.attempts[o.verdict].Inc()
	was, opened := p.weigh(list, o, now, stopped)
	switch {
	case opened:
		p.log.Warn("webhook does not respond", slog.String("webhook", p.config.Name), slog.String("problem", o.problem))
	case o.verdict == gone:
		p.log.Error("webhook is disabled: it returned status 410", slog.String("webhook", p.config.Name))
	case was && o.verdict == delivered:
		p.log.Info("webhook responds again", slog.String("webhook", p.config.Name))
	}
	split := o.verdict == refused && len(list) > 1 // one of them is meant: each is sent alone
	for i := range b.Parts {
		r := retryqueue.Result{Alone: split}
		items := b.Parts[i].Items
		for _, e := range items {
			reason := ""
			switch {
			case split:
			case o.verdict == refused:
				reason = "refused"
			case o.verdict == gone:
				reason = "gone"
			case o.verdict == failed && p.expired(e, now) && !stopped:
				reason = "expired"
			}
			if reason != "" {
				p.bury(e, reason)
			}
			if reason != "" || o.verdict == delivered {
				p.remove(e)
				r.Done++ // the first ones: later ones are younger
			}
		}
		if r.Done == 0 && !split {
			r.At = p.next(items[0], now)
		}
		b.Settle(r)
	}
	if was && o.verdict == delivered {
		p.queue.RetryNow()
	}
	switch {
	case p.isDisabled():
		p.giveUpAll()
	case o.verdict == failed && !stopped:
		p.giveUp("expired", o.problem, func(e *event) bool { return p.expired(e, now) })
	}
}

// expired reports whether an event has been tried for as long as it may.
func (p *endpoint) expired(e *event, now time.Time) bool { return now.Sub(e.since) >= p.config.Retry }

// next is when an event is tried again that has failed.
func (p *endpoint) next(e *event, now time.Time) time.Time {
	at := now.Add(retry.Backoff(max(e.attempts, 1), firstBackoff, longestBackoff))
	if last := e.since.Add(p.config.Retry); now.Before(last) && at.After(last) {
		return last // and then it is given up
	}
	return at
}

// weigh notes what an outcome says about the endpoint. It reports whether the breaker was open, and whether it has opened.
func (p *endpoint) weigh(list []*event, o outcome, now time.Time, stopped bool) (was, opened bool) {
	for _, e := range list {
		e.attempts++
		e.problem = o.problem
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	was = p.breaker.Broken()
	switch {
	case o.verdict != failed:
		p.breaker.Done(now, false) // it responds, and that is all the breaker is about
	case !stopped:
		p.breaker.Done(now, true)
	}
	if o.wait > 0 {
		p.paused = now.Add(o.wait)
	}
	if o.verdict == gone {
		p.disabled = true
	}
	return was, !was && p.breaker.Broken()
}

// giveUp buries the events that match among those that wait. What is in flight settles itself.
func (p *endpoint) giveUp(reason, problem string, match func(e *event) bool) {
	for _, e := range p.queue.Remove(match) {
		e.problem = problem
		p.bury(e, reason)
		p.remove(e)
	}
}

// giveUpAll buries everything that waits for an endpoint that wants no events.
func (p *endpoint) giveUpAll() {
	p.giveUp("gone", "it returned status 410", func(*event) bool { return true })
}

// The bounds of the pauses between two attempts at one event, which double.
const (
	firstBackoff   = time.Second
	longestBackoff = 5 * time.Minute
)

// verdict is what a response means for the event.
type verdict int

const (
	delivered verdict = iota
	failed            // to be tried again
	refused           // the receiver does not want this event
	gone              // the receiver wants no events at all
)

// judge returns what a status means.
func judge(status int) verdict {
	switch {
	case status >= 200 && status < 300:
		return delivered
	case status == http.StatusGone:
		return gone
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge,
		status == http.StatusUnsupportedMediaType, status == http.StatusUnprocessableEntity:
		return refused
	}
	return failed
}
