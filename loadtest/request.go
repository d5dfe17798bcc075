package loadtest

import (
	"time"

	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// request is a request under way.
type request struct {
	trial   *trial
	due     int64
	message int64 // its first
	n       int
	out     []byte // what was sent, where it may have to be sent again
	given   bool   // given up: the trial that it belongs to has ended
	number  uint64 // echo on a WebSocket: of its last message
}

// measure notes how long a request took.
func (p *publishers) measure(r request, now int64, refused int) {
	t := r.trial
	if r.due-t.base >= t.plan.Warm {
		p.ack.Record(now - r.due)
	}
	if t == p.t && (t.plan.Measure == scenario.Publish || p.echo()) {
		for range r.n - refused {
			t.meter.record(now-t.base, r.due-t.base, now-r.due)
		}
	}
}

// excuseRefused notes the messages of a request that were refused: those that the answer names, or, where it does not, the
// first of them.
func (c *publisher) excuseRefused(r request, n, status int, body []byte) {
	if t, ok := c.p.e.target.(target.Refuser); ok {
		if list := t.RefusedOf(status, body, r.n); len(list) == n {
			for _, i := range list {
				c.excuseOne(r, i, false)
			}
			return
		}
	}
	c.excuse(r, n, false)
}

// excuse notes the first n messages of a request, which nobody may expect: refused, or never answered.
func (c *publisher) excuse(r request, n int, unanswered bool) {
	for i := range n {
		c.excuseOne(r, i, unanswered)
	}
}

func (c *publisher) excuseOne(r request, i int, unanswered bool) {
	if t, k := r.trial, r.message+int64(i); !t.plan.TypingAt(k) {
		t.excuse(c.number, t.channelOf(c, k), unanswered)
	}
}

// idleLeast is how long a connection was idle at least for what was then sent on it to be sent again when it ends
// without an answer. A server that closes idle connections may do so while a request is on its way: it has not seen it,
// and every client that keeps connections open dials again.
const idleLeast = time.Second

// resend sends again what the end of an idle connection has swallowed; once, so nothing of it is kept.
func (c *publisher) resend() {
	for _, r := range c.again {
		c.sock.send(r.out)
		r.out = nil
		c.requests = append(c.requests, r)
		c.p.resent++
	}
	c.again, c.rested = nil, false
}

// abandon gives requests up, whose messages nobody may expect.
func (c *publisher) abandon(list []request) {
	for i := range list {
		if r := &list[i]; r.trial != nil && !r.given {
			c.excuse(*r, r.n, true)
			c.p.e.tally.answered.Add(uint64(r.n))
			r.given = true
		}
	}
}

// giveUp ends a trial: what is still under way is not answered. It reports whether the target is gone: no publisher
// can connect or has got an answer. On the loop.
func (p *publishers) giveUp() (gone bool) {
	silent := 0
	for _, c := range p.conns {
		if c.failing || len(c.requests)+len(c.again) > 0 {
			silent++
		}
		if p.echo() && p.e.traits.Socket { // responses that have not come are lost
			c.requests = nil
			continue
		}
		c.abandon(c.requests)
		c.abandon(c.again)
		c.again = nil
	}
	return silent > 0 && silent == len(p.conns)
}
