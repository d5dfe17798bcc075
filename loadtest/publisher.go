package loadtest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"weir/loadtest/codec"
	"weir/loadtest/target"
)

// publisher is one connection that publishes.
type publisher struct {
	p        *publishers
	number   int
	sock     socket
	sub      target.Subscriber // for targets that are published to on a WebSocket
	upgraded bool              // the WebSocket is open
	frames   codec.Messages    // until the target has let it in
	skim     codec.Skim        // from then on
	up       bool
	failing  bool // the last try to connect failed
	greeted  bool
	waits    bool  // not in the free list
	rested   bool  // was idle for a while before the requests under way, and nothing has come back since
	idle     int64 // since when nothing is under way
	retry    int64 // when a lost connection is opened again
	replies  codec.Replies
	head     []byte
	channel  int       // of the test, to which its messages go: of echo, and of targets whose WebSockets have one
	ready    int64     // think time: when it may send again
	echo     echo      // echo on a WebSocket: what has come back in the present trial
	requests []request // under way, oldest first
	again    []request // to be sent again when the connection is open
}

func (c *publisher) opened() {
	c.up, c.failing, c.greeted, c.head = true, false, !c.p.e.traits.Socket, nil
	c.replies = codec.Replies{}
	c.idle = c.p.e.clock.now()
	if c.greeted {
		c.resend()
		if c.p.t == nil || len(c.requests) < c.p.t.plan.Pipeline {
			c.p.unblock(c)
		}
		c.p.e.publisherUp()
		return
	}
	c.upgraded, c.frames, c.skim = false, codec.Messages{Control: c.control}, codec.Skim{Control: c.control, Small: c.small}
	c.sock.send(c.p.e.cfg.Target.Head(c.p.e.target.Open(&c.sub)).Upgrade().Append(nil))
}

func (c *publisher) skips() int { return c.skim.Skip() }

func (c *publisher) discarded(n int) { c.skim.Discarded(n) }

func (c *publisher) drained() {
	if c.up && c.greeted && c.p.e.traits.Socket && !c.p.echo() {
		c.p.unblock(c)
	}
}

func (c *publisher) received(b []byte) error {
	c.rested = false
	switch {
	case !c.p.e.traits.Socket:
		return c.replies.Feed(b, c.answered)
	case c.greeted && c.p.echo():
		return c.hear(b)
	case c.greeted:
		return c.skim.Feed(b) // a broadcast reaches its sender too: only pings are of interest
	case c.upgraded:
		return c.greet(b)
	}
	c.head = append(c.head, b...)
	r, n, err := codec.ParseResponse(c.head)
	if err != nil || n == 0 {
		return err
	}
	if err := r.Upgraded(); err != nil {
		return err
	}
	c.upgraded = true
	reply, err := c.p.e.target.Greet(&c.sub, nil, counted{})
	if err != nil {
		return err
	}
	c.reply(reply)
	rest := c.head[n:]
	c.head = nil
	return c.greet(rest)
}

// greet goes on until the target has let the publisher in.
func (c *publisher) greet(b []byte) error {
	err := c.frames.Feed(b, func(msg []byte) error {
		if c.sub.Subscribed {
			return nil
		}
		reply, err := c.p.e.target.Greet(&c.sub, msg, counted{})
		c.reply(reply)
		return err
	})
	if err != nil || !c.sub.Subscribed {
		return err
	}
	c.greeted = true
	c.p.unblock(c)
	c.p.e.publisherUp()
	if c.p.echo() {
		return nil
	}
	return c.skim.Feed(c.frames.Rest())
}

// small takes a short message: it may be a ping that wants an answer, or a refusal.
func (c *publisher) small(msg []byte) error {
	reply, err := c.p.e.target.Read(&c.sub, msg, counted{})
	c.reply(reply)
	return err
}

func (c *publisher) reply(msg []byte) {
	if len(msg) > 0 && !c.p.e.traits.Framed {
		msg = codec.AppendFrame(nil, codec.OpText, msg)
	}
	if len(msg) > 0 {
		c.sock.send(msg)
	}
}

func (c *publisher) control(op byte, payload []byte) error {
	switch op {
	case codec.OpPing:
		c.sock.send(codec.AppendFrame(nil, codec.OpPong, payload))
	case codec.OpClose:
		return errClosed
	}
	return nil
}

// answered takes the answer to the oldest request under way.
func (c *publisher) answered(resp codec.Response, body []byte) error {
	p := c.p
	if len(c.requests) == 0 {
		return fmt.Errorf("a response without a request: %w", codec.ErrProtocol)
	}
	r := c.requests[0]
	c.requests = c.requests[:copy(c.requests, c.requests[1:])]
	now := p.e.clock.now()
	c.idle = now
	refused := p.e.target.Refused(resp.Status, body, r.n)
	switch {
	case r.given:
	case r.trial == nil: // the greeting of the test itself
		p.e.greeted(resp.Status, refused, body)
	case refused > 0:
		p.e.trouble(fmt.Sprintf("a publish returned status %d: %.200s", resp.Status, body))
		c.excuseRefused(r, refused, resp.Status, body)
	}
	if r.trial != nil && !r.given {
		p.e.tally.acked.Add(uint64(r.n - refused))
		p.e.tally.answered.Add(uint64(r.n))
		p.measure(r, now, refused)
	}
	p.unblock(c)
	if resp.Close {
		return errEnded
	}
	return nil
}

// errEnded is a connection that the target said it will close after its answer.
var errEnded = errors.New("the target does not keep the connection open")

// retryAfter is the pause before a lost connection is opened again.
const retryAfter = 20 * time.Millisecond

// ended gives up what was under way, unless the connection was idle before it, and opens the connection again.
func (c *publisher) ended(err error) {
	p := c.p
	if c.up && c.rested && !slices.ContainsFunc(c.requests, func(r request) bool { return r.out == nil || r.given }) {
		c.again, c.requests = c.requests, nil
	} else {
		c.requests = append(c.requests, c.again...)
		c.again = nil
	}
	c.abandon(c.requests)
	gaveUp := len(c.requests)
	c.requests, c.failing, c.rested = nil, !c.up, false
	if !c.up || !c.greeted {
		p.e.setupFailed(fmt.Errorf("connect a publisher: %w", err))
	}
	if gaveUp > 0 { // ending a connection that nothing is under way on is anybody's right
		p.e.trouble(fmt.Sprintf("a publisher's connection was lost, with %d requests under way: %s", gaveUp, words(err)))
	}
	if c.greeted && p.echo() {
		p.e.tally.open.Add(-1)
	}
	c.up, c.greeted = false, false
	if i := slices.Index(p.free, c); i >= 0 {
		p.free = slices.Delete(p.free, i, i+1)
	}
	p.parked = slices.DeleteFunc(p.parked, func(o *publisher) bool { return o == c })
	c.waits = true
	c.retry = p.e.clock.now()
	if !errors.Is(err, errEnded) {
		c.retry += int64(retryAfter)
	}
	p.lost = append(p.lost, c)
}
