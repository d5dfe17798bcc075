package presence

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// AppendUsers appends the members users, unless only the count is wanted, and count, each after a comma.
func (p *Presence) AppendUsers(b []byte, channel string, countOnly bool) []byte {
	if countOnly && p.crowd != nil {
		return strconv.AppendInt(append(b, `,"count":`...), int64(p.crowd.count(channel)), 10)
	}
	if countOnly {
		part := p.part(channel)
		part.mu.Lock()
		defer part.mu.Unlock()
		return strconv.AppendInt(append(b, `,"count":`...), int64(part.channels[channel].Len()), 10)
	}
	list := p.list(channel)
	slices.SortFunc(list, func(x, y present) int { // without the lock: there may be many
		return cmp.Or(cmp.Compare(x.joined, y.joined), cmp.Compare(x.user, y.user))
	})
	now := time.Now().UnixMilli()
	b = append(b, `,"users":[`...)
	for i := range list {
		u := &list[i]
		if i > 0 {
			b = append(b, ',')
		}
		seen := u.seen
		if u.connections > 0 {
			seen = now // its heartbeat would have ended it
		}
		b = strconv.AppendInt(append(u.open(b), `,"connections":`...), int64(u.connections+u.unsubscribed()), 10)
		b = append(strconv.AppendInt(append(b, `,"lastSeen":`...), seen, 10), '}')
	}
	return strconv.AppendInt(append(b, `],"count":`...), int64(len(list)), 10)
}

// list are copies of a channel's users.
func (p *Presence) list(channel string) []present {
	if p.crowd != nil {
		return p.crowd.list(channel)
	}
	part := p.part(channel)
	part.mu.Lock()
	defer part.mu.Unlock()
	in := part.channels[channel]
	list := make([]present, 0, in.Len())
	if in == nil {
		return list
	}
	for u := range in.All() {
		list = append(list, *u)
		if u.extra != nil {
			x := *u.extra
			x.attendances = slices.Clone(x.attendances)
			list[len(list)-1].extra = &x
		}
	}
	return list
}
