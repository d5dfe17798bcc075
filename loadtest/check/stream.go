package check

import "slices"

// spanLimit bounds the separate missing ranges that one Stream remembers.
const spanLimit = 1 << 14

// Arrival is what a Stream says about one number.
type Arrival uint8

// The kinds of arrival. Late numbers (Reordered) fill a hole that was counted as missing until then.
const (
	InOrder Arrival = iota
	Reordered
	Duplicate
)

// Stream follows the numbers of one source in one channel as one reader sees them. The zero value
// expects 1 first. It is owned by the reader's goroutine.
type Stream struct {
	Received   uint64 // distinct numbers that arrived
	Duplicated uint64 // arrivals of a number that had arrived before
	Reordered  uint64 // arrivals after a higher number

	top     uint64 // highest number seen
	missing []span // below top and not seen, ascending
	dropped uint64 // numbers in spans that were forgotten
}

type span struct{ from, to uint64 } // both included

// Add records the arrival of n, which is 1 or more.
func (s *Stream) Add(n uint64) Arrival {
	if n > s.top {
		if n > s.top+1 {
			s.miss(span{s.top + 1, n - 1})
		}
		s.top = n
		s.Received++
		return InOrder
	}
	i, found := slices.BinarySearchFunc(s.missing, n, func(m span, n uint64) int {
		switch {
		case m.to < n:
			return -1
		case m.from > n:
			return 1
		}
		return 0
	})
	if !found {
		s.Duplicated++
		return Duplicate
	}
	m := s.missing[i]
	switch {
	case m.from == m.to:
		s.missing = slices.Delete(s.missing, i, i+1)
	case n == m.from:
		s.missing[i].from++
	case n == m.to:
		s.missing[i].to--
	default:
		s.missing[i].to = n - 1
		s.missing = slices.Insert(s.missing, i+1, span{n + 1, m.to})
	}
	s.Received++
	s.Reordered++
	return Reordered
}

func (s *Stream) miss(m span) {
	if len(s.missing) >= spanLimit {
		s.dropped += s.missing[0].to - s.missing[0].from + 1
		s.missing = slices.Delete(s.missing, 0, 1)
	}
	s.missing = append(s.missing, m)
}

// Missing counts the numbers from 1 to published that did not arrive.
func (s *Stream) Missing(published uint64) uint64 {
	n := s.dropped
	for _, m := range s.missing {
		if m.from > published {
			break
		}
		n += min(m.to, published) - m.from + 1
	}
	if published > s.top {
		n += published - s.top
	}
	return n
}

// Latest follows numbers of which only the newest of each key must arrive: what is left of a Stream
// when a relay conflates. Numbers belong to the key number % Keys.
type Latest struct {
	Stream
	newest []uint64 // highest number seen of each key
}

// NewLatest returns a Latest for keys keys, 1 or more.
func NewLatest(keys int) *Latest { return &Latest{newest: make([]uint64, max(keys, 1))} }

// Add records the arrival of n.
func (l *Latest) Add(n uint64) Arrival {
	a := l.Stream.Add(n)
	if k := n % uint64(len(l.newest)); n > l.newest[k] {
		l.newest[k] = n
	}
	return a
}

// Stale counts the keys whose newest number, out of 1 to published, did not arrive: values that the
// reader will show wrongly for ever.
func (l *Latest) Stale(published uint64) uint64 {
	keys, stale := uint64(len(l.newest)), uint64(0)
	for back := range min(keys, published) {
		if n := published - back; l.newest[n%keys] < n {
			stale++
		}
	}
	return stale
}
