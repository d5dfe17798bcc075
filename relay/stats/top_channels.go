package stats

import (
	"cmp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"weir/internal/wire"
)

// TopChannel is how much went out on a channel.
type TopChannel struct {
	Channel     string
	Messages    uint64 // changes
	Deliveries  uint64 // changes times those who follow
	Subscribers int
}

// TopChannels finds the channels on which most goes out. It looks only while somebody wants to know: otherwise a
// flush costs one look at a flag.
type TopChannels struct {
	Watchers atomic.Int32
	Mu       sync.Mutex
	Tally    map[string]*TopChannel // of the second that is running; guarded by mu
	last     []TopChannel           // of the seconds up to over, the busiest first; guarded by mu
	Over     int64                  // the last second that was closed; guarded by mu
}

// TopLength is how many of the busiest channels, and of the slowest clients, are told.
const TopLength = 10

// BusyChannels bounds how many channels are told apart. Beyond that the tally is that of Misra and Gries: a
// channel that has more than this share of all deliveries is certainly in it.
const BusyChannels = 1024

// Watch has busy channels noted, from the first call on until as many with false came.
func (y *TopChannels) Watch(on bool) {
	if on {
		y.Watchers.Add(1)
		return
	}
	y.Watchers.Add(-1)
}

// Watched reports whether somebody wants to know.
func (y *TopChannels) Watched() bool { return y.Watchers.Load() > 0 }

// Add counts messages that went out on a channel.
func (y *TopChannels) Add(channel string, messages, subscribers int) {
	n := uint64(messages * subscribers)
	y.Mu.Lock()
	defer y.Mu.Unlock()
	b := y.Tally[channel]
	if b == nil {
		if y.Tally == nil {
			y.Tally = make(map[string]*TopChannel)
		}
		if len(y.Tally) >= BusyChannels {
			for name, x := range y.Tally {
				if x.Deliveries <= n {
					delete(y.Tally, name)
				} else {
					x.Deliveries -= n
				}
			}
			return
		}
		b = &TopChannel{Channel: channel}
		y.Tally[channel] = b
	}
	b.Messages += uint64(messages)
	b.Deliveries += n
	b.Subscribers = subscribers
}

// Append appends it as a JSON object.
func (x *TopChannel) Append(b []byte) []byte {
	b = wire.AppendString(append(b, `{"channel":`...), x.Channel)
	b = strconv.AppendUint(append(b, `,"messages":`...), x.Messages, 10)
	b = strconv.AppendUint(append(b, `,"deliveries":`...), x.Deliveries, 10)
	return append(strconv.AppendInt(append(b, `,"subscribers":`...), int64(x.Subscribers), 10), '}')
}

// Of returns what a second's tally was. The first caller that asks for a second closes it.
func (y *TopChannels) Of(second int64) []TopChannel {
	y.Mu.Lock()
	defer y.Mu.Unlock()
	if second <= y.Over {
		return y.last
	}
	y.Over = second
	y.last = make([]TopChannel, 0, len(y.Tally))
	for _, b := range y.Tally {
		y.last = append(y.last, *b)
	}
	y.Tally = nil
	slices.SortFunc(y.last, func(a, b TopChannel) int {
		return cmp.Or(cmp.Compare(b.Deliveries, a.Deliveries), cmp.Compare(a.Channel, b.Channel))
	})
	y.last = y.last[:min(TopLength, len(y.last))]
	return y.last
}
