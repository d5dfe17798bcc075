package session

import (
	"strconv"
	"time"

	"weir/internal/wire"
)

// follows reports whether the session is subscribed to a channel.
func (s *Session) follows(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(channel) >= 0 || s.awaits(channel)
}

// transport is how the client is connected.
func (s *Session) transport() string {
	if s.events {
		return "sse"
	}
	return "ws"
}

// appendRecord appends what backends are told of a connection. Users of the protocol know its members by these names.
func (s *Session) appendRecord(b []byte) []byte {
	b = wire.AppendString(append(b, `{"connectionId":`...), s.id)
	b = wire.AppendString(append(b, `,"userId":`...), s.user)
	b = append(append(b, `,"transport":"`...), s.transport()...)
	b = wire.AppendString(append(b, `","address":`...), s.address)
	b = time.UnixMilli(s.opened).UTC().AppendFormat(append(b, `,"connectedAt":"`...), "2006-01-02T15:04:05.000Z")
	b = append(b, `","lastPing":`...)
	if !s.events {
		b = strconv.AppendInt(b, max(s.lastPing.Load(), s.opened), 10)
	} else {
		b = append(b, "null"...)
	}
	if c := s.manager.hub.Cluster; c != nil {
		b = wire.AppendString(append(b, `,"node":`...), c.Node())
	}
	b = append(b, `,"channels":[`...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takeUp()
	waits := s.own.Load() == unmade
	if waits {
		b = append(append(append(b, '"'), wire.UserChannel(s.user)...), '"')
	}
	for i, sub := range s.subs {
		if i > 0 || waits {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), sub.feed.Name...), '"')
	}
	return append(b, `]}`...)
}

// Pinged notes a sign of life that the client gave on purpose: a ping of its own, or a pong.
func (s *Session) Pinged() { s.lastPing.Store(time.Now().UnixMilli()) }

// AppendFollowers appends the members "followers", at most limit of those who follow a channel, and "count", of all.
func (m *Manager) AppendFollowers(b []byte, channel string, limit int) []byte {
	count := 0
	b = append(b, `"followers":[`...)
	for _, s := range m.sessions.all() {
		if !s.follows(channel) {
			continue
		}
		if count++; count > limit {
			continue
		}
		if count > 1 {
			b = append(b, ',')
		}
		b = wire.AppendString(append(b, `{"connectionId":`...), s.id)
		b = wire.AppendString(append(b, `,"userId":`...), s.user)
		b = wire.AppendString(append(b, `,"address":`...), s.address)
		b = append(append(b, `,"transport":"`...), s.transport()...)
		b = strconv.AppendInt(append(b, `","since":`...), s.opened, 10)
		b = append(b, '}')
	}
	return strconv.AppendInt(append(b, `],"count":`...), int64(count), 10)
}
