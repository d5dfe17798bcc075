package session

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/problem"
)

// Handshake is the request of a client that was let in, before its connection is taken over.
type Handshake struct {
	Identity *auth.Identity
	Address  netip.Addr // of the client, as limits count it
	Head     []byte     // answer to the request
	Encoding pool.Encoding
	ID       string                          // of the connection; "": one is made
	Refusal  func(why *problem.Error) []byte // what follows Head if there is no place for the client; nil: it gets the answer of HTTP
	Features pool.Features                   // what the client has said that it knows
	Custom   bool                            // the session speaks another protocol than the relay's own, which decides what it follows

	behind  bool // a proxy, so that the address is still to be counted for its limit: the listener has counted the peer
	manager *Manager
	opener  Opener
}

// Opener opens the session of a handshake.
type Opener interface {
	// Begin is given the connection, and what has been received beyond the handshake.
	Begin(nc net.Conn, rest []byte, a *Handshake)
}

// Identify finds out who a client is. The token comes in a header, as a subprotocol, in the configured
// cookie or, if that is allowed, in the query; or a ticket stands for it.
func (m *Manager) Identify(ctx *fasthttp.RequestCtx, subprotocolToken string) (*auth.Identity, *problem.Error) {
	if t := ctx.QueryArgs().Peek("ticket"); len(t) > 0 {
		return m.redeem(ctx, string(t))
	}
	token := ingress.BearerHere(ctx.Request.Header.Peek("Authorization")) // the verifier keeps no part of it
	if token == "" {
		token = subprotocolToken
	}
	if token == "" && m.hub.Config.Auth.Cookie != "" {
		token = string(ctx.Request.Header.Cookie(m.hub.Config.Auth.Cookie))
	}
	if token == "" && m.hub.Config.Auth.QueryToken {
		token = string(ctx.QueryArgs().Peek("token"))
	}
	if token == "" && m.connector != nil {
		if ingress.Elsewhere(ctx) {
			return nil, problem.Unauthorized // there it waits for the backend
		}
		if id, bad := m.connector.Connect(ctx); id != nil || bad != nil {
			return id, bad
		}
	}
	if token == "" && m.hub.Config.Auth.Anonymous {
		return &auth.Identity{Anonymous: true}, nil
	}
	verify := m.verifier.VerifyWaiting
	if ingress.AtLoop(ctx) {
		verify = m.verifier.Verify
	}
	id, err := verify(token)
	if refused, ok := errors.AsType[*auth.Error](err); ok && refused.Retry && ingress.Elsewhere(ctx) {
		return nil, problem.Unauthorized // there it waits for the keys
	}
	if err != nil {
		return nil, m.gate.RefusedToken(err)
	}
	if !wire.ValidChannel(wire.UserChannel(id.User)) {
		return nil, m.gate.RefusedToken(&auth.Error{Reason: auth.ReasonClaims, Detail: "sub is too long for the name of a channel"})
	}
	return id, nil
}

// Authenticate checks what every client connection must pass, in the order that costs least.
func (m *Manager) Authenticate(ctx *fasthttp.RequestCtx, token string) (a Handshake, bad *problem.Error) {
	if m.draining.Load() {
		return a, problem.Draining
	}
	if !m.gate.OriginAllowed(ctx) {
		return a, m.gate.RefusedOrigin(ctx)
	}
	if bad := m.Admit(); bad != nil {
		return a, bad
	}
	id, bad := m.Identify(ctx, token)
	if bad != nil {
		return a, bad
	}
	return m.NewHandshake(ctx, id), nil
}

// Admit refuses clients while sessions are being ended, and while the relay is short of memory.
func (m *Manager) Admit() *problem.Error {
	if m.draining.Load() {
		return problem.Draining
	}
	if m.hub.Memory.Short() {
		m.hub.Counters.Refused.Of("memory").Inc()
		return problem.Overloaded
	}
	return nil
}

// NewHandshake is the request of a client who is known. The address is counted for its limit when the session begins.
func (m *Manager) NewHandshake(ctx *fasthttp.RequestCtx, id *auth.Identity) Handshake {
	return Handshake{manager: m, Identity: id, Address: m.gate.ClientAddress(ctx), behind: m.hub.Config.Limit.PerAddress > 0 && m.gate.Trusted(ingress.Peer(ctx))}
}

// Hijack takes the connection over from the HTTP server. HEAD is told what GET would be, and gets no stream.
func (m *Manager) Hijack(ctx *fasthttp.RequestCtx, a *Handshake, o Opener) {
	if ctx.IsHead() { // of an event stream; an upgrade has been refused
		ctx.SetContentType("text/event-stream; charset=utf-8")
		ctx.Response.Header.Set("Cache-Control", "no-cache, no-transform")
		m.gate.SetCORS(ctx)
		return
	}
	if a.opener = o; ingress.TakeOver(ctx, a) {
		return
	}
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(c net.Conn) {
		nc := ingress.Keep(c)
		defer m.hub.Contain.End("upgrade", func() { _ = nc.Close() })
		var rest []byte
		if g := ingress.ConnOf(nc); g != nil {
			rest = g.Upgraded(c)
		}
		o.Begin(nc, rest, a)
	})
}

// Open implements ingress.Opener for a handshake that was read at an event loop: the session is opened there, unless it may have to wait
// for the disk or another node.
func (a *Handshake) Open(nc net.Conn, rest []byte) {
	m := a.manager
	if a.Identity.User != "" && m.hub.AcksWait() {
		release, err := m.hub.Hold(wire.UserChannel(a.Identity.User), hub.NoWait)
		if err != nil {
			m.Work("upgrade", func() { a.opener.Begin(nc, rest, a) }, func() { _ = nc.Close() })
			return
		}
		defer release()
	}
	a.opener.Begin(nc, rest, a)
}

// Refuse sends a client that has been upgraded its refusal and closes the connection.
func Refuse(nc net.Conn, last []byte) {
	_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = nc.Write(last)
	if half, ok := nc.(interface{ CloseWrite() error }); ok { // a reset would overtake what was written
		_ = half.CloseWrite()
		_ = nc.SetReadDeadline(time.Now().Add(time.Second)) // the client may take as long to read why
		_, _ = nc.Read(make([]byte, 512))
	}
	_ = nc.Close()
}

// LastEventID is the cursor that the client of an event stream sends; "" if it sends none.
func LastEventID(ctx *fasthttp.RequestCtx) string {
	id := ctx.Request.Header.Peek("Last-Event-ID")
	if len(id) == 0 {
		id = ctx.QueryArgs().Peek("lastEventId")
	}
	return string(id)
}
