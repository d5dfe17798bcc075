package session

import (
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// StreamRoute is server-sent events of another protocol. A system decides about requests in the protocol's own way, and opens
// streams with Manager.OpenStream. What it sends them are whole events, which it sends to groups that its clients join. Its
// sessions count, beat, expire, drain and are limited like those of /sse; readers that are too slow are closed.
type StreamRoute struct {
	// Open is called once, when the client has its place. It calls Client.Begin, within which nothing is lost between what is
	// sent first and what comes later.
	Open func(c *Client)

	// Closed is called once, when the stream has ended, if Open was called. nil: nobody wants to know.
	Closed func(c *Client)
}

// OpenStream answers a request with an event stream, after the handler has returned. The identity's user has as many as
// limits.per_user allows; "" as many as there may be. Value is what the system finds in Client.Value. HEAD gets the answer
// without a stream. Errors: the relay is draining, or short of memory.
func (m *Manager) OpenStream(ctx *fasthttp.RequestCtx, route *StreamRoute, id *auth.Identity, value any) error {
	switch {
	case m.draining.Load():
		return problem.Draining
	case m.hub.Memory.Short():
		m.hub.Counters.Refused.Of("memory").Inc()
		return problem.Overloaded
	}
	addr := m.gate.ClientAddress(ctx)
	a := &handshakeRequest{identity: id, address: addr.String(), enc: hub.CustomSSE}
	if m.hub.Config.Limit.PerAddress > 0 && m.gate.Trusted(ingress.PeerAddress(ctx.RemoteAddr())) {
		a.behind = ingress.AddressKey(addr)
	}
	ending := "Connection: close\r\n"
	if ctx.Request.Header.IsHTTP11() { // others know no chunks
		a.enc, ending = hub.ChunkedSSE, "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"
	}
	a.head = append(append(make([]byte, 0, 512), streamHead...), ending...)
	client := &Client{Value: value, stream: route, route: &WebSocketRoute{Closed: route.Closed, Limit: int(m.hub.Config.Limit.Message)}}
	m.hijack(ctx, a, func(nc net.Conn, _ []byte, a *handshakeRequest) { m.openStream(nc, a, client) })
	return nil
}

// streamHead begins the answers of these routes.
const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" +
	"Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\nX-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n"

func (m *Manager) openStream(nc net.Conn, a *handshakeRequest, client *Client) {
	s := m.newSession(nc, a)
	if s == nil {
		return
	}
	client.session, client.head = s, a.head
	s.client, s.sse = client, &stream{foreign: true}
	s.conn = m.hub.Pool.Open(nc, s.enc, false, s)
	s.socket.Begin(s, s.conn, nc, websocket.Options{Rules: m.rules})
	defer m.catch(s, s.abortOpen)
	m.hub.Counters.Opened.Of("sse").Inc()
	s.mu.Lock() // as in greet
	m.sessions.enter(s)
	m.expiries.set(s, s.identity.Load().Expires)
	s.mu.Unlock()
	client.stream.Open(client)
	if client.head != nil { // it has not begun
		s.conn.Reply(append(client.head, "\r\n"...), s.firstTurn)
		s.closeNow(closing{code: wire.CloseInternal, reason: "internal error"})
	}
	if m.draining.Load() { // drain may have looked before the session was entered
		s.close(closing{code: wire.CloseDraining, reason: "retry=1000", retry: time.Second})
	}
}

// Begin sends a client of a StreamRoute the answer to its request, with more header lines, each of which ends in CR LF, and
// the first events, and makes it a member of a group in the same step. It is called once, by StreamRoute.Open.
func (c *Client) Begin(g *Group, lines, events []byte) {
	s := c.session
	first := append(append(append(c.head, lines...), "\r\n"...), s.piece(events)...)
	c.head = nil
	g.mu.Lock()
	defer g.mu.Unlock()
	if !s.joinGroup(g) { // it is ending
		s.conn.Reply(first, s.firstTurn)
		return
	}
	g.members++
	g.window.Seal()
	s.conn.Join(g.topic, g.ordinal, first, s.firstTurn)
}
