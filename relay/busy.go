package relay

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
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
	tally    map[string]*Busy // guarded by mu
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

// take answers the first n and begins anew.
func (y *busiest) take(n int) []Busy {
	y.mu.Lock()
	tally := y.tally
	y.tally = nil
	y.mu.Unlock()
	all := make([]Busy, 0, len(tally))
	for _, b := range tally {
		all = append(all, *b)
	}
	slices.SortFunc(all, func(a, b Busy) int {
		return cmp.Or(cmp.Compare(b.Deliveries, a.Deliveries), cmp.Compare(a.Channel, b.Channel))
	})
	return all[:min(n, len(all))]
}

// Watch has the relay note which channels are busy, from the first call on until as many with false came.
func (c *Core) Watch(on bool) {
	if on {
		c.relay.busiest.watchers.Add(1)
		return
	}
	if c.relay.busiest.watchers.Add(-1) == 0 {
		c.relay.busiest.take(0)
	}
}

// Busiest is the n channels on which most was delivered since the last call. They are noted while somebody
// watches; see Watch.
func (c *Core) Busiest(n int) []Busy { return c.relay.busiest.take(n) }

// Lagging is a session that does not keep up.
type Lagging struct {
	Connection, User, Address string
	Queued                    int // bytes that wait for it
}

// Slowest is the n sessions for which most waits. Nothing is looked at while nobody has a queue.
func (c *Core) Slowest(n int) []Lagging {
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
	return all[:min(n, len(all))]
}
