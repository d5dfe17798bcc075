package loadtest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"weir/loadtest/check"
	"weir/loadtest/codec"
	"weir/loadtest/record"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// publishers is everything that publishes. One loop owns all of it.
type publishers struct {
	e *engine
	l loop // set once

	// Owned by the loop.
	conns     []*publisher
	free      []*publisher // may send now; the one that was used last goes first
	lost      []*publisher // to be opened again, by time
	unblocked int64        // when the first of them became free again
	greets    bool         // the first message waits for a free connection
	t         *trial       // the present trial; nil between trials
	next      int64        // request of the timetable that is due next
	message   int64        // message that is sent next
	sendLag   *record.Meter
	ack       *record.Meter
	resent    uint64 // requests of the present trial that were sent a second time
	msgs      []target.Message
	out, data []byte
	keys      map[[2]int]string
}

// publisher is one connection that publishes.
type publisher struct {
	p        *publishers
	number   int
	sock     socket
	sub      target.Subscriber // for targets that are published to on a WebSocket
	up       bool
	failing  bool // the last try to connect failed
	greeted  bool
	waits    bool  // not in the free list
	rested   bool  // was idle for a while before the requests under way, and nothing has come back since
	idle     int64 // since when nothing is under way
	retry    int64 // when a lost connection is opened again
	replies  codec.Replies
	head     []byte
	requests []request // under way, oldest first
	again    []request // to be sent again when the connection is open
}

// request is a request under way.
type request struct {
	trial   *trial
	due     int64
	message int64 // its first
	n       int
	out     []byte // what was sent, where it may have to be sent again
	given   bool   // given up: the trial that it belongs to has ended
}

const tickBurst = 128 // requests between two looks at what came back

func newPublishers(e *engine) *publishers {
	return &publishers{e: e, sendLag: record.NewMeter(3), ack: record.NewMeter(3), keys: map[[2]int]string{}}
}

// connect opens the connections. On the loop.
func (p *publishers) connect(n int) {
	for i := range n {
		c := &publisher{p: p, number: i, waits: true}
		c.sub.Channels = []target.Followed{{Name: p.e.names[0]}}
		c.sub.Token = p.e.tokens[0]
		p.conns = append(p.conns, c)
		c.sock = p.l.dial(c, netip.Addr{})
	}
}

// greet publishes one message that is not counted, as soon as a connection is free. The engine is told
// of the answer. On the loop.
func (p *publishers) greet() {
	if p.greets = len(p.free) == 0; p.greets {
		return
	}
	c := p.free[len(p.free)-1]
	p.out = p.e.target.Publish(p.out[:0], []target.Message{{Channel: p.e.names[0], Data: typingData}})
	c.sock.send(p.out)
	if p.e.traits.Socket {
		p.e.greeted(0, 0, nil)
		return
	}
	c.requests = append(c.requests, request{n: 1})
}

// begin starts a trial; its load starts at t.base. On the loop.
func (p *publishers) begin(t *trial) {
	p.t, p.next, p.message = t, 0, 0
	p.sendLag, p.ack = record.NewMeter(3), record.NewMeter(3)
	p.resent = 0
}

// tick opens lost connections again and sends what is due.
func (p *publishers) tick(now int64) (next int64) {
	again := int64(never)
	for len(p.lost) > 0 {
		if again = p.lost[0].retry; again > now {
			break
		}
		c := p.lost[0]
		p.lost = p.lost[1:]
		c.sock = p.l.dial(c, netip.Addr{})
		again = never
	}
	return min(p.sendDue(now), again)
}

func (p *publishers) sendDue(now int64) (next int64) {
	t := p.t
	if t == nil || t.plan.Measure == scenario.Connect || t.stopped.Load() || len(p.conns) == 0 {
		return never
	}
	for range tickBurst {
		due, ok := p.due(t, now)
		switch {
		case !ok:
			t.load.Store(loadDone)
			return never
		case due > now:
			t.load.Store(loadWaits)
			return due
		case len(p.free) == 0:
			t.load.Store(loadBlocked)
			return never // an answer calls again
		}
		p.send(t, due)
		now = p.e.clock.now()
	}
	return now
}

// due is when the next request is due.
func (p *publishers) due(t *trial, now int64) (int64, bool) {
	if !t.plan.Closed {
		due, ok := t.plan.Due(p.next)
		return t.base + due, ok
	}
	switch end := t.base + t.plan.End; {
	case now >= end:
		return 0, false
	case now < t.base:
		return t.base, true
	case t.outstanding(now) >= float64(t.plan.Inflight):
		return now + 200_000, true // ns; look again
	}
	return now, true
}

// send sends the request that is due next.
func (p *publishers) send(t *trial, due int64) {
	c := p.free[len(p.free)-1]
	now := p.e.clock.now()
	p.sendLag.Record(now - max(due, p.unblocked))
	r := request{trial: t, due: due, message: p.message, n: t.plan.Batch}
	p.msgs, p.data = p.msgs[:0], p.data[:0]
	typing := uint64(0)
	for range r.n {
		m := p.build(t, c.number, due-t.base)
		if m.TTL > 0 {
			typing++
		}
		p.msgs = append(p.msgs, m)
	}
	p.next++
	p.out = p.e.target.Publish(p.out[:0], p.msgs)
	c.sock.send(p.out)
	p.e.tally.sent.Add(uint64(r.n))
	p.e.tally.typing.Add(typing)
	if p.e.traits.Socket {
		p.e.tally.acked.Add(uint64(r.n))
		p.e.tally.answered.Add(uint64(r.n))
		if c.sock.waiting() > 0 {
			p.block()
			c.waits = true
		}
		return
	}
	if len(c.requests) == 0 {
		c.rested = now-c.idle >= int64(idleLeast)
	}
	if c.rested {
		r.out = slices.Clone(p.out)
	}
	c.requests = append(c.requests, r)
	if len(c.requests) >= t.plan.Pipeline {
		p.block()
		c.waits = true
	}
}

// block takes the connection used last out of the free list.
func (p *publishers) block() { p.free = p.free[:len(p.free)-1] }

// build makes the next message of a publisher.
func (p *publishers) build(t *trial, from int, due int64) target.Message {
	k := p.message
	p.message++
	ch := t.plan.ChannelOf(k)
	m := target.Message{Channel: p.e.names[ch]}
	if t.plan.TypingAt(k) {
		m.Group, m.Key, m.TTL = "typing", "u"+strconv.FormatInt(k%50, 10), 5000
		m.Data = typingData
		return m
	}
	t.sent[from][ch]++
	n := t.sent[from][ch]
	start := len(p.data)
	s := check.Stamp{Channel: uint32(ch), Source: t.sources + uint32(from), Number: n, Due: due}
	p.data = s.Append(p.data, int(t.plan.Payload))
	m.Data = p.data[start:]
	if t.plan.Keys > 0 {
		m.Group, m.Key = "metrics", p.key(from, int(n%uint64(t.plan.Keys)))
	}
	return m
}

func (p *publishers) key(from, k int) string {
	name, ok := p.keys[[2]int{from, k}]
	if !ok {
		name = strconv.Itoa(from) + "-" + strconv.Itoa(k)
		p.keys[[2]int{from, k}] = name
	}
	return name
}

// unblock puts a connection back into the free list.
func (p *publishers) unblock(c *publisher) {
	if !c.waits {
		return
	}
	c.waits = false
	if len(p.free) == 0 {
		p.unblocked = p.e.clock.now()
	}
	p.free = append(p.free, c)
	if p.greets {
		p.greet()
	}
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
	c.sock.send(c.p.e.target.Open(&c.sub).Upgrade().Append(nil))
}

func (c *publisher) skips() int    { return 0 }
func (c *publisher) discarded(int) {}

func (c *publisher) drained() {
	if c.up && c.greeted && c.p.e.traits.Socket {
		c.p.unblock(c)
	}
}

func (c *publisher) received(b []byte) error {
	c.rested = false
	switch {
	case !c.p.e.traits.Socket:
		return c.replies.Feed(b, c.answered)
	case c.greeted:
		return nil // a broadcast reaches its sender too: nothing of interest
	}
	c.head = append(c.head, b...)
	r, n, err := codec.ParseResponse(c.head)
	if err != nil || n == 0 {
		return err
	}
	if err := r.Upgraded(); err != nil {
		return err
	}
	c.greeted = true
	c.p.unblock(c)
	c.p.e.publisherUp()
	return nil
}

// answered takes the answer to the oldest request under way.
func (c *publisher) answered(resp codec.Response, body []byte) error {
	p := c.p
	if len(c.requests) == 0 {
		return fmt.Errorf("an answer without a request: %w", codec.ErrProtocol)
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
		p.e.trouble(fmt.Sprintf("a publish was answered %d: %.200s", resp.Status, body))
		c.excuse(r, refused, false)
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
var errEnded = errors.New("the target does not keep the connection")

// measure notes how long a request took.
func (p *publishers) measure(r request, now int64, refused int) {
	t := r.trial
	if r.due-t.base >= t.plan.Warm {
		p.ack.Record(now - r.due)
	}
	if t == p.t && t.plan.Measure == scenario.Publish {
		for range r.n - refused {
			t.meter.record(now-t.base, r.due-t.base, now-r.due)
		}
	}
}

// excuse notes messages that nobody may expect: refused, or never answered. Which of a request's
// messages they are is not told, so the first of them count.
func (c *publisher) excuse(r request, n int, unanswered bool) {
	for k := r.message; n > 0; k++ {
		if t := r.trial; !t.plan.TypingAt(k) {
			t.excuse(c.number, t.plan.ChannelOf(k), unanswered)
		}
		n--
	}
}

// retryAfter is the pause before a lost connection is opened again.
const retryAfter = 20 * time.Millisecond

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

// giveUp ends a trial: what is still under way is not answered. It says whether the target is gone: no publisher
// can connect or has got an answer. On the loop.
func (p *publishers) giveUp() (gone bool) {
	silent := 0
	for _, c := range p.conns {
		if c.failing || len(c.requests)+len(c.again) > 0 {
			silent++
		}
		c.abandon(c.requests)
		c.abandon(c.again)
		c.again = nil
	}
	return silent > 0 && silent == len(p.conns)
}

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
	c.up, c.greeted = false, false
	if i := slices.Index(p.free, c); i >= 0 {
		p.free = slices.Delete(p.free, i, i+1)
	}
	c.waits = true
	c.retry = p.e.clock.now()
	if !errors.Is(err, errEnded) {
		c.retry += int64(retryAfter)
	}
	p.lost = append(p.lost, c)
}
