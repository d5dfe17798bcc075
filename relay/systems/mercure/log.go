package mercure

import (
	"cmp"
	"slices"
	"time"
)

// earliest stands for the beginning of what is kept.
const earliest = "earliest"

// log is what can be resumed: updates, as the channel keeps them, and beside them the updates about subscriptions, which are
// kept in memory only and push no other out. It is guarded by System.mu; the lists are replaced or appended to, so that who has one may read it.
type log struct {
	size  int // of each list
	bytes int // of the events of each
	ttl   time.Duration

	updates, notices line
	byID             map[string]*update // the first one of an id
	number           uint64             // of the last one
	last             *update            // the newest one; nil: none yet
	fills            uint64             // how often it was filled anew
}

// clear empties the log: it is filled anew.
func (l *log) clear() {
	l.fills++
	l.updates, l.notices, l.number, l.last = line{}, line{}, 0, nil
	l.byID = make(map[string]*update)
}

// line is updates in their order.
type line struct {
	list  []*update
	bytes int
}

// add appends an update, with a number that is greater than all before it.
func (l *log) add(u *update, number uint64, notice bool) {
	l.number = number
	u.number = number
	l.last = u
	if l.byID[u.ID] == nil {
		l.byID[u.ID] = u
	}
	line := &l.updates
	if notice {
		line = &l.notices
	}
	line.list = append(line.list, u)
	line.bytes += len(u.event)
	l.trim(&l.updates, u.at)
	l.trim(&l.notices, u.at)
}

// trim drops what is beyond the bounds, oldest first.
func (l *log) trim(x *line, now time.Time) {
	n := 0
	for ; n < len(x.list); n++ {
		u := x.list[n]
		if len(x.list)-n <= l.size && x.bytes <= l.bytes && now.Sub(u.at) <= l.ttl {
			break
		}
		x.bytes -= len(u.event)
		if l.byID[u.ID] == u {
			delete(l.byID, u.ID)
		}
	}
	x.list = x.list[n:]
}

// after returns the updates behind one, in order; all if it is 0.
func (l *log) after(number uint64) []*update {
	cut := func(list []*update) []*update {
		i, _ := slices.BinarySearchFunc(list, number+1, func(u *update, n uint64) int { return cmp.Compare(u.number, n) })
		return list[i:]
	}
	a, b := cut(l.updates.list), cut(l.notices.list)
	switch {
	case len(b) == 0:
		return a
	case len(a) == 0:
		return b
	}
	out := append(slices.Clone(a), b...)
	slices.SortFunc(out, func(a, b *update) int { return cmp.Compare(a.number, b.number) })
	return out
}
