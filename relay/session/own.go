package session

import (
	"slices"

	"weir/broker"
	"weir/internal/wire"
)

// A user's own channel is made by who first needs it. Until then sessions wait for it: they have the position at which it begins, and
// who makes it has them join before anything else happens to it.

// ownChannel is what a session has of its user's own channel until that is among its subscriptions: a subscription to it, or while nobody has
// made it, in common with others, the epoch of the position that it was told. It does not change.
type ownChannel struct {
	subscription        // without a fanout: nobody has made it
	epoch        string // of the position; "" if it is made
}

// awaitsOwn reports whether the session waits for its user's own channel to be made.
func (s *Session) awaitsOwn() bool {
	own := s.own.Load()
	return own != nil && own.fanout == nil
}

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
	if own := s.own.Load(); own != nil && own.fanout != nil && s.own.CompareAndSwap(own, nil) {
		s.subs = slices.Insert(s.subs, 0, own.subscription)
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
	return s.awaitsOwn() && channel == wire.UserChannel(s.user)
}
