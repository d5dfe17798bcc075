package loadtest

import (
	"bytes"
	"slices"
	"time"

	"weir/loadtest/check"
	"weir/loadtest/record"
)

// echo is what a connection that asks over a WebSocket has heard in one trial. It is owned by the publishers' loop.
type echo struct {
	stream          check.Stream
	corrupted, late uint64
	others          uint64 // what others asked, where the target tells all of it
}

// wait is a request whose response has not come, unless its connection has no such request any more.
type wait struct {
	c      *publisher
	number uint64
	until  int64
}

// unheardMost is how long a connection waits for a response before it goes on without: longer than any limit for a late
// one that makes sense, and as long as most clients have patience.
const unheardMost = 10 * time.Second

// channelOf is the channel of message k of a connection.
func (t *trial) channelOf(c *publisher, k int64) int {
	if c.p.echo() || c.p.e.traits.Bound {
		return c.channel
	}
	return t.plan.ChannelOf(k)
}

// ask notes a request that was sent, whose last message has that number.
func (c *publisher) ask(r request, number uint64) {
	r.number = number
	c.requests = append(c.requests, r)
	c.p.unheard = append(c.p.unheard, wait{c, number, c.p.e.clock.now() + int64(max(unheardMost, r.trial.plan.Late))})
	c.p.block()
	if c.waits = len(c.requests) >= r.trial.plan.Pipeline; !c.waits {
		c.p.free = append(c.p.free, c)
	}
}

// hear takes what comes on a connection that asks.
func (c *publisher) hear(b []byte) error {
	before := c.frames.Payload
	err := c.frames.Feed(b, func(msg []byte) error {
		reply, err := c.p.e.target.Read(&c.sub, msg, c)
		c.reply(reply)
		return err
	})
	c.p.e.tally.bytes.Add(c.frames.Payload - before)
	c.p.e.tally.checked.Add(c.frames.Payload - before)
	return err
}

// Delivered takes a message that came: the response to a request of this connection's, or to one of another.
func (c *publisher) Delivered(_ int, _ uint64, _, data []byte, _ bool) {
	p, t := c.p, c.p.t
	if t == nil || bytes.Equal(data, typingData) {
		return
	}
	s, err := check.Parse(data)
	switch {
	case err != nil:
		c.echo.corrupted++
		return
	case s.Source != t.sources+uint32(c.number) || int(s.Channel) != c.channel:
		c.echo.others++
		return
	case c.echo.stream.Add(s.Number) == check.Duplicate:
		return
	}
	now := p.e.clock.now()
	p.e.tally.messages.Add(1)
	latency := now - t.base - s.Due
	if latency > int64(t.plan.Late) {
		c.echo.late++
	}
	t.meter.record(now-t.base, s.Due, latency)
	if i := slices.IndexFunc(c.requests, func(r request) bool { return r.number == s.Number }); i >= 0 {
		c.heard(i)
	}
}

// Reset implements target.Sink.
func (c *publisher) Reset(int) {}

// heard ends the wait for a request's response.
func (c *publisher) heard(i int) {
	r := c.requests[i]
	c.requests = slices.Delete(c.requests, i, i+1)
	if !r.given {
		c.p.e.tally.acked.Add(uint64(r.n))
		c.p.e.tally.answered.Add(uint64(r.n))
	}
	if c.greeted {
		c.p.unblock(c)
	}
}

// giveUpLate goes on without the responses that should have come long ago, and returns when to look again.
func (p *publishers) giveUpLate(now int64) (next int64) {
	for len(p.unheard) > 0 {
		w := p.unheard[0]
		i := slices.IndexFunc(w.c.requests, func(r request) bool { return r.number == w.number })
		if i >= 0 && w.until > now {
			return w.until
		}
		p.unheard = p.unheard[1:]
		if i >= 0 {
			w.c.heard(i)
		}
	}
	return never
}

// result is the line of a connection that asks in the record.
func (c *publisher) result(t *trial) record.Conn {
	r := record.Conn{Role: record.Checked, Channels: []int{c.channel}}
	k := &c.echo
	r.Bytes, r.Frames = c.frames.Payload, c.frames.Received
	r.Received, r.Duplicated, r.Reordered = k.stream.Received, k.stream.Duplicated, k.stream.Reordered
	r.Corrupted, r.Late, r.Other = k.corrupted, k.late, k.others
	r.Missing = k.stream.Missing(t.sent[c.number][c.channel])
	r.Missing -= min(r.Missing, t.excused[c.number][c.channel])
	return r
}
