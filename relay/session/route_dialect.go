package session

import (
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// DialectRoute is what is particular to a route whose clients speak another protocol: a client has an identity of the
// protocol's in the place of a token, follows channels as native ones do, and gets the protocol's messages and close codes.
// Messages of clients are handed to WebSocketRoute.Message as they come: they need not be JSON.
type DialectRoute struct {
	// Dialect is what channels look like. It is registered with Host.Dialect.
	*hub.Dialect

	// Identify says who a client is, what the system wants to find in Client.Value, and which of the subprotocols that the
	// client offers is taken, "" for none. It checks the page's origin, too. An error refuses the client.
	Identify func(ctx *fasthttp.RequestCtx) (id *auth.Identity, value any, subprotocol string, err error)

	// Refused says what a client gets, after the upgrade, in the place of a session, and with which code and reason it is
	// closed. The errors are those of Identify, and problem.Draining, Overloaded and TooMany. nil: it is refused with an HTTP
	// status, as elsewhere.
	Refused func(err error) (message []byte, code int, reason string)

	// ID makes the id of a connection, which must be unique and not to be guessed. nil: the relay's own.
	ID func() string

	// Close says with which code a session is closed that the relay closes with one of the native protocol's, and what
	// stands before it; nil: nothing. A nil Close leaves codes as they are.
	Close func(code int, reason string) (message []byte, closeCode int, closeReason string)
}

// handleDialect opens a session of a route with a dialect.
func (m *Manager) handleDialect(ctx *fasthttp.RequestCtx, o *websocket.Offer, route *WebSocketRoute) {
	d := route.Dialect
	addr := m.gate.ClientAddress(ctx)
	a := &handshakeRequest{address: addr.String(), dialect: d}
	if m.hub.Config.Limit.PerAddress > 0 && m.gate.Trusted(ingress.PeerAddress(ctx.RemoteAddr())) {
		a.behind = ingress.AddressKey(addr)
	}
	client := &Client{route: route}
	var err error
	o.Protocol = false
	switch {
	case m.draining.Load():
		err = problem.Draining
	case m.hub.Memory.Short():
		m.hub.Counters.Refused.Of("memory").Inc()
		err = problem.Overloaded
	default:
		a.identity, client.Value, o.Select, err = d.Identify(ctx)
	}
	deflate := m.hub.Config.Compression && o.Deflate
	a.enc = d.Encoding(deflate)
	a.head = o.AppendSwitch(make([]byte, 0, 512), deflate)
	switch {
	case err != nil && d.Refused == nil:
		m.gate.Fail(ctx, err)
	case err != nil:
		m.hijack(ctx, a, func(nc net.Conn, _ []byte, a *handshakeRequest) { refuse(nc, append(a.head, d.refusal(err)...)) })
	default:
		if d.ID != nil {
			a.id = d.ID()
		}
		m.hijack(ctx, a, func(nc net.Conn, rest []byte, a *handshakeRequest) { m.openRoute(nc, rest, a, client) })
	}
}

// refuse sends a client its refusal and closes the connection.
func refuse(nc net.Conn, last []byte) {
	_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = nc.Write(last)
	if half, ok := nc.(interface{ CloseWrite() error }); ok { // a reset would overtake what was written
		_ = half.CloseWrite()
		_ = nc.SetReadDeadline(time.Now().Add(refusalLinger))
		_, _ = nc.Read(make([]byte, 512))
	}
	_ = nc.Close()
}

// refusalLinger is how long a client that is refused may take to read why.
const refusalLinger = time.Second

// refusal is what a client that is refused gets after the answer to its handshake.
func (d *DialectRoute) refusal(err error) []byte {
	if d.Refused == nil {
		return wire.CloseFrame(wire.CloseOverloaded, "")
	}
	message, code, reason := d.Refused(err)
	return append(hub.AppendText(nil, d.Encoding(false), message), wire.CloseFrame(code, reason)...)
}

// closeFrame is the last bytes of a session.
func (d *DialectRoute) closeFrame(why closing) []byte {
	if d.Close == nil || why.final {
		return wire.CloseFrame(why.code, why.reason)
	}
	message, code, reason := d.Close(why.code, why.reason)
	return append(hub.AppendText(nil, d.Encoding(false), message), wire.CloseFrame(code, reason)...)
}

// Follow is what a client of a dialect follows.
type Follow struct {
	Channel string
	Groups  []string // only these groups; none: all
	Key     string   // only this item of each of them; "": all

	// First appends to each of the messages that the client gets first, in one step with joining, to the list. It runs under the
	// channel's lock. nil: none.
	First func(r broker.Reply) (messages [][]byte)
}

// Follow subscribes the client to a channel, or sends it First again if it is subscribed. Who may is the system's to say. It may
// wait for a subscription to the same channel that has just been ended, and for a durable channel to be loaded. Errors can be
// told as they are: the client follows too many channels, or is ending.
func (c *Client) Follow(f Follow) error {
	s := c.session
	if !wire.ValidChannel(f.Channel) {
		return problem.BadChannel
	}
	if err := s.manager.hub.EnsureLoaded(f.Channel, hub.WaitForDisk); err != nil {
		return err
	}
	return s.subscribe(&subscribeRequest{
		channel: f.Channel, JoinRequest: broker.JoinRequest{Groups: f.Groups, Key: f.Key}, revocations: s.manager.revocations.made.Load(),
		first: func(r broker.Reply) (out []byte) {
			if f.First != nil {
				for _, message := range f.First(r) {
					out = hub.AppendText(out, s.enc, message)
				}
			}
			return out
		},
	})
}

// Unfollow ends the subscription to a channel, after what was accepted before has been sent. It returns false if there is none.
func (c *Client) Unfollow(channel string) bool { return c.session.unsubscribe(channel, nil, false) }

// Abrupt reports, while WebSocketRoute.Closed runs, whether the connection has broken off without a close.
func (c *Client) Abrupt() bool { return c.abrupt }

// Pinged notes a ping of the client in its protocol.
func (c *Client) Pinged() { c.session.pinged() }

// Address is the client's, as limits count it.
func (c *Client) Address() string { return c.session.address }
