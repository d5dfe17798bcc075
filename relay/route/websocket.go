package route

import (
	"errors"
	"net"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/hub"
	"weir/relay/session"
	"weir/relay/websocket"
)

// WebSocket is a WebSocket route on which a system speaks messages of its own. Its sessions count, beat, expire,
// drain and are limited like those of /ws; they follow no channels but what Dialect says, not even the user's own.
type WebSocket struct {
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

	// Denied takes access to a channel away from a client, because Host.Revoke or POST /v1/unsubscribe says
	// so. It returns false if the client has nothing to do with the channel. nil: no client ever has.
	Denied func(c *Client, channel, reason string) bool

	// Dialect has its clients speak another protocol, in which they follow channels. nil: it is the system's own, and they
	// follow none.
	Dialect *Dialect

	// Key returns what a client's messages are about. In a cluster the node that owns that handles them: if the client is connected to another node, Admit, Open, Message,
	// Denied, for the channel of that name, and Closed are called by the owner. If the owner is lost, the client is closed with 4100. An error refuses the
	// request. nil: they are handled where the client is connected; see Client.Forward.
	Key func(ctx *fasthttp.RequestCtx) (string, error)

	// Set by Routes.Serve.
	path   string
	remote *WebSocket // for clients whose messages another node handles; nil: Key is nil
	routes *Routes
	rules  *websocket.Rules
}

// Serve is the handler of a WebSocket route of a system.
func (r *Routes) Serve(path string, route WebSocket) fasthttp.RequestHandler {
	route.path = path
	r.complete(&route)
	if route.Key != nil {
		route.remote = route.forwarding()
	}
	r.paths[path] = &route
	return func(ctx *fasthttp.RequestCtx) { r.handle(ctx, &route) }
}

// complete puts in what is not set.
func (r *Routes) complete(route *WebSocket) {
	if route.Limit == 0 {
		route.Limit = int(r.hub.Config.Limit.Message)
	}
	route.routes, route.rules = r, r.sessions.Rules(route.Limit)
}

// handle opens a session of a WebSocket route.
func (r *Routes) handle(ctx *fasthttp.RequestCtx, route *WebSocket) {
	o, bad := websocket.ReadOffer(&ctx.Request.Header)
	if bad != nil {
		r.gate.Refuse(ctx, bad)
		return
	}
	if route.Dialect != nil {
		r.handleDialect(ctx, &o, route)
		return
	}
	a, bad := r.sessions.Authenticate(ctx, o.Token)
	if bad != nil {
		r.gate.Refuse(ctx, bad)
		return
	}
	key := ""
	if route.Key != nil && r.tunnels != nil {
		var err error
		if key, err = route.Key(ctx); err != nil {
			r.gate.Fail(ctx, err)
			return
		}
		if r.hub.Elsewhere(key) {
			r.forward(ctx, route, key, &a, &o)
			return
		}
	}
	client := &Client{route: route}
	if route.Admit != nil {
		var err error
		client.Value, err = route.Admit(ctx, a.Identity)
		if errors.Is(err, cluster.ErrNotOwner) && key != "" { // it has just moved
			r.forward(ctx, route, key, &a, &o)
			return
		}
		if err != nil {
			r.gate.Fail(ctx, err)
			return
		}
	}
	r.upgrade(ctx, &a, &o, client)
}

// upgrade answers a handshake, and opens the session.
func (r *Routes) upgrade(ctx *fasthttp.RequestCtx, a *session.Handshake, o *websocket.Offer, c *Client) {
	if r.hub.Config.Compression && o.Deflate {
		a.Encoding = hub.DeflateWS
	}
	a.Head = o.AppendSwitch(make([]byte, 0, 512), a.Encoding == hub.DeflateWS)
	r.open(ctx, a, c)
}

// open takes the connection over for a session of a WebSocket route. Everything is written in turn by the shard's loop, behind the
// answer to the handshake.
func (r *Routes) open(ctx *fasthttp.RequestCtx, a *session.Handshake, c *Client) {
	a.Custom = true
	r.sessions.Hijack(ctx, a, opener(func(nc net.Conn, rest []byte, a *session.Handshake) {
		s := &c.session
		if !r.sessions.Place(s, nc, a, protocol{c}) {
			if f, ok := c.Value.(*Forwarded); ok {
				f.tunnel.Close()
			}
			return
		}
		s.Connect(nc, websocket.Options{Rules: c.route.rules, Binary: c.route.Binary, SkipLarge: c.route.Errors, Rest: rest})
		defer s.Conn().Reply(nil, s.FirstTurn)
		defer s.Catch(func() { s.Close(session.InternalError) })
		s.Enter(func() { s.Conn().Reply(a.Head, nil) })
		c.route.Open(c)
		s.Begun()
	}))
}

// opener is a session.Opener.
type opener func(nc net.Conn, rest []byte, a *session.Handshake)

// Begin implements session.Opener.
func (f opener) Begin(nc net.Conn, rest []byte, a *session.Handshake) { f(nc, rest, a) }
