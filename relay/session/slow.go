package session

import (
	"cmp"
	"slices"
	"strconv"

	"weir/internal/wire"
	"weir/relay/stats"
)

// SlowSession is a session that does not keep up.
type SlowSession struct {
	Connection, User, Address string
	Queued                    int // bytes that wait for it
}

// Append appends it as a JSON object.
func (x *SlowSession) Append(b []byte) []byte {
	b = wire.AppendString(append(b, `{"connectionId":`...), x.Connection)
	b = wire.AppendString(append(b, `,"userId":`...), x.User)
	b = wire.AppendString(append(b, `,"address":`...), x.Address)
	return append(strconv.AppendInt(append(b, `,"queued":`...), int64(x.Queued), 10), '}')
}

// Slowest is the ten sessions for which most waits. Nothing is looked at while nobody has a queue.
func (m *Manager) Slowest() []SlowSession {
	if m.hub.Pool.Stats().Stalled == 0 {
		return nil
	}
	var all []SlowSession
	for _, s := range m.sessions.all() {
		if queued := s.conn.Queued(); queued > 0 {
			all = append(all, SlowSession{s.id, s.user, s.address, queued})
		}
	}
	slices.SortFunc(all, func(a, b SlowSession) int {
		return cmp.Or(cmp.Compare(b.Queued, a.Queued), cmp.Compare(a.Connection, b.Connection))
	})
	return all[:min(stats.TopLength, len(all))]
}
