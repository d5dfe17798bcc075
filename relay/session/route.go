package session

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

// WebSocketRoute is a WebSocket route on which a system speaks messages of its own. Its sessions count, beat, expire,
// drain and are limited like those of /ws; they follow no channels but what Dialect says, not even the user's own.
type WebSocketRoute struct {
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

	// Ping answers a message at once if it is a ping, and reports whether it was one: it is called when messages before it
	// wait for something. nil: there are none.
	Ping func(c *Client, data []byte) bool

	// Closed is called once, after the last Message. nil: nobody wants to know.
	Closed func(c *Client)

	// Denied takes access to a channel away from a client, because Manager.Revoke or POST /v1/unsubscribe says
	// so. It returns false if the client has nothing to do with the channel. nil: no client ever has.
	Denied func(c *Client, channel, reason string) bool

	// Dialect has its clients speak another protocol, in which they follow channels. nil: it is the system's own, and they
	// follow none.
	Dialect *DialectRoute

	rules *websocket.Rules // set by Manager.Serve
}

// Client is a session of a route of a system.
type Client struct {
	// Value is the system's own, as Admit answered it.
	Value any

	// Set once.
	session *Session
	route   *WebSocketRoute
	stream  *StreamRoute // nil: it is a WebSocket
	head    []byte       // of a stream: what its answer begins with; nil once Begin was called
	abrupt  bool         // set before WebSocketRoute.Closed is called

	// Guarded by the session's mu.
	groups []*Group
}

// Serve is the handler of a WebSocket route of a system.
func (m *Manager) Serve(route WebSocketRoute) fasthttp.RequestHandler {
	m.complete(&route)
	return func(ctx *fasthttp.RequestCtx) { m.handleRoute(ctx, &route) }
}

// complete puts in what is not set.
func (m *Manager) complete(route *WebSocketRoute) {
	if route.Limit == 0 {
		route.Limit = int(m.hub.Config.Limit.Message)
	}
	route.rules = m.rulesOf(route.Limit)
}

// handleRoute is a WebSocket route of a system.
func (m *Manager) handleRoute(ctx *fasthttp.RequestCtx, route *WebSocketRoute) {
	o, bad := websocket.ReadOffer(&ctx.Request.Header)
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	if route.Dialect != nil {
		m.handleDialect(ctx, &o, route)
		return
	}
	a, bad := m.authenticate(ctx, o.Token)
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	client := &Client{route: route}
	if route.Admit != nil {
		var err error
		if client.Value, err = route.Admit(ctx, a.identity); err != nil {
			m.gate.Fail(ctx, err)
			return
		}
	}
	if m.hub.Config.Compression && o.Deflate {
		a.enc = hub.DeflateWS
	}
	a.head = o.AppendSwitch(make([]byte, 0, 512), a.enc == hub.DeflateWS)
	m.hijackRoute(ctx, a, client)
}

// hijackRoute takes the connection over for a session of a system.
func (m *Manager) hijackRoute(ctx *fasthttp.RequestCtx, a *handshakeRequest, client *Client) {
	m.hijack(ctx, a, func(nc net.Conn, rest []byte, a *handshakeRequest) { m.openRoute(nc, rest, a, client) })
}

// openRoute starts a session of a system. Everything is written in turn by the shard's loop, behind the answer
// to the handshake.
func (m *Manager) openRoute(nc net.Conn, rest []byte, a *handshakeRequest, client *Client) {
	s := m.newSession(nc, a)
	if s == nil {
		return
	}
	client.session = s
	s.client = client
	s.conn = m.hub.Pool.Open(nc, s.enc, false, s)
	route := client.route
	s.socket.Begin(s, s.conn, nc, websocket.Options{Rules: route.rules, Deflate: hub.Deflates(s.enc), Binary: route.Binary, SkipLarge: route.Errors, Rest: rest})
	m.hub.Counters.Opened.Of("ws").Inc()
	s.mu.Lock() // as in greet
	m.enter(s)
	m.expiries.set(s, s.deadline())
	s.conn.Reply(a.head, nil)
	s.mu.Unlock()
	defer s.conn.Reply(nil, s.firstTurn)
	defer m.catch(s, func() { s.close(closing{code: wire.CloseInternal, reason: "internal error"}) })
	client.route.Open(client)
	m.confirm(s)
	if m.draining.Load() { // drain may have looked before the session was entered
		s.close(closing{code: wire.CloseDraining, reason: "retry=1000", retry: time.Second})
	}
}

// routeMessage hands a message of the client to its system.
func (s *Session) routeMessage(data []byte, binary bool) {
	if s.ending.Load() {
		return
	}
	limit := s.manager.hub.Config.Limit.Commands
	if !s.commands.Take(limit, 2*float64(limit.Count), time.Now()) {
		s.close(closing{code: wire.CloseRateLimit, reason: "too many messages"})
		return
	}
	if !binary && s.client.route.Dialect == nil {
		if err := wire.ValidJSON(data); err != nil {
			s.client.Send(problem.Of(err).AppendError(nil, nil))
			return
		}
	}
	switch {
	case !s.manager.patient:
		s.client.route.Message(s.client, data, binary)
	case !binary && s.client.route.Ping != nil && s.waits(lineRoute) && s.client.route.Ping(s.client, data):
	default:
		if err := s.hold(lineRoute, held{message: bytes.Clone(data), binary: binary, since: time.Now()}); err != nil {
			s.close(closing{code: wire.CloseOverloaded, reason: "overloaded"}) // to leave one out would be worse
		}
	}
}

// ID is the connection's id.
func (c *Client) ID() string { return c.session.id }

// Identity is who the client is. It changes when its token is refreshed.
func (c *Client) Identity() *auth.Identity { return c.session.identity.Load() }

// Send sends a message of JSON in turn with everything that was sent before and is not waiting in a group's
// window. It may be called from anywhere, and keeps nothing of data.
func (c *Client) Send(data []byte) { c.session.conn.Reply(routeFrame(c.session.enc, data, false), nil) }

// SendBinary is Send for a binary message.
func (c *Client) SendBinary(data []byte) {
	c.session.conn.Reply(routeFrame(c.session.enc, data, true), nil)
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
		return problem.Forbidden.With("the token belongs to another user")
	}
	s.identity.Store(id)
	s.schedule()
	return nil
}

// Close ends the session, after everything sent to it and its groups before. It returns at once. Code is one
// of those of the protocol, or the system's own from 4400 on; on a route with a dialect it is one of the dialect's.
func (c *Client) Close(code int, reason string) {
	c.session.close(closing{code: code, reason: reason, final: c.route.Dialect != nil})
}

// joinGroup notes a membership. It returns false if the session is ending, or is a member already.
func (s *Session) joinGroup(m *Group) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.client.groups {
		if x == m {
			return false
		}
	}
	if !s.ended {
		s.client.groups = append(s.client.groups, m)
	}
	return !s.ended
}

// leaveGroup forgets a membership. It returns false if there is none.
func (s *Session) leaveGroup(m *Group) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range s.client.groups {
		if x == m {
			s.client.groups = slices.Delete(s.client.groups, i, i+1)
			return true
		}
	}
	return false
}

// takeGroups empties the session's memberships, after takeSubs.
func (s *Session) takeGroups() []*Group {
	if s.client == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	groups := s.client.groups
	s.client.groups = nil
	return groups
}
