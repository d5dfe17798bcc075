package relay

import (
	"bytes"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// Live is a WebSocket route on which a system speaks messages of its own. Its sessions count, beat, expire,
// drain and are limited like those of /ws; they follow no channels, not even the user's own.
type Live struct {
	// Binary lets clients send binary messages.
	Binary bool

	// Limit bounds a message of a client in bytes; 0: limits.message.
	Limit int

	// Errors says that clients understand the errors of the native protocol: a message that is too large is answered
	// with one. Without it, it ends the session.
	Errors bool

	// Admit decides, before the upgrade, whether a client may come in, and answers what the system wants to
	// find in Client.Value. An error refuses the request. nil admits everybody with a token.
	Admit func(ctx *fasthttp.RequestCtx, id *auth.Identity) (value any, err error)

	// Open is called when the handshake is answered, before the first Message: what it sends comes first.
	Open func(c *Client)

	// Message is called with each message of the client, one at a time. Its bytes are valid during the call. It may
	// wait for the disk and for a backend's decision: then it is called beside the session's turn.
	Message func(c *Client, data []byte, binary bool)

	// Ping answers a message at once if it is a ping, and says whether it was one: it is called when messages before it
	// wait for something. nil: there are none.
	Ping func(c *Client, data []byte) bool

	// Closed is called once, after the last Message. nil: nobody wants to know.
	Closed func(c *Client)

	// Denied takes access to a channel away from a client, because Core.Revoke or POST /v1/unsubscribe says
	// so. It answers false if the client has nothing to do with the channel. nil: no client ever has.
	Denied func(c *Client, channel, reason string) bool

	rules *websocket.Rules // set by Core.Live
}

// Client is a session of a Live route.
type Client struct {
	// Value is the system's own, as Admit answered it.
	Value any

	// Set once.
	session *session
	live    *Live

	// Guarded by the session's mu.
	rooms []*Room
}

// LiveRoute is the handler of a WebSocket route of a system.
func (m *Manager) LiveRoute(live Live) fasthttp.RequestHandler {
	m.complete(&live)
	return func(ctx *fasthttp.RequestCtx) { m.handleLive(ctx, &live) }
}

// complete puts in what is not set.
func (m *Manager) complete(live *Live) {
	if live.Limit == 0 {
		live.Limit = int(m.hub.Config.Limit.Message)
	}
	live.rules = m.rulesOf(live.Limit)
}

// handleLive is a WebSocket route of a system.
func (m *Manager) handleLive(ctx *fasthttp.RequestCtx, live *Live) {
	o, bad := websocket.ReadOffer(&ctx.Request.Header)
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	a, bad := m.arrive(ctx, o.Token)
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	client := &Client{live: live}
	if live.Admit != nil {
		var err error
		if client.Value, err = live.Admit(ctx, a.identity); err != nil {
			m.gate.Fail(ctx, err)
			return
		}
	}
	if m.hub.Config.Compression && o.Deflate {
		a.enc = hub.DeflateWS
	}
	a.head = o.AppendSwitch(make([]byte, 0, 512), a.enc == hub.DeflateWS)
	m.hijack(ctx, a, func(nc net.Conn, rest []byte, a *arrival) { m.openLive(nc, rest, a, client) })
}

// openLive starts a session of a system. Everything is written in turn by the shard's loop, behind the answer
// to the handshake.
func (m *Manager) openLive(nc net.Conn, rest []byte, a *arrival, client *Client) {
	s := m.newSession(nc, a)
	if s == nil {
		return
	}
	client.session = s
	s.live = client
	s.conn = m.hub.Pool.Open(nc, s.enc, false, s)
	live := client.live
	s.socket.Begin(s, s.conn, nc, websocket.Options{Rules: live.rules, Deflate: hub.Deflates(s.enc), Binary: live.Binary, SkipLarge: live.Errors, Rest: rest})
	m.hub.Counters.Opened.Of("ws").Inc()
	s.mu.Lock() // as in greet
	m.sessions.enter(s)
	m.expiries.set(s, s.identity.Load().Expires)
	s.conn.Reply(a.head, nil)
	s.mu.Unlock()
	defer s.conn.Reply(nil, s.firstTurn)
	defer m.catch(s, func() { s.end(closing{code: wire.CloseInternal, reason: "internal error"}) })
	client.live.Open(client)
	if m.draining.Load() { // drain may have looked before the session was entered
		s.end(closing{code: wire.CloseDraining, reason: "retry=1000", retry: time.Second})
	}
}

// liveMessage hands a message of the client to its system.
func (s *session) liveMessage(data []byte, binary bool) {
	if s.ending.Load() {
		return
	}
	limit := s.manager.hub.Config.Limit.Commands
	if !s.commands.Take(limit, 2*float64(limit.Count), time.Now()) {
		s.end(closing{code: wire.CloseRateLimit, reason: "too many messages"})
		return
	}
	if !binary {
		if err := wire.ValidJSON(data); err != nil {
			s.live.Send(problem.Of(err).AppendError(nil, nil))
			return
		}
	}
	switch {
	case !s.manager.patient:
		s.live.live.Message(s.live, data, binary)
	case !binary && s.live.live.Ping != nil && s.waits(lineLive) && s.live.live.Ping(s.live, data):
	default:
		if err := s.hold(lineLive, held{message: bytes.Clone(data), binary: binary, since: time.Now()}); err != nil {
			s.end(closing{code: wire.CloseOverloaded, reason: "overloaded"}) // to leave one out would be worse
		}
	}
}

// ID is the connection's id.
func (c *Client) ID() string { return c.session.id }

// Identity is who the client is. It changes when its token is refreshed.
func (c *Client) Identity() *auth.Identity { return c.session.identity.Load() }

// Send sends a message of JSON in turn with everything that was sent before and is not waiting in a room's
// window. It may be called from anywhere, and keeps nothing of data.
func (c *Client) Send(data []byte) { c.session.conn.Reply(liveFrame(c.session.enc, data, false), nil) }

// SendBinary is Send for a binary message.
func (c *Client) SendBinary(data []byte) {
	c.session.conn.Reply(liveFrame(c.session.enc, data, true), nil)
}

// Pong answers a ping of the client. id is the message's, as it came; it may be nil.
func (c *Client) Pong(id []byte) {
	c.session.pinged()
	c.Send(answer("pong", id, nil))
}

// SendError tells the client of an error, as the native protocol does. id is the message's, as it came; it
// may be nil.
func (c *Client) SendError(id []byte, err error) {
	f := problem.Of(err)
	if f == problem.Internal {
		c.session.manager.hub.Log.Error("message failed", slog.String("connection", c.session.id), slog.String("error", err.Error()))
	}
	c.session.manager.hub.Counters.Errors.Of(f.Code).Inc()
	c.Send(f.AppendError(nil, id))
}

// Refresh extends the session with a new token of the same user. Errors can be told as they are.
func (c *Client) Refresh(token string) error {
	s := c.session
	id, err := s.manager.verifier.Verify(token)
	if err != nil {
		return s.manager.gate.RefusedToken(err)
	}
	if id.User != s.user {
		return problem.Forbidden.With("the token is another user's")
	}
	s.identity.Store(id)
	s.manager.expiries.set(s, id.Expires)
	return nil
}

// Close ends the session, after everything sent to it and its rooms before. It returns at once. Code is one
// of those of the protocol, or the system's own from 4400 on.
func (c *Client) Close(code int, reason string) {
	c.session.end(closing{code: code, reason: reason})
}

// enterRoom notes a membership. It answers false if the session is ending, or is a member already.
func (s *session) enterRoom(m *Room) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.live.rooms {
		if x == m {
			return false
		}
	}
	if !s.ended {
		s.live.rooms = append(s.live.rooms, m)
	}
	return !s.ended
}

// leaveRoom forgets a membership. It answers false if there is none.
func (s *session) leaveRoom(m *Room) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range s.live.rooms {
		if x == m {
			s.live.rooms = slices.Delete(s.live.rooms, i, i+1)
			return true
		}
	}
	return false
}

// takeRooms empties the session's memberships, after takeSubs.
func (s *session) takeRooms() []*Room {
	if s.live == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rooms := s.live.rooms
	s.live.rooms = nil
	return rooms
}
