package session

import (
	"net/netip"
	"sync/atomic"
	"time"

	"weir/internal/wire"
	"weir/relay/ingress"
)

// Closing is why a connection is closed by the relay.
type Closing struct {
	Code   int
	Reason string
	Retry  time.Duration // event streams: when to come back; 0: the client's own time
	Final  bool          // the code is one of the protocol's own
}

var (
	draining      = Closing{Code: wire.CloseDraining, Reason: "retry=1000", Retry: time.Second}
	InternalError = Closing{Code: wire.CloseInternal, Reason: "internal error"}

	// Overloaded closes a session whose first channel cannot be joined.
	Overloaded = Closing{Code: wire.CloseOverloaded, Reason: "overloaded"}
)

// Close closes the session after everything accepted for its channels has been sent to it. It returns at
// once and may be called from anywhere but under a channel's lock; only the first call counts.
func (s *Session) Close(why Closing) {
	if s.ending.Swap(true) {
		return
	}
	s.noteClosing(why)
	s.manager.hub.Counters.Closes.Of(why.Code).Inc()
	grace := asideGrace
	if why.Code == wire.CloseForbidden {
		grace = 0
	}
	subs := s.takeSubs(grace, true)
	memberships := s.protocol.Leave()
	var left atomic.Int32
	left.Store(int32(len(subs)+len(memberships)) + 1)
	done := func() {
		if left.Add(-1) == 0 {
			s.conn.Shut(s.protocol.CloseFrame(why), false)
		}
	}
	for _, sub := range subs {
		s.detach(sub, nil, done)
	}
	for _, leave := range memberships {
		leave(done)
	}
	if why.Code == wire.CloseDraining {
		left.Add(1)
		s.finishAside(done) // the answers to what was taken on are sent, too
	}
	done()
	if why.Code == wire.CloseForbidden {
		s.leavePresence(false) // it is not expected back
	}
}

// CloseNow closes the session at once; what waits for it is given up.
func (s *Session) CloseNow(why Closing) { s.CloseFirst(nil, why) }

// CloseFirst is CloseNow of a session that was sent nothing yet: head is the answer to its handshake, which comes before the reason.
func (s *Session) CloseFirst(head []byte, why Closing) {
	if s.ending.Swap(true) {
		return
	}
	s.noteClosing(why)
	s.manager.hub.Counters.Closes.Of(why.Code).Inc()
	s.conn.Shut(append(head, s.protocol.CloseFrame(why)...), true)
}

// takeSubs empties the session's subscriptions and lets no more be added. What is held may be carried out for grace. Of those whose presence
// is not ended by who calls it, note has leavePresence know.
func (s *Session) takeSubs(grace time.Duration, note bool) []subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended, s.until = true, time.Now().Add(grace).UnixNano()
	}
	switch own := s.manager.sessions.leaveOwn(s); {
	case own == nil:
	case own.fanout == nil:
		s.manager.hub.Counters.Subscriptions.Dec()
	default:
		s.subs = append(s.subs, own.subscription)
	}
	subs := s.subs
	s.subs = nil
	for i := range subs {
		if subs[i].observed {
			s.observe(subs[i].fanout.Name, false)
		}
		if note && subs[i].present {
			l := s.leave()
			l.present = append(l.present, subs[i].fanout.Name)
		}
	}
	return subs
}

// leavePresence takes the session out of the presence of its channels, after takeSubs.
func (s *Session) leavePresence(abrupt bool) {
	s.mu.Lock()
	var channels []string
	if s.leaving != nil {
		channels, s.leaving.present = s.leaving.present, nil
	}
	s.mu.Unlock()
	for _, channel := range channels {
		s.manager.hub.Presence.Leave(channel, s.id, s.user, abrupt)
	}
}

// detach ends a subscription that was taken out of subs, after everything accepted before has been sent;
// then it sends answer and calls then on the shard's loop.
func (s *Session) detach(sub subscription, answer []byte, then func()) {
	// A frame that goes on beyond where the subscription ends is not sent: what was accepted before must
	// not share one with what is accepted from now on.
	sub.fanout.Window.Seal()
	sub.fanout.Window.Expedite()
	s.conn.Leave(sub.topic, sub.fanout.Ordinal.Load(), answer, func() {
		sub.channel.Leave()
		if then != nil {
			then()
		}
	})
	s.manager.hub.Counters.Subscriptions.Dec()
}

// finish ends a session whose connection is gone. Called once, in its last turn. Whatever goes wrong on the way, what comes
// after it is done.
func (s *Session) finish(abrupt bool) {
	m := s.manager
	s.ending.Store(true)
	var subs []subscription
	m.hub.Contain.Do("end of a session", func() { m.expiries.remove(s) })
	m.hub.Contain.Do("end of a session", func() { subs = s.takeSubs(asideGrace, false) })
	for _, step := range lastSteps {
		m.hub.Contain.Do("end of a session", func() { step(s, subs, abrupt) })
	}
	left := subs
	s.conn.Remove(func() {
		defer m.readers.Done()
		for i := range left {
			m.hub.Contain.Do("end of a subscription", left[i].channel.Leave)
		}
	})
}

// lastSteps end a session that is followed by nothing any more; subs are what it followed until now.
var lastSteps = [...]func(s *Session, subs []subscription, abrupt bool){
	func(s *Session, _ []subscription, _ bool) {
		if s.custom { // the system sees no message after the end
			s.awaitAside()
		}
	},
	func(s *Session, _ []subscription, abrupt bool) { s.protocol.Gone(abrupt || s.manager.moves()) },
	func(s *Session, _ []subscription, _ bool) {
		if s.counted {
			s.manager.gate.Addresses.Give(ingress.AddressKey(netip.AddrFrom16(s.address)))
		}
	},
	func(s *Session, _ []subscription, _ bool) { s.manager.sessions.remove(s) }, // its places are free by now
	func(s *Session, _ []subscription, _ bool) { s.manager.hub.Counters.Ended.Of(s.Transport()).Inc() },
	func(s *Session, subs []subscription, abrupt bool) {
		abrupt = abrupt || s.manager.moves()
		for i := range subs {
			if subs[i].present {
				s.manager.hub.Presence.Leave(subs[i].fanout.Name, s.id, s.user, abrupt)
			}
		}
		s.leavePresence(abrupt) // of what was left before
	},
	func(s *Session, _ []subscription, abrupt bool) { s.observeEnd(abrupt) },
	func(s *Session, _ []subscription, _ bool) { s.manager.closed(s) },
	func(s *Session, subs []subscription, _ bool) {
		s.manager.hub.Counters.Subscriptions.Add(float64(-len(subs)))
	},
}
