package loadtest

import (
	"net/netip"
	"slices"
	"strconv"
	"time"

	"weir/loadtest/check"
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
	free      []*publisher // may send; the one that was used last goes first, with echo and think time the one that has waited longest
	parked    []*publisher // think time: have no part in the present stage
	unheard   []wait       // echo: requests on WebSockets, oldest first, some of which have had their response
	lost      []*publisher // to be opened again, by time
	unblocked int64        // when the first of them became free again
	beats     beats        // when they say something by themselves
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

const tickBurst = 128 // requests between two looks at what came back

func newPublishers(e *engine) *publishers {
	return &publishers{e: e, beats: beats{every: beatEvery(e.target)}, sendLag: record.NewMeter(3), ack: record.NewMeter(3), keys: map[[2]int]string{}}
}

// connect opens the connections. On the loop.
func (p *publishers) connect(n int) {
	for i := range n {
		c := &publisher{p: p, number: p.e.part().Publisher + i, waits: true}
		c.sub.Index, c.sub.Publisher = i, true
		c.sub.Channels = []target.Followed{{Name: p.e.names[0]}}
		if p.echo() || p.e.traits.Bound {
			c.channel = i % len(p.e.names)
			c.sub.Channels[0] = target.Followed{Name: p.e.names[c.channel], Number: c.channel}
		} else if p.e.traits.Joins {
			for ch, name := range p.e.names[1:] {
				c.sub.Channels = append(c.sub.Channels, target.Followed{Name: name, Number: ch + 1})
			}
		}
		c.sub.User, c.sub.Token = p.e.userAt(i % userPool)
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
	p.out = p.e.target.Publish(p.out[:0], []target.Message{{Channel: p.e.names[c.channel], Data: typingData}})
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
	p.resent, p.unheard = 0, nil
	p.free, p.parked = append(p.free, p.parked...), nil
	for i, c := range p.free {
		c.ready = t.base + int64(float64(t.plan.Think)*float64(i)/float64(len(p.free)))
	}
	for _, c := range p.conns {
		c.echo = echo{}
	}
}

// echo reports whether responses on the publishers' own connections are what is measured.
func (p *publishers) echo() bool { return p.e.plan.Measure == scenario.Echo }

// queue reports whether the connection that has waited longest is the next to send.
func (p *publishers) queue() bool { return p.echo() || p.e.traits.Bound || p.e.plan.Think > 0 }

// pick is the connection that sends next.
func (p *publishers) pick() *publisher {
	if p.e.traits.Bound && p.t.plan.Think == 0 && !p.echo() { // one whose channel it is; if they are busy, another
		want := p.t.plan.ChannelOf(p.message)
		if i := slices.IndexFunc(p.free, func(c *publisher) bool { return c.channel == want }); i > 0 {
			c := p.free[i]
			copy(p.free[1:i+1], p.free[:i])
			p.free[0] = c
		}
	}
	if p.queue() {
		return p.free[0]
	}
	return p.free[len(p.free)-1]
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
	beat := int64(never)
	if p.e.traits.Socket {
		beat = p.beats.tick(now, len(p.conns), func(i int) {
			if c := p.conns[i]; c.greeted {
				c.sock.send(p.e.target.(target.Beater).Beat(&c.sub))
			}
		})
	}
	return min(p.sendDue(now), again, beat, p.giveUpLate(now))
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
			return p.gather(t, now, due)
		case len(p.free) == 0: // also when all that are free have no part in the stage
			t.load.Store(loadBlocked)
			return never // an answer calls again
		}
		p.send(t, due)
		now = p.e.clock.now()
	}
	return now
}

// gatherFor is how long requests wait for each other where there are more than gatherOf in gatherIn: a thread that wakes up for each of them
// takes the processor from the one that reads as often. What is measured counts from when each was due.
const (
	gatherFor = int64(250 * time.Microsecond)
	gatherIn  = int64(2 * time.Millisecond)
	gatherOf  = 8
)

// gather is when to wake up for the request that is due next.
func (p *publishers) gather(t *trial, now, due int64) int64 {
	if t.plan.Paced() {
		return due
	}
	if later, ok := t.plan.Due(p.next + gatherOf); ok && t.base+later-due < gatherIn {
		return max(due, now+gatherFor)
	}
	return due
}

// due is when the next request is due.
func (p *publishers) due(t *trial, now int64) (int64, bool) {
	if !t.plan.Paced() {
		due, ok := t.plan.Due(p.next)
		return t.base + due, ok
	}
	switch end := t.base + t.plan.End; {
	case now >= end:
		return 0, false
	case now < t.base:
		return t.base, true
	case t.plan.Think > 0:
		return min(p.thought(t, now), end), true // nobody calls when the time is over
	case t.outstanding(now) >= float64(t.plan.InflightAt(now-t.base)):
		return now + 200_000, true // ns; look again
	}
	return now, true
}

// send sends the request that is due next.
func (p *publishers) send(t *trial, due int64) {
	c := p.pick()
	now := p.e.clock.now()
	p.sendLag.Record(now - max(due, p.unblocked))
	r := request{trial: t, due: due, message: p.message, n: t.plan.Batch}
	p.msgs, p.data = p.msgs[:0], p.data[:0]
	typing := uint64(0)
	for range r.n {
		m := p.build(t, c, due-t.base)
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
	c.ready = now + int64(t.plan.Think)
	if p.e.traits.Socket && p.echo() {
		c.ask(r, t.sent[c.number][c.channel])
		return
	}
	if p.e.traits.Socket {
		p.e.tally.acked.Add(uint64(r.n))
		p.e.tally.answered.Add(uint64(r.n))
		if c.sock.waiting() > 0 {
			p.block()
			c.waits = true
		} else if p.queue() { // to the back of the queue
			p.block()
			p.free = append(p.free, c)
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

// thought is when the connection that has waited longest has thought, or when to look again; never: all wait for responses.
func (p *publishers) thought(t *trial, now int64) (due int64) {
	most := t.plan.InflightAt(now - t.base)
	for i := 0; i < len(p.parked); { // the stage has room for more
		c := p.parked[i]
		if c.sub.Index >= most {
			i++
			continue
		}
		c.ready = now
		p.parked, p.free = slices.Delete(p.parked, i, i+1), slices.Insert(p.free, 0, c)
	}
	for len(p.free) > 0 && p.free[0].sub.Index >= most {
		p.parked, p.free = append(p.parked, p.free[0]), p.free[1:]
	}
	due = never
	if len(p.parked) > 0 {
		due = now + int64(poll)
	}
	if len(p.free) > 0 {
		due = min(due, max(p.free[0].ready, t.base))
	}
	return due
}

// block takes the connection used last out of the free list.
func (p *publishers) block() {
	if p.queue() {
		p.free = p.free[1:]
		return
	}
	p.free = p.free[:len(p.free)-1]
}

// build makes the next message of a publisher.
func (p *publishers) build(t *trial, c *publisher, due int64) target.Message {
	k, from := p.message, c.number
	p.message++
	ch := t.channelOf(c, k)
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
	p.data = s.Append(p.data, t.plan.SizeOf(k))
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
	now := p.e.clock.now()
	if len(p.free) == 0 {
		p.unblocked = now
	}
	if p.t != nil && p.t.plan.Think > 0 && now >= p.t.base {
		c.ready = now + int64(p.t.plan.Think)
	}
	p.free = append(p.free, c)
	if p.greets {
		p.greet()
	}
}
