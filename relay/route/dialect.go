package route

import (
	"net"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/session"
	"weir/relay/websocket"
)

// Dialect is what is particular to a route whose clients speak another protocol: a client has an identity of the
// protocol's in the place of a token, follows channels as native ones do, and gets the protocol's messages and close codes.
// Messages of clients are handed to WebSocket.Message as they come: they need not be JSON.
type Dialect struct {
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
func (r *Routes) handleDialect(ctx *fasthttp.RequestCtx, o *websocket.Offer, route *WebSocket) {
	d := route.Dialect
	client := &Client{route: route}
	a := r.sessions.NewHandshake(ctx, nil)
	a.Refusal = func(why *problem.Error) []byte { return d.refusal(why) }
	o.Protocol = false
	var err error
	if bad := r.sessions.Admit(); bad != nil {
		err = bad
	} else {
		a.Identity, client.Value, o.Select, err = d.Identify(ctx)
	}
	deflate := r.hub.Config.Compression && o.Deflate
	a.Encoding = d.Encoding(deflate)
	a.Head = o.AppendSwitch(make([]byte, 0, 512), deflate)
	switch {
	case err != nil && d.Refused == nil:
		r.gate.Fail(ctx, err)
	case err != nil:
		r.sessions.Hijack(ctx, &a, opener(func(nc net.Conn, _ []byte, a *session.Handshake) {
			session.Refuse(nc, append(a.Head, d.refusal(err)...))
		}))
	default:
		if d.ID != nil {
			a.ID = d.ID()
		}
		r.open(ctx, &a, client)
	}
}

// refusal is what a client that is refused gets after the answer to its handshake.
func (d *Dialect) refusal(err error) []byte {
	if d.Refused == nil {
		return wire.CloseFrame(wire.CloseOverloaded, "")
	}
	message, code, reason := d.Refused(err)
	return append(hub.AppendText(nil, d.Encoding(false), message), wire.CloseFrame(code, reason)...)
}

// closeFrame is the last bytes of a session.
func (d *Dialect) closeFrame(code int, reason string) []byte {
	if d.Close == nil {
		return wire.CloseFrame(code, reason)
	}
	message, code, reason := d.Close(code, reason)
	return append(hub.AppendText(nil, d.Encoding(false), message), wire.CloseFrame(code, reason)...)
}
