package webhook

import (
	"bytes"
	"container/heap"
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"time"

	"weir/internal/retry"
	"weir/internal/safedial"
)

// mostAnswer bounds what is read of an answer, so that the connection can be used again.
const mostAnswer = 4 << 10

// outcome is what came of an attempt.
type outcome struct {
	verdict verdict
	wait    time.Duration // that the receiver has asked for; 0: none
	problem string
}

// attempt sends the first event of a lane, and puts the lane back. A panic while it is sent is a failed attempt; one
// afterwards leaves the event where it is, to be sent again.
func (p *endpoint) attempt(l *lane) {
	defer p.work.Done()
	p.mu.Lock()
	e := l.events[0]
	p.mu.Unlock()
	o := outcome{verdict: failed, problem: "an internal error, which the log tells of"}
	p.contain.Do("attempt at a webhook", func() { o = p.send(e) })
	back := false
	p.contain.Do("outcome of a webhook", func() { p.settle(l, e, o, &back) })
	if !back {
		p.mu.Lock()
		p.breaker.failed(time.Now()) // it may have been the one that it let through
		p.mu.Unlock()
		p.putBack(l, time.Now(), false)
		p.kick()
	}
}

// send makes one attempt.
func (p *endpoint) send(e *event) outcome {
	ctx, cancel := context.WithTimeout(p.ctx, p.config.Timeout)
	defer cancel()
	now := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.config.URL, bytes.NewReader(e.body))
	if err != nil {
		return outcome{verdict: failed, problem: "the address is not one"}
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "weir")
	h.Set(HeaderID, e.id)
	h.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(HeaderSignature, Sign(p.keys, e.id, now, e.body))
	resp, err := p.client.Do(req)
	if err != nil {
		return outcome{verdict: failed, problem: safedial.Problem(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, mostAnswer)
	o := outcome{verdict: judge(resp.StatusCode), problem: "it answered " + strconv.Itoa(resp.StatusCode)}
	if o.verdict == failed {
		o.wait = min(retry.After(resp.Header, now), p.config.Retry)
	}
	return o
}

// settle notes what came of an attempt: the event is done with, or waits for the next. back says that the lane is.
func (p *endpoint) settle(l *lane, e *event, o outcome, back *bool) {
	now := time.Now()
	p.counted.attempt(o.verdict).Inc()
	stopped := p.ctx.Err() != nil && o.verdict == failed // it stays where it is, for the next process

	was, opened, dead := p.weigh(e, o, now, stopped)
	switch {
	case opened:
		p.log.Warn("webhook does not answer", slog.String("webhook", p.config.Name), slog.String("problem", o.problem))
	case o.verdict == gone:
		p.log.Error("webhook is disabled: it answered 410", slog.String("webhook", p.config.Name))
	case was && o.verdict == delivered:
		p.log.Info("webhook answers again", slog.String("webhook", p.config.Name))
	}
	done := o.verdict == delivered || dead != ""
	if dead != "" {
		p.bury(e, dead)
	}
	if done {
		p.forget(e)
	}
	*back = true
	p.putBack(l, now, done)
	if was && o.verdict == delivered {
		p.hurry()
	}
	switch {
	case p.isDisabled():
		p.cull("gone", "it answered 410", func(*event) bool { return true })
	case o.verdict == failed && !stopped:
		p.cull("expired", o.problem, func(e *event) bool { return now.Sub(e.since) >= p.config.Retry })
	}
	p.kick()
}

// weigh notes an outcome: whether the breaker was open, whether it is now, and why the event is given up, if it is.
func (p *endpoint) weigh(e *event, o outcome, now time.Time, stopped bool) (was, opened bool, dead string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.attempts++
	e.problem = o.problem
	was = p.breaker.open
	if o.verdict == failed {
		if !stopped {
			p.breaker.failed(now)
		}
	} else {
		p.breaker.succeeded() // it answers, and that is all the breaker asks
	}
	if o.wait > 0 {
		p.paused = now.Add(o.wait)
	}
	if o.verdict == gone {
		p.disabled = true
	}
	opened = !was && p.breaker.open
	switch {
	case o.verdict == refused:
		dead = "refused"
	case o.verdict == gone:
		dead = "gone"
	case o.verdict == failed && now.Sub(e.since) >= p.config.Retry && !stopped:
		dead = "expired"
	}
	return was, opened, dead
}

// forget takes an event that is done with from the shelf.
func (p *endpoint) forget(e *event) {
	if err := p.shelf.drop(e.id); err != nil {
		p.log.Warn("event not removed, it will be sent again after a restart",
			slog.String("webhook", p.config.Name), slog.String("event", e.id), slog.String("error", err.Error()))
	}
}

// putBack ends an attempt: the lane is ready for its next event, waits, or is empty and goes.
func (p *endpoint) putBack(l *lane, now time.Time, done bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight--
	p.idle.Broadcast()
	if done {
		l.events[0] = nil
		l.events = l.events[1:]
		p.size--
	}
	switch {
	case len(l.events) == 0:
		delete(p.lanes, l.key)
	case done:
		p.ready = append(p.ready, l)
	default:
		e := l.events[0]
		l.at = now.Add(retry.Backoff(max(e.attempts, 1), firstBackoff, longestBackoff))
		if last := e.since.Add(p.config.Retry); now.Before(last) && l.at.After(last) {
			l.at = last // and then it is given up
		}
		heap.Push(&p.later, l)
	}
}

// hurry lets everything be tried that waits for its next attempt: the receiver is back. How much of it at once
// is bounded as ever.
func (p *endpoint) hurry() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.later) > 0 {
		p.ready = append(p.ready, heap.Pop(&p.later).(*lane))
	}
}

func (p *endpoint) isDisabled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.disabled
}

// cull gives up the events of a kind among those that wait. What is in flight comes back by itself.
func (p *endpoint) cull(reason, problem string, which func(e *event) bool) {
	var list []*event
	p.mu.Lock()
	thin := func(from []*lane) []*lane {
		return slices.DeleteFunc(from, func(l *lane) bool {
			l.events = slices.DeleteFunc(l.events, func(e *event) bool {
				out := which(e)
				if out {
					list = append(list, e)
				}
				return out
			})
			if len(l.events) == 0 {
				delete(p.lanes, l.key)
			}
			return len(l.events) == 0
		})
	}
	p.ready = thin(p.ready)
	p.later = thin(p.later)
	heap.Init(&p.later)
	p.size -= len(list)
	p.mu.Unlock()
	for _, e := range list {
		e.problem = problem
		p.bury(e, reason)
		p.forget(e)
	}
}
