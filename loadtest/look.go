package loadtest

import (
	"bytes"
	"fmt"
	"strconv"

	"weir/loadtest/check"
	"weir/loadtest/record"
)

// look is what a checked connection sees in one trial. It is owned by the checked loop.
type look struct {
	c       *conn
	t       *trial
	streams map[source]*stream
	recent  source // the stream looked up last
	stream  *stream
	only    []stream              // by publisher, in the place of streams: of a connection with one channel and few publishers; nil before the first arrival
	joins   map[int]*check.Stream // by followed channel

	arrivals []arrival // of the message being read
	plain    bool      // a message is being read, and has carried nothing else so far

	received, duplicated, reordered, corrupted, late, other, told, leaves uint64
}

// source is one publisher in one channel.
type source struct{ channel, source uint32 }

// stream checks the numbers of one source: exactly, or only the newest of each key.
type stream struct {
	exact  check.Stream
	newest *check.Latest
}

func newLook(c *conn, t *trial) *look {
	return &look{c: c, t: t, streams: map[source]*stream{}, joins: map[int]*check.Stream{}}
}

// typingData is what a typing sign says; messages that begin like it are not stamped.
var typingData = []byte(`{"typing":true}`)

// read takes a message: as it is, or what is known of it from another connection that has read the same.
func (k *look) read(msg []byte) (reply []byte, err error) {
	c, r := k.c, k.c.e.readings
	slot, found := r.find(c.group, msg)
	if found {
		for i := range slot.arrivals {
			a := &slot.arrivals[i]
			f := &c.sub.Channels[a.followed]
			f.Seq = max(f.Seq, a.seq)
			k.arrived(a)
		}
		return nil, nil
	}
	k.arrivals, k.plain = k.arrivals[:0], true
	reply, err = c.e.target.Read(&c.sub, msg, c)
	if k.plain && err == nil && len(reply) == 0 && len(k.arrivals) > 0 {
		r.keep(slot, c.group, msg, k.arrivals)
	}
	k.plain = false
	return reply, err
}

// delivered judges one delivery as it is read.
func (k *look) delivered(followed int, seq uint64, key, data []byte, deleted bool) {
	f := &k.c.sub.Channels[followed]
	if f.Watch {
		k.plain = false
		k.watched(followed, key, deleted)
		return
	}
	a := arrival{followed: followed, seq: seq}
	var err error
	if deleted || bytes.Equal(data, typingData) {
		a.verdict = other
	} else if a.stamp, err = check.Parse(data); err != nil || int(a.stamp.Channel) >= len(k.c.e.names) || k.c.e.names[a.stamp.Channel] != f.Name {
		a.verdict = damaged
	}
	if k.plain {
		k.arrivals = append(k.arrivals, a)
	}
	k.arrived(&a)
}

// arrived counts one delivery.
func (k *look) arrived(a *arrival) {
	s := &a.stamp
	switch {
	case a.verdict == damaged:
		k.corrupted++
		return
	case a.verdict == other || s.Source < k.t.sources || s.Source >= k.t.sources+uint32(k.t.publishers): // of an earlier trial
		k.other++
		return
	}
	switch k.of(source{s.Channel, s.Source}).add(s.Number) {
	case check.Duplicate:
		k.duplicated++
		return
	case check.Reordered:
		k.reordered++
	}
	k.received++
	k.c.e.tally.messages.Add(1)
	if !k.t.own(s.Source) {
		return
	}
	latency := k.c.now - k.t.base - s.Due
	if latency > int64(k.t.plan.Late) {
		k.late++
	}
	if k.t.measures(k.c.l) {
		k.t.meter.record(k.c.now-k.t.base, s.Due, latency)
	}
}

// fewPublishers is how many publishers a connection may have streams for that are found by number.
const fewPublishers = 64

// of is the stream of a source, which is of this trial.
func (k *look) of(key source) *stream {
	if len(k.c.sub.Channels) == 1 && k.t.publishers <= fewPublishers && k.t.plan.Keys == 0 {
		if k.only == nil {
			k.only = make([]stream, k.t.publishers)
		}
		return &k.only[key.source-k.t.sources]
	}
	if k.stream != nil && k.recent == key {
		return k.stream
	}
	s := k.streams[key]
	if s == nil {
		s = &stream{}
		if k.t.plan.Keys > 0 {
			s.newest = check.NewLatest(k.t.plan.Keys)
		}
		k.streams[key] = s
	}
	k.recent, k.stream = key, s
	return s
}

func (s *stream) add(n uint64) check.Arrival {
	if s.newest != nil {
		return s.newest.Add(n)
	}
	return s.exact.Add(n)
}

// missing is what of 1 to sent did not arrive: for good, and replaced by something newer.
func (s *stream) missing(sent uint64) (lost, superseded uint64) {
	if s.newest == nil {
		return s.exact.Missing(sent), 0
	}
	lost = s.newest.Stale(sent)
	return lost, s.newest.Missing(sent) - lost
}

// watched takes a change of who is in a channel.
func (k *look) watched(followed int, key []byte, deleted bool) {
	number, due, ok := k.t.visitorOf(key)
	if !ok {
		k.other++
		return
	}
	if deleted {
		k.leaves++
		return
	}
	s := k.joins[followed]
	if s == nil {
		s = &check.Stream{}
		k.joins[followed] = s
	}
	if s.Add(number/uint64(len(k.c.e.names))+1) != check.Duplicate {
		k.t.joined.Record(k.c.now - k.t.base - due)
	}
}

// Visitors are called v<number>-<due>-<test>-<trial>, so that what is seen of them says which they are
// and since when they were to be there.

func (t *trial) visitorName(number uint64, due int64) string {
	return fmt.Sprintf("v%d-%d-%s-%d", number, due, t.e.id, t.number)
}

// visitorOf reads the name of a visitor of this trial.
func (t *trial) visitorOf(name []byte) (number uint64, due int64, ok bool) {
	name, ok = bytes.CutPrefix(name, []byte("v"))
	first, rest, _ := bytes.Cut(name, []byte("-"))
	second, of, _ := bytes.Cut(rest, []byte("-"))
	number, err := strconv.ParseUint(string(first), 10, 63)
	due, err2 := strconv.ParseInt(string(second), 10, 64)
	return number, due, ok && err == nil && err2 == nil && string(of) == t.e.id+"-"+strconv.Itoa(t.number)
}

// result is the connection's line of the record. sent says how much each source sent to a channel, and
// how much of that nobody may expect.
func (c *conn) result(t *trial) record.Conn {
	r := record.Conn{
		Role: c.role, Channels: t.plan.Follows(c.sub.Index),
		Resumed: c.fate.resumed, Closes: c.fate.closes, Code: c.fate.code, Place: c.place,
	}
	if c.fate.stalled {
		r.Role = record.Stalled
	}
	k := c.look
	if k == nil {
		r.Bytes, r.Frames, r.Order = c.skim.Payload+c.raw, c.skim.Frames, c.skim.Order
		return r
	}
	r.Bytes, r.Frames, r.Order = c.frames.Payload+c.raw, c.frames.Received+c.events.Received, c.frames.Order
	r.Received, r.Duplicated, r.Reordered, r.Corrupted = k.received, k.duplicated, k.reordered, k.corrupted
	r.Late, r.Other, r.Told, r.Leaves = k.late, k.other, k.told, k.leaves
	for _, ch := range r.Channels {
		for from := range t.publishers {
			sent := t.sent[from][ch]
			if sent == 0 {
				continue
			}
			lost, superseded := k.of(source{uint32(ch), t.sources + uint32(from)}).missing(sent)
			r.Missing += lost - min(lost, t.excused[from][ch])
			r.Superseded += superseded
		}
	}
	for i, f := range c.sub.Channels {
		if s := k.joins[i]; s != nil {
			r.Joins += s.Received
		}
		if f.Watch {
			r.Unseen += t.visits[r.Channels[i-len(r.Channels)]]
		}
	}
	r.Unseen -= min(r.Unseen, r.Joins)
	return r
}
