package native

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/units"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/httpcheck"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/session"
	"weir/relay/websocket"
)

// firstWrite has room for the answer to a handshake, the connected message, and a channel that the address names.
const firstWrite = 1 << 10

// HandleWS is GET /ws.
func (m *Server) HandleWS(ctx *fasthttp.RequestCtx) {
	o, bad := websocket.ReadOffer(&ctx.Request.Header)
	if bad != nil {
		if bad == problem.UpgradeRequired {
			ctx.Response.Header.Set("Sec-WebSocket-Version", "13")
		}
		m.gate.Refuse(ctx, bad)
		return
	}
	h, bad := m.sessions.Authenticate(ctx, o.Token)
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	a := &opening{Handshake: h, server: m}
	if bad = a.readNamed(ctx.QueryArgs()); bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	a.Features = Features(ctx)
	if m.hub.Config.Compression && o.Deflate {
		a.Encoding = hub.DeflateWS
	}
	a.Head = o.AppendSwitch(a.buf[:0], a.Encoding == hub.DeflateWS)
	if !o.Protocol {
		a.Encoding = hub.WholeOf(a.Encoding)
	}
	m.sessions.Hijack(ctx, &a.Handshake, a)
}

// Features is what a client knows beside what all do: ?features=fork,append.
func Features(ctx *fasthttp.RequestCtx) (f pool.Features) {
	for name := range bytes.SplitSeq(ctx.QueryArgs().Peek("features"), []byte(",")) {
		switch string(name) {
		case "fork":
			f |= pool.Forks
		case "append":
			f |= pool.Appends
		}
	}
	return f
}

// place makes the session of a client for whom there is a place; nil, with the connection closed, if there is none.
func (m *Server) place(nc net.Conn, a *session.Handshake, events *stream) *speaker {
	s := &speaker{server: m, stream: events}
	if !m.sessions.Place(&s.Session, nc, a, s) {
		return nil
	}
	return s
}

// openWS starts a WebSocket session. Nothing is read before the answer to the handshake and the connected
// message have been written, together; nothing else is written before them.
func (m *Server) openWS(nc net.Conn, rest []byte, a *opening) {
	s := m.place(nc, &a.Handshake, nil)
	if s == nil {
		return
	}
	s.Connect(nc, websocket.Options{Rules: m.rules, SkipLarge: true, Rest: rest})
	defer s.Catch(s.AbortOpen)
	first := a.first()
	if len(first) == 0 {
		s.start(a.Head, 0, s.FirstTurn)
		return
	}
	s.Conn().Cork() // so that what the address names is answered together with the handshake
	s.start(a.Head, len(a.named), nil)
	later := s.openNamed(a, first)
	if len(later) == 0 {
		s.Conn().Reply(nil, s.firstNamed)
	} else {
		s.Conn().Reply(nil, func() { s.firstLater(later) })
	}
}

// start subscribes a session to its user's own channel, sends head and the connected message, and then
// calls then. From then on others may find the session. Named is how many channels the client's address names.
func (s *speaker) start(head []byte, named int, then func()) {
	if s.User() != "" && s.server.hub.AcksWait() {
		release, err := s.server.hub.Hold(wire.UserChannel(s.User()), hub.WaitForDisk) // or it may have moved, or left memory, by the time greet joins it
		if err == nil {
			defer release()
		} else { // greet ends the session
			s.server.hub.Log.Debug("the node that owns a user's channel cannot be reached", slog.String("error", err.Error()))
		}
	}
	s.Enter(func() { s.greet(head, named, then) })
	s.Begun()
}

func (s *speaker) greet(head []byte, named int, then func()) {
	if s.User() == "" {
		s.Conn().Reply(s.connected(head, nil, named), then)
		return
	}
	if s.stream == nil && s.AwaitOwn(func(at broker.Position) []byte {
		return s.connected(head, &at, named)
	}, then) {
		return
	}
	channel := wire.UserChannel(s.User())
	var from *broker.Position
	if s.stream != nil {
		from = s.stream.from(0)
	}
	if _, err := s.JoinFirst(channel, broker.JoinRequest{From: from, Loaded: s.server.hub.Cluster != nil}, func(t *pool.Topic, reply broker.Reply) []byte {
		hello := s.connected(head, &reply.Position, named)
		if s.stream != nil {
			own := session.SubscribeRequest{JoinRequest: broker.JoinRequest{From: from}, Channel: channel}
			hello = append(hello, s.stream.stand(channel, t, reply.Position, s.Subscribed(&own, reply, false))...)
		}
		return hello
	}, then); err != nil {
		if !errors.Is(err, broker.ErrNotLoaded) { // otherwise the node that owns it is not reached: the client comes back, here or elsewhere
			s.server.hub.Log.Error("user channel not joined", slog.String("error", err.Error()))
		}
		s.Conn().Reply(nil, then)
		s.CloseFirst(head, session.Overloaded)
	}
}

// connected appends the first message of every session to the answer to the handshake. The position is that of the user's own channel; named is
// how many channels the address has named, each of which is answered. Nobody else writes meanwhile.
func (s *speaker) connected(head []byte, at *broker.Position, named int) []byte {
	b := s.appendFrame(head, "connected", func(b []byte) []byte { return s.appendConnected(b, at, named) })
	if named > 0 {
		s.out = b[len(b):] // the room behind it is for the answers about those
	}
	return b[:len(b):len(b)]
}

func (s *speaker) appendConnected(b []byte, at *broker.Position, named int) []byte {
	cfg := s.server.hub.Config
	b = append(b, `{"type":"connected","connectionId":"`...)
	b = append(b, s.ID()...)
	b = wire.AppendString(append(b, `","userId":`...), s.User())
	b = strconv.AppendInt(append(b, `,"heartbeat":`...), cfg.Heartbeat.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, `,"window":`...), s.server.hub.Namespaces.Fallback.Batch.Window.Milliseconds(), 10)
	b = s.appendExpiry(b)
	b = s.appendLimits(b)
	b = s.appendVouched(b)
	if at != nil {
		b = append(append(append(b, `,"channel":"`...), wire.UserChannel(s.User())...), '"')
		b = wire.AppendPosition(append(b, `,"position":`...), at.Epoch, at.Seq)
	}
	if named > 0 {
		b = strconv.AppendInt(append(b, `,"channels":`...), int64(named), 10)
	}
	return append(b, '}')
}

// appendLimits appends what bounds the client: the bytes of a message, its commands a second (twice as many at once;
// 0: no limit), the channels that it may follow, and the bytes of an address.
func (s *speaker) appendLimits(b []byte) []byte {
	limit := &s.server.hub.Config.Limit
	b = strconv.AppendInt(append(b, `,"limits":{"message":`...), int64(s.Limit()), 10)
	b = appendRate(append(b, `,"commands":`...), limit.Commands)
	b = strconv.AppendInt(append(b, `,"subscriptions":`...), int64(limit.Subscriptions), 10)
	b = strconv.AppendInt(append(b, `,"address":`...), httpcheck.MaxURI, 10)
	return append(b, '}')
}

// appendRate appends how many a second a rate allows.
func appendRate(b []byte, rate units.Rate) []byte {
	return strconv.AppendFloat(b, rate.PerSecond(), 'f', -1, 64)
}

// appendExpiry appends for how long the session's token is good, which needs no clock that is right; nothing for a
// session without an end.
func (s *speaker) appendExpiry(b []byte) []byte {
	id := s.Identity()
	expires := id.Expires.Time()
	if expires.IsZero() || id.Vouched != nil { // it is refreshed without the client
		return b
	}
	return strconv.AppendInt(append(b, `,"expiresIn":`...), max(expires.Sub(s.server.sessions.Now()).Milliseconds(), 0), 10)
}

// appendVouched appends what a connector has to tell the client: data, and what lets it come back.
func (s *speaker) appendVouched(b []byte) []byte {
	id := s.Identity()
	if id.Vouched == nil {
		return b
	}
	if id.Vouched.Data != nil {
		b = append(append(b, `,"data":`...), id.Vouched.Data...)
	}
	if resume := s.Resume(); resume != "" {
		b = wire.AppendString(append(b, `,"resume":`...), resume)
	}
	return b
}
