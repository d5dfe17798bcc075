package session

import (
	"slices"

	"weir/broker"
	"weir/internal/wire"
)

// A user's own channel is made by who first needs it. Until then sessions wait for it: they have the position at which it begins, and
// who makes it has them join before anything else happens to it.

// unmade stands for the user's own channel while nobody has made it: see registry.await.
var unmade = new(subscription)

// AwaitOwn has the session wait for its user's own channel to be made, and sends what first returns: the position given to it holds until then. It
// returns false, and has done nothing, if the channel is there, or has to be joined at once. It is called by what Enter calls.
func (s *Session) AwaitOwn(first func(at broker.Position) []byte, then func()) bool {
	m, channel := s.manager, wire.UserChannel(s.user)
	if !m.hub.MayAwait(channel) {
		return false
	}
	return m.sessions.await(s, func() (broker.Position, bool) { return m.hub.Broker.Vacant(channel) }, func(at broker.Position) {
		m.hub.Counters.Subscriptions.Inc()
		s.conn.Reply(first(at), then)
	})
}

// takeUp takes up the subscription to the user's own channel, if somebody has made that since. The caller holds s.mu.
func (s *Session) takeUp() {
	if own := s.own.Load(); own != nil && own != unmade && s.own.CompareAndSwap(own, nil) {
		s.subs = slices.Insert(s.subs, 0, *own)
	}
}

// needOwn makes a channel that the session waits for. The caller holds s.mu.
func (s *Session) needOwn(channel string) {
	if s.awaits(channel) {
		_ = s.manager.hub.Broker.Gather(channel) // who uses it is told what is wrong
	}
}

// awaits reports whether a channel is the user's own, and the session waits for it to be made.
func (s *Session) awaits(channel string) bool {
	return s.own.Load() == unmade && channel == wire.UserChannel(s.user)
}
