package session

import (
	"weir/broker"
	"weir/pool"
	"weir/relay/hub"
	"weir/relay/problem"
)

// Protocol is what a session speaks: the relay's own, or that of a route of a system. Its methods are called one at a time,
// unless they say otherwise.
type Protocol interface {
	// Message handles a message of the client, in the session's turn. Its bytes are valid during the call.
	Message(data []byte, binary bool)

	// TooLarge refuses the messages with these ids, which were larger than Limit, in the session's turn.
	TooLarge(ids [][]byte, why *problem.Error)

	// Limit bounds a message of the client in bytes.
	Limit() int

	// Held handles a message that was given to Session.Hold, beside the turn. It may wait. Lines are handled at the same time.
	Held(h *Held, b *Beside)

	// Published is the outcome of a publication of Beside.Await. id is that of its message.
	Published(id []byte, at broker.Position, err error)

	// Subscribed is the answer to a subscription, or to another one of the same channel, ready for the socket. It is called under
	// the channel's lock.
	Subscribed(r *SubscribeRequest, reply broker.Reply, again bool) []byte

	// Denied takes access to a channel away, and tells the client why. It returns false if the client has nothing to do with the
	// channel. It may be called at any time.
	Denied(channel string, why *problem.Error) bool

	// Resync is what a client is sent that was too slow for a channel's changes, ready for the socket. It is called under the
	// channel's lock. nil: the protocol knows nothing like it, and the client is closed.
	Resync(channel string, r broker.Reply) []byte

	// CloseFrame is the last bytes of the session. It may be called at any time.
	CloseFrame(why Closing) []byte

	// Leave ends what the client is a member of beside its channels, and lets nothing of that begin any more. Each function that it
	// returns ends one membership after everything sent before has reached the client, and calls then on the shard's loop.
	Leave() []func(then func())

	// Gone ends the memberships of a client whose connection is gone. Abrupt: it has broken off.
	Gone(abrupt bool)

	// Closed is called once, when the session has ended.
	Closed()

	// Tail ends a frame of an event stream; see pool.Owner. It is called on the shard's loop.
	Tail(dst []byte, t *pool.Topic, f *pool.Frame) []byte

	// Joined sends the answer to a subscription of an event stream, after the connection has joined the topic. It is called under the
	// channel's lock and the session's.
	Joined(channel string, t *pool.Topic, at broker.Position, answer []byte)

	// Left is called on the shard's loop when an event stream has been sent the last of a channel.
	Left(channel string)
}

// Enter lets others find the session, and then calls greet, before anybody may end it: nothing comes before the answer to the
// handshake, which greet sends, nor can the last turn be over before the session is entered.
func (s *Session) Enter(greet func()) {
	s.manager.hub.Counters.Opened.Of(s.Transport()).Inc()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.manager.enter(s)
	s.manager.expiries.set(s, s.deadline())
	greet()
}

// Begun ends a session again that began while its identity was taken back, or while a drain looked for those that there are.
func (s *Session) Begun() {
	s.confirm()
	if s.manager.draining.Load() {
		s.Close(draining)
	}
}

// JoinFirst has the session follow its first channel, and sends what first returns, in order with
// the channel's changes; then it calls then on the shard's loop. First runs under the channel's lock; if it returns nothing, the
// channel is not followed and JoinFirst returns false. It is called by what Enter calls.
func (s *Session) JoinFirst(channel string, request broker.JoinRequest, first func(t *pool.Topic, r broker.Reply) []byte, then func()) (bool, error) {
	var sub subscription
	request.Appends = s.Appends()
	ch, err := s.manager.hub.Broker.Join(channel, request, func(out broker.Subscriber, reply broker.Reply) {
		f := hub.FanoutOf(out)
		hello := first(f.Topic, reply)
		if hello == nil {
			return
		}
		f.Begin(reply.Position)
		f.Window.Seal()
		sub.fanout, sub.topic = f, f.Topic
		s.conn.Join(f.Topic, f.Ordinal.Load(), hello, then)
	})
	if err != nil {
		return false, err
	}
	if sub.fanout == nil {
		ch.Leave()
		return false, nil
	}
	sub.channel = ch
	s.subs = append(s.subs, sub)
	s.manager.hub.Counters.Subscriptions.Inc()
	return true, nil
}
