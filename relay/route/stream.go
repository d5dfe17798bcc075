package route

import (
	"net"

	"github.com/valyala/fasthttp"

	"weir/pool"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/session"
)

// Stream is server-sent events of another protocol. A system decides about requests in the protocol's own way, and opens
// streams with Routes.OpenStream. What it sends them are whole events, which it sends to groups that its clients join. Its
// sessions count, beat, expire, drain and are limited like those of /sse; readers that are too slow are closed.
type Stream struct {
	// Open is called once, when the client has its place. It calls Client.Begin, within which nothing is lost between what is
	// sent first and what comes later.
	Open func(c *Client)

	// Closed is called once, when the stream has ended, if Open was called. nil: nobody wants to know.
	Closed func(c *Client)
}

// OpenStream makes an event stream the response to a request, after the handler has returned. The identity's user has as many as
// limits.per_user allows; "" as many as there may be. Value is what the system finds in Client.Value. HEAD gets the answer
// without a stream. Errors: the relay is draining, or short of memory.
func (r *Routes) OpenStream(ctx *fasthttp.RequestCtx, route *Stream, id *auth.Identity, value any) error {
	if bad := r.sessions.Admit(); bad != nil {
		return bad
	}
	a := r.sessions.NewHandshake(ctx, id)
	a.Encoding, a.Head = bodyOf(ctx, streamHead)
	client := &Client{Value: value, stream: route, head: a.Head, route: &WebSocket{Closed: route.Closed, Limit: int(r.hub.Config.Limit.Message)}}
	a.Custom = true
	r.sessions.Hijack(ctx, &a, opener(func(nc net.Conn, _ []byte, a *session.Handshake) {
		s := &client.session
		if !r.sessions.Place(s, nc, a, protocol{client}) {
			return
		}
		s.ConnectEvents(nc, false)
		defer s.Catch(s.AbortOpen)
		s.Enter(func() {})
		route.Open(client)
		if client.head != nil { // it has not begun
			s.Conn().Reply(append(client.head, "\r\n"...), s.FirstTurn)
			s.CloseNow(session.InternalError)
		}
		s.Begun()
	}))
	return nil
}

// streamHead begins the answers of these routes.
const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" +
	"Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\nX-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n"

// bodyOf appends to the head of an event stream how its body ends, and says how events are encoded in it.
func bodyOf(ctx *fasthttp.RequestCtx, head string) (pool.Encoding, []byte) {
	b := append(make([]byte, 0, 512), head...)
	if ctx.Request.Header.IsHTTP11() { // others know no chunks
		return hub.ChunkedSSE, append(b, "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"...)
	}
	return hub.CustomSSE, append(b, "Connection: close\r\n"...)
}

// Begin sends a client of a Stream the answer to its request, with more header lines, each of which ends in CR LF, and
// the first events, and makes it a member of a group in the same step. It is called once, by Stream.Open.
func (c *Client) Begin(g *Group, lines, events []byte) {
	first := append(append(append(c.head, lines...), "\r\n"...), c.frame(events, false)...)
	c.head = nil
	g.mu.Lock()
	defer g.mu.Unlock()
	if !c.enter(g) { // it is ending
		c.session.Conn().Reply(first, c.session.FirstTurn)
		return
	}
	g.members++
	g.window.Seal()
	c.session.Conn().Join(g.topic, g.ordinal, first, c.session.FirstTurn)
}
