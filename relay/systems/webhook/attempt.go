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

// attempt sends what was loaded, and puts the lanes back. A panic while it is sent is a failed attempt; one afterwards
// leaves the events where they are, to be sent again.
func (p *endpoint) attempt(c cargo) {
	defer p.work.Done()
	var list []*event
	p.mu.Lock()
	for _, l := range c {
		list = append(list, l.events[:l.loaded]...)
	}
	p.mu.Unlock()
	o := outcome{verdict: failed, problem: "an internal error, which the log tells of"}
	p.contain.Do("attempt at a webhook", func() {
		id, body := list[0].id, list[0].body
		if p.config.Batch > 1 {
			id, body = pack(list)
		}
		o = p.send(id, body)
	})
	back := 0
	p.contain.Do("outcome of a webhook", func() { p.settle(c, list, o, &back) })
	if back == len(c) {
		return
	}
	p.mu.Lock()
	p.breaker.failed(time.Now()) // it may have been the one that it let through
	p.mu.Unlock()
	for ; back < len(c); back++ {
		p.putBack(c[back], time.Now(), 0, false, back == len(c)-1)
	}
	p.kick()
}

// send makes one attempt.
func (p *endpoint) send(id string, body []byte) outcome {
	ctx, cancel := context.WithTimeout(p.ctx, p.config.Timeout)
	defer cancel()
	now := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.config.URL, bytes.NewReader(body))
	if err != nil {
		return outcome{verdict: failed, problem: "the address is not one"}
	}
	h := req.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "weir")
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(HeaderSignature, Sign(p.keys, id, now, body))
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

// settle notes what came of an attempt: the events are done with, or wait for the next. back counts the lanes that are.
func (p *endpoint) settle(c cargo, list []*event, o outcome, back *int) {
	now := time.Now()
	p.counted.attempt(o.verdict).Inc()
	stopped := p.ctx.Err() != nil && o.verdict == failed // they stay where they are, for the next process
	split := o.verdict == refused && len(list) > 1       // one of them is meant: each is sent alone

	was, opened := p.weigh(list, o, now, stopped)
	switch {
	case opened:
		p.log.Warn("webhook does not answer", slog.String("webhook", p.config.Name), slog.String("problem", o.problem))
	case o.verdict == gone:
		p.log.Error("webhook is disabled: it answered 410", slog.String("webhook", p.config.Name))
	case was && o.verdict == delivered:
		p.log.Info("webhook answers again", slog.String("webhook", p.config.Name))
	}
	for _, l := range c {
		done := 0
		for _, e := range list[:l.loaded] { // nobody else touches a lane that is under way but to append
			dead := ""
			switch {
			case split:
			case o.verdict == refused:
				dead = "refused"
			case o.verdict == gone:
				dead = "gone"
			case o.verdict == failed && now.Sub(e.since) >= p.config.Retry && !stopped:
				dead = "expired"
			}
			if dead != "" {
				p.bury(e, dead)
			}
			if dead != "" || o.verdict == delivered {
				p.forget(e)
				done++ // the first of the lane: later ones are younger
			}
		}
		list = list[l.loaded:]
		*back++
		p.putBack(l, now, done, split, *back == len(c))
	}
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

// weigh notes an outcome: whether the breaker was open, and whether it is now.
func (p *endpoint) weigh(list []*event, o outcome, now time.Time, stopped bool) (was, opened bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range list {
		e.attempts++
		e.problem = o.problem
	}
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
	return was, !was && p.breaker.open
}

// forget takes an event that is done with from the shelf.
func (p *endpoint) forget(e *event) {
	if err := p.shelf.drop(e.id); err != nil {
		p.log.Warn("event not removed, it will be sent again after a restart",
			slog.String("webhook", p.config.Name), slog.String("event", e.id), slog.String("error", err.Error()))
	}
}

// putBack ends an attempt for a lane, with how many of its events are done with: it is ready for its next event, waits,
// or is empty and goes. With split it is ready at once, for one event at a time. The last lane of a request ends that.
func (p *endpoint) putBack(l *lane, now time.Time, done int, split, last bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last {
		p.inFlight--
		p.idle.Broadcast()
	}
	if split {
		l.alone = l.loaded
	}
	clear(l.events[:done])
	l.events = l.events[done:]
	l.alone = max(l.alone-done, 0)
	p.size -= done
	switch {
	case len(l.events) == 0:
		delete(p.lanes, l.key)
	case done > 0 || split:
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
