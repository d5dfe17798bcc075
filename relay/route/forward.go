package route

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/cluster/tunnel"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/session"
	"weir/relay/websocket"
)

// The messages of a tunnel. All but the last go to the owner.
const (
	_            = iota
	kindBegin    // the client has its place: Open
	kindText     // a message of the client
	kindBinary   // as well
	kindIdentity // JSON: who the client is from now on
	kindDenied   // channel, 0, reason: see WebSocket.Denied
	kindOutput   // bytes of frames for the client
)

// opening is what the owner of a key is told of a client of another node.
type opening struct {
	Path       string            // of the route
	Key        string            // that the owner is to own
	Query      string            // of the request
	Values     map[string]string // of the names in the path
	Connection string
	Address    string
	Identity   auth.Identity // without Vouched
}

// Forwarded is the way of a client's messages to the node that owns what they are about. What that node sends is sent to the client; if it
// is lost, the client is closed with 4100, and comes back. It implements tunnel.Handler.
type Forwarded struct {
	// Set once.
	client *Client
	key    string
	tunnel *tunnel.Tunnel

	partial []byte // of a frame of which the rest is to come. Owned by who calls Received
}

// forwarding is a route for clients whose messages another node handles.
func (route *WebSocket) forwarding() *WebSocket {
	way := func(c *Client) *Forwarded { return c.Value.(*Forwarded) }
	w := *route
	w.Key, w.Admit, w.Ping = nil, nil, nil
	w.Open = func(c *Client) { c.keep(way(c)) }
	w.Message = func(c *Client, data []byte, binary bool) { way(c).Send(data, binary) }
	w.Closed = func(*Client) {}
	w.Denied = func(c *Client, channel, reason string) bool {
		f := way(c)
		if channel != f.key {
			return false
		}
		f.send(kindDenied, []byte(channel+"\x00"+reason))
		return true
	}
	return &w
}

// forward opens a session of a route for a client whose messages the owner of a key handles, which is another node.
func (r *Routes) forward(ctx *fasthttp.RequestCtx, route *WebSocket, key string, a *session.Handshake, o *websocket.Offer) {
	if ingress.Elsewhere(ctx) {
		return
	}
	values := make(map[string]string)
	ctx.VisitUserValues(func(name []byte, v any) {
		if text, ok := v.(string); ok {
			values[string(name)] = text
		}
	})
	a.ID = wire.NewID()
	client := &Client{route: route.remote}
	f, err := client.dial(r, opening{Path: route.path, Key: key, Query: string(ctx.QueryArgs().QueryString()), Values: values, Connection: a.ID,
		Address: a.Address.String(), Identity: *a.Identity})
	if err != nil {
		r.gate.Fail(ctx, err)
		return
	}
	client.Value = f
	r.upgrade(ctx, a, o, client)
}

// dial opens the way to the owner of a key.
func (c *Client) dial(r *Routes, x opening) (*Forwarded, error) {
	x.Identity.Vouched = nil
	head, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	f := &Forwarded{client: c, key: x.Key}
	f.tunnel, err = r.tunnels.Dial(context.Background(), x.Key, head, func(*tunnel.Tunnel) tunnel.Handler { return f })
	return f, err
}

// Forward opens the way to another node, which owns a key, for some of the client's messages on this route: the route's Admit and Open are called there, with the
// query that is given. It ends with the client. It waits for the owner. Errors: cluster.ErrNoOwner; why the owner refuses it.
func (c *Client) Forward(key, query string) (*Forwarded, error) {
	f, err := c.dial(c.route.routes, opening{Path: c.route.path, Key: key, Query: query, Connection: c.ID(), Address: c.address(), Identity: *c.Identity()})
	if err == nil {
		c.keep(f)
	}
	return f, err
}

// keep has a way end with the client, and begins what the owner does.
func (c *Client) keep(f *Forwarded) {
	c.mu.Lock()
	ended := c.ended
	if !ended {
		c.forwards = append(c.forwards, f)
	}
	c.mu.Unlock()
	if ended {
		f.tunnel.Close()
		return
	}
	c.route.routes.forwarded.Store(c.ID(), c)
	f.send(kindBegin, nil)
}

// endForwards ends the ways to other nodes.
func (c *Client) endForwards() {
	c.mu.Lock()
	list := c.forwards
	c.forwards = nil
	c.mu.Unlock()
	if len(list) > 0 {
		c.route.routes.forwarded.Delete(c.ID())
	}
	for _, f := range list {
		f.tunnel.Close()
	}
}

// Send sends a message of the client. If too much waits, the client is closed: to leave one out would be worse.
func (f *Forwarded) Send(data []byte, binary bool) {
	kind := byte(kindText)
	if binary {
		kind = kindBinary
	}
	f.send(kind, data)
}

func (f *Forwarded) send(kind byte, data []byte) {
	if f.tunnel.Send(kind, data) == tunnel.ErrFull { //nolint:errorlint // it is returned as it is
		f.client.session.Close(session.Overloaded)
	}
}

// Received implements tunnel.Handler: the owner's messages are sent to the client.
func (f *Forwarded) Received(_ byte, data []byte) {
	b := data
	if len(f.partial) > 0 {
		f.partial = append(f.partial, data...)
		b = f.partial
	}
	for {
		opcode, payload, rest, ok := cutFrame(b)
		if !ok {
			break
		}
		b = rest
		switch opcode {
		case wire.OpText:
			f.client.Send(payload)
		case wire.OpBinary:
			f.client.SendBinary(payload)
		case wire.OpClose:
			f.client.Close(int(binary.BigEndian.Uint16(payload)), string(payload[2:]))
		}
	}
	if len(b) != len(f.partial) { // or it has only grown
		f.partial = slices.Clone(b)
	}
}

// Ended implements tunnel.Handler.
func (f *Forwarded) Ended() { f.client.Close(wire.CloseDraining, comeBack) }

// comeBack has clients come back after a second.
const comeBack = "retry=1000"

// cutFrame cuts the first frame off, as the relay writes them. ok is false if it is not whole.
func cutFrame(b []byte) (opcode byte, payload, rest []byte, ok bool) {
	if len(b) < 2 {
		return 0, nil, nil, false
	}
	head, size := 2, uint64(b[1])
	switch {
	case size == 126 && len(b) >= 4:
		head, size = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case size == 127 && len(b) >= 10:
		head, size = 10, binary.BigEndian.Uint64(b[2:])
	case size > 125:
		return 0, nil, nil, false
	}
	if uint64(len(b)-head) < size {
		return 0, nil, nil, false
	}
	end := head + int(size)
	return b[0] & 15, b[head:end], b[end:], true
}

// refreshed is the answer to callRefresh.
type refreshed struct {
	Identity *auth.Identity `json:"identity,omitempty"`
	Status   int            `json:"status,omitempty"` // of an error
	Code     string         `json:"code,omitempty"`
	Message  string         `json:"message,omitempty"`
}

// callRefresh is the call by which the owner has a client's node take a new token; body: connection, 0, token.
const callRefresh = "route.refresh"

// refresh answers callRefresh.
func (r *Routes) refresh(body []byte) ([]byte, error) {
	connection, token, _ := strings.Cut(string(body), "\x00")
	c, ok := r.forwarded.Load(connection)
	if !ok {
		return nil, errGone
	}
	if err := c.(*Client).Refresh(token); err != nil {
		why := problem.Of(err)
		return json.Marshal(refreshed{Status: why.Status, Code: why.Code, Message: why.Message})
	}
	id := *c.(*Client).Identity()
	id.Vouched = nil
	return json.Marshal(refreshed{Identity: &id})
}

// renewed tells the owners who a client is from now on.
func (r *Routes) renewed(connection string, id *auth.Identity) {
	c, ok := r.forwarded.Load(connection)
	if !ok {
		return
	}
	own := *id
	own.Vouched = nil
	b, err := json.Marshal(&own)
	if err != nil {
		return
	}
	client := c.(*Client)
	client.mu.Lock()
	list := slices.Clone(client.forwards)
	client.mu.Unlock()
	for _, f := range list {
		f.send(kindIdentity, b)
	}
}
