package session

import (
	"bytes"
	"net"
	"sync/atomic"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// Protocol is what a session speaks in the place of the relay's own: that of a route of a system. Such sessions count, beat,
// expire, drain and are limited like all others. They follow no channels but what the protocol asks for.
type Protocol interface {
	// Attach is called first, with the session, which nobody else can find yet.
	Attach(s *Session)

	// Open is called when the answer to the handshake is on its way, before the first Message: what it sends comes first. On
	// an event stream it sends that answer, too.
	Open()

	// Message handles a message of the client in the session's turn. Its bytes are valid during the call.
	Message(data []byte, binary bool)

	// Held handles a message that was given to Session.Hold, beside the turn. It may wait.
	Held(data []byte, binary bool)

	// SendError tells the client of an error. id is that of a message; nil: none.
	SendError(id []byte, err error)

	// Denied takes access to a channel away. It returns false if the client has nothing to do with the channel.
	Denied(channel, reason string) bool

	// CloseFrame is the last bytes of a WebSocket. Final says that the code is one of the protocol's own.
	CloseFrame(code int, reason string, final bool) []byte

	// Leave ends the memberships and lets no more begin. Each function that it returns ends one after everything sent before has
	// reached the client, and calls then on the shard's loop.
	Leave() []func(then func())

	// Gone ends the memberships of a client whose connection is gone, and lets no more begin. Abrupt: it has broken off.
	Gone(abrupt bool)

	// Closed is called once, when nothing refers to the session any more.
	Closed()

	// Limit bounds a message of the client in bytes.
	Limit() int
}

// OpenWebSocket starts a session that speaks p. Everything is written in turn by the shard's loop, behind the answer to the
// handshake.
func (m *Manager) OpenWebSocket(nc net.Conn, a *Handshake, p Protocol, o websocket.Options) {
	s := m.newSession(nc, a)
	if s == nil {
		return
	}
	s.protocol = p
	p.Attach(s)
	s.conn = m.hub.Pool.Open(nc, s.enc, false, s)
	o.Deflate = hub.Deflates(s.enc)
	s.socket.Begin(s, s.conn, nc, o)
	m.hub.Counters.Opened.Of("ws").Inc()
	s.mu.Lock() // as in greet
	m.enter(s)
	m.expiries.set(s, s.deadline())
	s.conn.Reply(a.Head, nil)
	s.mu.Unlock()
	defer s.conn.Reply(nil, s.firstTurn)
	defer m.catch(s, func() { s.close(closing{code: wire.CloseInternal, reason: "internal error"}) })
	p.Open()
	m.begun(s)
}

// OpenStream starts an event stream that speaks p. Open is to call Session.Answer.
func (m *Manager) OpenStream(nc net.Conn, a *Handshake, p Protocol) {
	s := m.newSession(nc, a)
	if s == nil {
		return
	}
	s.protocol, s.sse = p, &stream{foreign: true}
	p.Attach(s)
	s.conn = m.hub.Pool.Open(nc, s.enc, false, s)
	s.socket.Begin(s, s.conn, nc, websocket.Options{Rules: m.rules})
	defer m.catch(s, s.abortOpen)
	m.hub.Counters.Opened.Of("sse").Inc()
	s.mu.Lock() // as in greet
	m.enter(s)
	m.expiries.set(s, s.deadline())
	s.mu.Unlock()
	p.Open()
	m.begun(s)
}

// OpenEvents starts an event stream of the relay's own protocol whose frames bring their ids with them. Greet has it follow
// its channel, with JoinFirst. Open counts the streams that are open.
func (m *Manager) OpenEvents(nc net.Conn, a *Handshake, open *atomic.Int64, greet func(s *Session) error) {
	s := m.newSession(nc, a)
	if s == nil {
		return
	}
	s.sse = &stream{open: open}
	open.Add(1)
	s.conn = m.hub.Pool.Open(nc, s.enc, true, s)
	s.socket.Begin(s, s.conn, nc, websocket.Options{Rules: m.rules})
	defer m.catch(s, s.abortOpen)
	m.hub.Counters.Opened.Of("sse").Inc()
	m.greetEvents(s, a, greet)
	m.begun(s)
}

func (m *Manager) greetEvents(s *Session, a *Handshake, greet func(s *Session) error) {
	s.mu.Lock() // as in greet
	defer s.mu.Unlock()
	m.enter(s)
	m.expiries.set(s, s.deadline())
	if greet(s) != nil {
		s.conn.Reply(a.Head, s.firstTurn)
		defer s.closeNow(closing{code: wire.CloseOverloaded, reason: "overloaded"})
	}
}

// begun ends a session again that began while its identity was taken back, or while a drain looked for those that there are.
func (m *Manager) begun(s *Session) {
	m.confirm(s)
	if m.draining.Load() {
		s.close(closing{code: wire.CloseDraining, reason: "retry=1000", retry: time.Second})
	}
}

// JoinFirst has the session follow its first channel from a position on, nil for now, and sends what first returns, in order with
// the channel's changes. First runs under the channel's lock; if it returns nothing, the channel is not followed and JoinFirst
// returns false. It is called while the session begins.
func (s *Session) JoinFirst(channel string, from *broker.Position, first func(r broker.Reply) []byte) (bool, error) {
	return s.joinFirst(channel, broker.JoinRequest{From: from}, func(_ *hub.Fanout, r broker.Reply) []byte { return first(r) }, s.firstTurn)
}

// joinFirst is JoinFirst that calls then when what first returned has been written. The caller holds s.mu.
func (s *Session) joinFirst(channel string, request broker.JoinRequest, first func(f *hub.Fanout, r broker.Reply) []byte, then func()) (bool, error) {
	var sub subscription
	ch, err := s.manager.hub.Broker.Join(channel, request, func(out broker.Subscriber, reply broker.Reply) {
		f := out.(*hub.Fanout)
		hello := first(f, reply)
		if hello == nil {
			return
		}
		f.Begin(reply.Position)
		f.Window.Seal()
		sub.feed, sub.topic = f, f.Topic
		s.conn.Join(f.Topic, f.Ordinal.Load(), hello, then)
	})
	if err != nil {
		return false, err
	}
	if sub.feed == nil {
		ch.Leave()
		return false, nil
	}
	sub.channel = ch
	s.subs = append(s.subs, sub)
	s.manager.hub.Counters.Subscriptions.Inc()
	return true, nil
}

// Answer sends the first bytes of a session of OpenStream, and has it join a topic in the same step; nil: none, since the
// session is ending.
func (s *Session) Answer(first []byte, topic *pool.Topic, ordinal uint64) {
	if topic == nil {
		s.conn.Reply(first, s.firstTurn)
		return
	}
	s.conn.Join(topic, ordinal, first, s.firstTurn)
}

// Subscribe subscribes the session to a channel, or has it told again where that stands. The answer is what first returns, which
// runs under the channel's lock; if that is nil, the native protocol's with an id. Who may is the caller's to say. It may wait for
// a subscription to the same channel that has just been ended, and for a durable channel to be loaded. Errors can be told as they are: the client follows too many
// channels, or is ending.
func (s *Session) Subscribe(channel string, r broker.JoinRequest, id []byte, first func(r broker.Reply) []byte) error {
	if err := s.manager.hub.EnsureLoaded(channel, hub.WaitForDisk); err != nil {
		return err
	}
	return s.subscribe(&subscribeRequest{channel: channel, JoinRequest: r, id: id, revocations: s.manager.revocations.made.Load(), first: first})
}

// Unsubscribe ends the subscription to a channel and then sends answer. It returns false if there was none.
func (s *Session) Unsubscribe(channel string, answer []byte) bool {
	return s.unsubscribe(channel, answer, false)
}

// Take reports whether the client may send a message now. One that sends too many is closed.
func (s *Session) Take() bool {
	if s.ending.Load() {
		return false
	}
	limit := s.manager.hub.Config.Limit.Commands
	if !s.commands.Take(limit, 2*float64(limit.Count), time.Now()) {
		s.close(closing{code: wire.CloseRateLimit, reason: "too many messages"})
		return false
	}
	return true
}

// Patient reports whether messages may have to wait for a backend's decision or the disk: then they are to be held.
func (s *Session) Patient() bool { return s.manager.patient }

// Holding reports whether messages are held.
func (s *Session) Holding() bool { return s.waits(lineRoute) }

// Hold has a message handled by Protocol.Held beside the turn, after those before it. If as much waits as may, the session is
// closed: to leave a message out would be worse.
func (s *Session) Hold(data []byte, binary bool) {
	if err := s.hold(lineRoute, held{message: bytes.Clone(data), binary: binary, since: time.Now()}); err != nil {
		s.close(closing{code: wire.CloseOverloaded, reason: "overloaded"})
	}
}

// Refresh extends the session with a new token of the same user. Errors can be told as they are.
func (s *Session) Refresh(token string) error {
	_, err := s.refresh(token)
	if err == nil {
		s.schedule()
	}
	return err
}

func (s *Session) refresh(token string) (*auth.Identity, error) {
	id, err := s.manager.verifier.Verify(token)
	if err != nil {
		return nil, s.manager.gate.RefusedToken(err)
	}
	if id.User != s.user {
		return nil, problem.Forbidden.With("the token belongs to another user")
	}
	s.identity.Store(id)
	return id, nil
}

// Close ends the session, after everything sent to it and its memberships before. It returns at once. Final says that the code is
// one of its protocol's own.
func (s *Session) Close(code int, reason string, final bool) {
	s.close(closing{code: code, reason: reason, final: final})
}

// Abandon closes a session that could not be opened, at once, after what it was sent.
func (s *Session) Abandon() { s.closeNow(closing{code: wire.CloseInternal, reason: "internal error"}) }

// ID is the connection's id.
func (s *Session) ID() string { return s.id }

// Encoding is what the connection takes.
func (s *Session) Encoding() pool.Encoding { return s.enc }
