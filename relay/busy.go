package relay

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"weir/internal/wire"
)

// Busy is how much went out on a channel.
type Busy struct {
	Channel     string
	Messages    uint64 // changes
	Deliveries  uint64 // changes times those who follow
	Subscribers int
}

// busiest finds the channels on which most goes out. It looks only while somebody wants to know: otherwise a
// flush costs one look at a flag.
type busiest struct {
	watchers atomic.Int32
	mu       sync.Mutex
	tally    map[string]*Busy // of the second that is running; guarded by mu
	last     []Busy           // of the seconds up to over, the busiest first; guarded by mu
	over     int64            // the last second that was closed; guarded by mu
}

// busyChannels bounds how many channels are told apart. Beyond that the tally is that of Misra and Gries: a
// channel that has more than this share of all deliveries is certainly in it.
const busyChannels = 1024

// note counts a batch.
func (y *busiest) note(f *feed, messages int) {
	if y.watchers.Load() > 0 {
		y.add(f.name, messages, f.topic.Subscribers())
	}
}

func (y *busiest) add(channel string, messages, subscribers int) {
	n := uint64(messages * subscribers)
	y.mu.Lock()
	defer y.mu.Unlock()
	b := y.tally[channel]
	if b == nil {
		if y.tally == nil {
			y.tally = make(map[string]*Busy)
		}
		if len(y.tally) >= busyChannels {
			for name, x := range y.tally {
				if x.Deliveries <= n {
					delete(y.tally, name)
				} else {
					x.Deliveries -= n
				}
			}
			return
		}
		b = &Busy{Channel: channel}
		y.tally[channel] = b
	}
	b.Messages += uint64(messages)
	b.Deliveries += n
	b.Subscribers = subscribers
}

// Append appends it as a JSON object.
func (x *Busy) Append(b []byte) []byte {
	b = wire.AppendString(append(b, `{"channel":`...), x.Channel)
	b = strconv.AppendUint(append(b, `,"messages":`...), x.Messages, 10)
	b = strconv.AppendUint(append(b, `,"deliveries":`...), x.Deliveries, 10)
	return append(strconv.AppendInt(append(b, `,"subscribers":`...), int64(x.Subscribers), 10), '}')
}

// of returns what a second's tally was. Whoever asks for a second first closes it.
func (y *busiest) of(second int64) []Busy {
	y.mu.Lock()
	defer y.mu.Unlock()
	if second <= y.over {
		return y.last
	}
	y.over = second
	y.last = make([]Busy, 0, len(y.tally))
	for _, b := range y.tally {
		y.last = append(y.last, *b)
	}
	y.tally = nil
	slices.SortFunc(y.last, func(a, b Busy) int {
		return cmp.Or(cmp.Compare(b.Deliveries, a.Deliveries), cmp.Compare(a.Channel, b.Channel))
	})
	y.last = y.last[:min(topLength, len(y.last))]
	return y.last
}

// Watch has the relay note which channels are busy, from the first call on until as many with false came.
func (c *Core) Watch(on bool) {
	if on {
		c.relay.busiest.watchers.Add(1)
		return
	}
	c.relay.busiest.watchers.Add(-1)
}

// Busiest is the ten channels on which most was delivered in a second that is over. They are noted while somebody
// watches; see Watch. Of a second before the last one that was asked for it returns the later one's.
func (c *Core) Busiest(second int64) []Busy { return c.relay.busiest.of(second) }

// Lagging is a session that does not keep up.
type Lagging struct {
	Connection, User, Address string
	Queued                    int // bytes that wait for it
}

// Append appends it as a JSON object.
func (x *Lagging) Append(b []byte) []byte {
	b = wire.AppendString(append(b, `{"connectionId":`...), x.Connection)
	b = wire.AppendString(append(b, `,"userId":`...), x.User)
	b = wire.AppendString(append(b, `,"address":`...), x.Address)
	return append(strconv.AppendInt(append(b, `,"queued":`...), int64(x.Queued), 10), '}')
}

// Slowest is the ten sessions for which most waits. Nothing is looked at while nobody has a queue.
func (c *Core) Slowest() []Lagging {
	r := c.relay
	if r.pool.Stats().Stalled == 0 {
		return nil
	}
	var all []Lagging
	for _, s := range r.sessions.all() {
		if queued := s.conn.Queued(); queued > 0 {
			all = append(all, Lagging{s.id, s.user, s.address, queued})
		}
	}
	slices.SortFunc(all, func(a, b Lagging) int {
		return cmp.Or(cmp.Compare(b.Queued, a.Queued), cmp.Compare(a.Connection, b.Connection))
	})
	return all[:min(topLength, len(all))]
}
