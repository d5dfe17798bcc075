package relay

import (
	"bufio"
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lxzan/gws"
	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
)

// arrival is a client that was let in, before its connection is taken over.
type arrival struct {
	identity *auth.Identity
	address  string
	channels []string    // SSE
	denied   []string    // SSE: channels that were asked for and may not be followed
	marks    []wire.Mark // SSE, of Last-Event-ID
	behind   netip.Addr  // counted for the limit on addresses; not valid: the listener has counted the peer
	head     []byte      // answer to the request
	enc      pool.Encoding
}

// identify finds out who a client is. The token comes in a header, as a subprotocol, in the configured
// cookie or, if that is allowed, in the query; or a ticket stands for it.
func (r *Relay) identify(ctx *fasthttp.RequestCtx, subprotocolToken string) (*auth.Identity, *fault) {
	if t := ctx.QueryArgs().Peek("ticket"); len(t) > 0 {
		if id, ok := r.tickets.Redeem(string(t)); ok {
			return id, nil
		}
		r.metrics.authFailures.of("ticket").Inc()
		return nil, faultUnauthorized
	}
	token := bearer(ctx.Request.Header.Peek("Authorization"))
	if token == "" {
		token = subprotocolToken
	}
	if token == "" && r.cfg.Auth.Cookie != "" {
		token = string(ctx.Request.Header.Cookie(r.cfg.Auth.Cookie))
	}
	if token == "" && r.cfg.Auth.QueryToken {
		token = string(ctx.QueryArgs().Peek("token"))
	}
	if token == "" && r.cfg.Auth.Anonymous {
		return &auth.Identity{Anonymous: true}, nil
	}
	id, err := r.verifier.Verify(token)
	if err != nil {
		r.countAuthFailure(err)
		var refused *auth.Error
		if errors.As(err, &refused) && refused.Retry {
			return nil, faultKeys
		}
		return nil, faultUnauthorized
	}
	if !wire.ValidChannel(wire.UserChannel(id.User)) {
		r.metrics.authFailures.of(string(auth.ReasonClaims)).Inc()
		return nil, faultUnauthorized
	}
	return id, nil
}

func (r *Relay) countAuthFailure(err error) {
	r.metrics.authFailures.of(string(auth.ReasonOf(err))).Inc()
}

func bearer(header []byte) string {
	const scheme = "bearer "
	if len(header) > len(scheme) && strings.EqualFold(string(header[:len(scheme)]), scheme) {
		return strings.TrimSpace(string(header[len(scheme):]))
	}
	return ""
}

// handleWS is GET /ws.
func (r *Relay) handleWS(ctx *fasthttp.RequestCtx) {
	o, bad := readOffer(&ctx.Request.Header)
	if bad != nil {
		if bad == faultVersion {
			ctx.Response.Header.Set("Sec-WebSocket-Version", "13")
		}
		r.refuse(ctx, bad)
		return
	}
	a, bad := r.arrive(ctx, o.token)
	if bad != nil {
		r.refuse(ctx, bad)
		return
	}
	if r.cfg.Compression && o.deflate {
		a.enc = deflateWS
	}
	a.head = o.appendSwitch(make([]byte, 0, 512), a.enc == deflateWS)
	r.hijack(ctx, a, r.openWS)
}

// arrive checks what every client connection must pass, in the order that costs least.
func (r *Relay) arrive(ctx *fasthttp.RequestCtx, token string) (*arrival, *fault) {
	if r.draining.Load() {
		return nil, faultDraining
	}
	if !r.originAllowed(ctx) {
		r.metrics.authFailures.of("origin").Inc()
		return nil, faultOrigin
	}
	if r.overMemory() {
		r.metrics.refused.of("memory").Inc()
		return nil, faultOverloaded
	}
	id, bad := r.identify(ctx, token)
	if bad != nil {
		return nil, bad
	}
	a := &arrival{identity: id}
	addr := r.clientAddress(ctx)
	a.address = addr.String()
	if r.cfg.Limit.PerAddress > 0 && r.trusted(peerAddress(ctx.RemoteAddr())) {
		a.behind = addressKey(addr)
	}
	return a, nil
}

// originAllowed holds the Origin header against the list. Browsers always send one with an upgrade, so a
// page of another site is known by it; others need not. With a page's own event stream they send none.
func (r *Relay) originAllowed(ctx *fasthttp.RequestCtx) bool {
	all := ctx.Request.Header.PeekAll("Origin")
	if len(all) == 0 {
		return !r.cfg.RequireOrigin || len(ctx.Request.Header.Peek("Upgrade")) == 0
	}
	if len(all) > 1 {
		return false
	}
	origin := string(all[0])
	scheme := "http://"
	if ctx.IsTLS() {
		scheme = "https://"
	}
	return origin == scheme+string(ctx.Host()) || slices.Contains(r.cfg.Origins, origin)
}

// hijack takes the connection over from the HTTP server.
func (r *Relay) hijack(ctx *fasthttp.RequestCtx, a *arrival, open func(nc net.Conn, rest []byte, a *arrival)) {
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(c net.Conn) {
		nc := c
		if u, ok := c.(interface{ UnsafeConn() net.Conn }); ok {
			nc = u.UnsafeConn()
		}
		var rest []byte
		if g := guestOf(nc); g != nil {
			g.door.lobby.leave(g)
			rest = readAhead(c, g)
		}
		open(nc, rest, a)
	})
}

// newSession makes the session of a client that has a place. It answers nil, with the connection closed,
// if there is none: at the client's address, for its user, or because the relay is draining.
func (r *Relay) newSession(nc net.Conn, a *arrival) *session {
	s := &session{relay: r, enc: a.enc, id: ulid.Make().String(), user: a.identity.User, address: a.address, opened: time.Now()}
	s.identity.Store(a.identity)
	s.heard.Store(true)
	s.socket.nc = nc
	s.socket.session = s
	r.readers.Add(1)
	answer := ""
	switch {
	case r.draining.Load():
		answer = refusal
	case a.behind.IsValid() && !r.addresses.take(a.behind, r.cfg.Limit.PerAddress):
		r.metrics.refused.of("per_address").Inc()
		answer = refusalMany
	case !r.sessions.reserve(s.user, r.cfg.Limit.PerUser):
		r.metrics.refused.of("per_user").Inc()
		answer = refusalMany
		if a.behind.IsValid() {
			r.addresses.give(a.behind)
		}
	default:
		if a.behind.IsValid() {
			behind := a.behind // not all of a, for as long as the session lives
			s.release = func() { r.addresses.give(behind) }
		}
		return s
	}
	_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = nc.Write([]byte(answer))
	_ = nc.Close()
	r.readers.Done()
	return nil
}

// openWS starts a WebSocket session. Nothing is read before the answer to the handshake and the connected
// message have been written, together; nothing else is written before them.
func (r *Relay) openWS(nc net.Conn, rest []byte, a *arrival) {
	s := r.newSession(nc, a)
	if s == nil {
		return
	}
	s.socket.rest = rest
	s.conn = r.pool.Open(nc, s.enc, false, s)
	defer r.catch(s, s.fall)
	r.metrics.opened.of("ws").Inc()
	r.start(s, a.head, s.firstTurn)
}

// firstTurn starts reading, on the shard's loop. What came with the handshake is handled at once.
func (s *session) firstTurn() {
	if s.greeted {
		return
	}
	s.greeted = true
	if len(s.socket.rest) > 0 || !s.conn.Awaitable() {
		s.Readable()
		return
	}
	s.conn.Await()
}

// fall ends a session that could not be opened. Its first turn finds the connection gone.
func (s *session) fall() {
	s.ending.Store(true)
	s.conn.Abort()
	s.conn.Reply(nil, s.firstTurn) // unless it was on its way already
}

// newParser makes a frame parser that reads from a session's socket.
func (r *Relay) newParser(s *session) (*gws.Conn, error) {
	request := r.parserRequests[0]
	if s.enc == deflateWS {
		request = r.parserRequests[1]
	}
	parser := r.parser
	if s.live != nil {
		parser = s.live.live.parser
	}
	s.socket.upgrade = true
	defer func() { s.socket.upgrade = false }()
	return parser.UpgradeFromConn(&s.socket, bufio.NewReaderSize(&s.socket, readBuffer), request)
}

// start subscribes a session to its user's own channel, sends head and the connected message, and then
// calls then. From then on others may find the session.
func (r *Relay) start(s *session, head []byte, then func()) {
	r.greet(s, head, then)
	if r.draining.Load() { // drain may have looked before the session was entered
		s.end(closing{code: wire.CloseDraining, reason: "retry=1000", retry: time.Second})
	}
}

func (r *Relay) greet(s *session, head []byte, then func()) {
	// Whoever finds the session and ends it waits for the lock, so that no close comes before the answer to
	// the handshake; nor can its last turn be over before it is entered.
	s.mu.Lock()
	defer s.mu.Unlock()
	r.sessions.enter(s)
	r.expiries.set(s, s.identity.Load().Expires)
	if s.user == "" {
		s.conn.Reply(append(head, r.frameFor(s, "connected", s.connected(nil))...), then)
		return
	}
	var sub subscription
	channel := wire.UserChannel(s.user)
	ch, err := r.broker.Join(channel, s.ownRequest(channel), func(o broker.Outlet, reply broker.Reply) {
		f := o.(*feed)
		f.begin(reply.Position)
		f.window.Seal()
		sub.feed, sub.topic = f, f.topic
		hello := append(head, r.frameFor(s, "connected", s.connected(&reply.Position))...)
		if s.sse != nil {
			hello = append(hello, s.sse.stand(channel, f.topic, reply.Position, s.welcome(nil, channel, s.sse.from(0), reply))...)
		}
		s.conn.Join(f.topic, f.ordinal.Load(), hello, then)
	})
	if err != nil {
		r.log.Error("user channel not joined", slog.String("error", err.Error()))
		s.conn.Reply(head, then)
		defer s.cut(closing{code: wire.CloseOverloaded, reason: "overloaded"})
		return
	}
	sub.channel = ch
	s.subs = append(s.subs, sub)
	r.metrics.subscriptions.Inc()
}

// ownRequest is how the user's own channel is joined: from where an event stream stands, or from now.
func (s *session) ownRequest(string) broker.JoinRequest {
	if s.sse == nil {
		return broker.JoinRequest{}
	}
	return broker.JoinRequest{From: s.sse.from(0)}
}

// connected is the first message of every session. The position is that of the user's own channel.
func (s *session) connected(at *broker.Position) []byte {
	cfg := &s.relay.cfg
	b := append(make([]byte, 0, 256), `{"type":"connected","connectionId":"`...)
	b = append(b, s.id...)
	b = wire.AppendString(append(b, `","userId":`...), s.user)
	b = strconv.AppendInt(append(b, `,"heartbeat":`...), cfg.Heartbeat.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, `,"window":`...), s.relay.policies.fallback.batch.Window.Milliseconds(), 10)
	b = s.appendExpiry(b)
	if at != nil {
		b = append(append(append(b, `,"channel":"`...), wire.UserChannel(s.user)...), '"')
		b = wire.AppendPosition(append(b, `,"position":`...), at.Epoch, at.Seq)
	}
	return append(b, '}')
}

// appendExpiry appends for how long the session's token is good, which needs no clock that is right; nothing for a
// session without an end.
func (s *session) appendExpiry(b []byte) []byte {
	expires := s.identity.Load().Expires
	if expires.IsZero() {
		return b
	}
	return strconv.AppendInt(append(b, `,"expiresIn":`...), max(expires.Sub(s.relay.now()).Milliseconds(), 0), 10)
}

// handleSSE is GET /sse.
func (r *Relay) handleSSE(ctx *fasthttp.RequestCtx) {
	var channels []string
	marks, bad := positions(ctx)
	if bad != nil {
		r.refuse(ctx, bad)
		return
	}
	for _, c := range ctx.QueryArgs().PeekMulti("channel") {
		channel := string(c)
		if !wire.ValidChannel(channel) {
			r.refuse(ctx, faultChannel)
			return
		}
		if !slices.Contains(channels, channel) {
			channels = append(channels, channel)
		}
	}
	if len(channels) > r.cfg.Limit.Subscriptions {
		r.refuse(ctx, faultMany.with("too many channels for one stream"))
		return
	}
	cursor := ctx.Request.Header.Peek("Last-Event-ID")
	if len(cursor) == 0 {
		cursor = ctx.QueryArgs().Peek("lastEventId")
	}
	if len(cursor) > 0 {
		var err error
		if marks, err = wire.ParseCursor(cursor); err != nil {
			// Some other server's id: nothing can be resumed from it, and the client is told.
			marks = []wire.Mark{}
		}
	}
	a, bad := r.arrive(ctx, "")
	if bad != nil {
		r.refuse(ctx, bad)
		return
	}
	a.enc, a.marks = eventSSE, marks
	lenient := ctx.QueryArgs().Has("position") // a client that says what it had: one channel less is no reason to have none
	for _, channel := range channels {
		err := r.policies.may(a.identity, auth.Subscribe, channel)
		switch {
		case err == nil:
			a.channels = append(a.channels, channel)
		case lenient && faultOf(err).status == fasthttp.StatusForbidden:
			a.denied = append(a.denied, channel)
		default:
			r.fail(ctx, err)
			ctx.SetBody(wire.AppendString(append(bytes.TrimSuffix(ctx.Response.Body(), []byte("}")), `,"channel":`...), channel))
			ctx.Response.AppendBodyString("}")
			return
		}
	}
	a.head = append(make([]byte, 0, 512), sseHead...)
	a.head = append(r.appendCORS(a.head, ctx), "\r\n"...)
	r.hijack(ctx, a, r.openSSE)
}

// positions are where a client stands already, one for each channel of the query: EPOCH:SEQ, or nothing.
func positions(ctx *fasthttp.RequestCtx) ([]wire.Mark, *fault) {
	channels, list := ctx.QueryArgs().PeekMulti("channel"), ctx.QueryArgs().PeekMulti("position")
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) != len(channels) {
		return nil, faultField.with("there must be as many positions as channels; one may be empty")
	}
	var marks []wire.Mark
	for i, at := range list {
		if len(at) == 0 {
			continue
		}
		epoch, seq, _ := strings.Cut(string(at), ":")
		n, err := strconv.ParseUint(seq, 10, 64)
		if err != nil || epoch == "" || len(epoch) > 64 {
			return nil, faultField.with("position must be EPOCH:SEQ")
		}
		marks = append(marks, wire.Mark{Channel: wire.ChannelHash(string(channels[i])), Epoch: epoch, Seq: n})
	}
	return marks, nil
}

// openSSE starts an event stream. The channels are joined one after the other; live events of the first
// may come before the answer of the last.
func (r *Relay) openSSE(nc net.Conn, _ []byte, a *arrival) {
	s := r.newSession(nc, a)
	if s == nil {
		return
	}
	own := ""
	if s.user != "" {
		own = wire.UserChannel(s.user)
	}
	channels := []string{own}
	for _, c := range a.channels {
		if c != own {
			channels = append(channels, c)
		}
	}
	s.sse = newStream(channels, a.marks)
	s.conn = r.pool.Open(nc, eventSSE, true, s)
	defer r.catch(s, s.fall)
	s.conn.Cork() // whoever has seen the answer to the request follows all of its channels
	defer s.conn.Uncork()
	r.metrics.opened.of("sse").Inc()
	r.start(s, a.head, s.firstTurn)
	for _, channel := range a.denied {
		s.conn.Reply(r.frameFor(s, "unsubscribed", unsubscribedMessage(channel, faultForbidden)), nil)
	}
	for i, channel := range channels[1:] {
		if err := s.follow(channel, broker.JoinRequest{From: s.sse.from(i + 1)}, nil); err != nil {
			// In turn with the answer to the request, which may not have been written yet.
			s.conn.Reply(r.frameFor(s, "error", faultOf(err).appendError(nil, nil)), nil)
			continue
		}
		s.recheck(channel)
	}
}
