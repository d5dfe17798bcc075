package session

import (
	"log/slog"
	"net"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/units"
	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// HandleWS is GET /ws.
func (m *Manager) HandleWS(ctx *fasthttp.RequestCtx) {
	o, bad := websocket.ReadOffer(&ctx.Request.Header)
	if bad != nil {
		if bad == problem.UpgradeRequired {
			ctx.Response.Header.Set("Sec-WebSocket-Version", "13")
		}
		m.gate.Refuse(ctx, bad)
		return
	}
	a, bad := m.Authenticate(ctx, o.Token)
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	if a.named, bad = namedChannels(ctx); bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	if m.hub.Config.Compression && o.Deflate {
		a.Encoding = hub.DeflateWS
	}
	a.Head = o.AppendSwitch(make([]byte, 0, 512), a.Encoding == hub.DeflateWS)
	if !o.Protocol {
		a.Encoding = hub.WholeOf(a.Encoding)
	}
	m.Hijack(ctx, a, m.openWS)
}

// newSession makes the session of a client that has a place. It returns nil, with the connection closed,
// if there is none: at the client's address, for its user, or because the relay is draining.
func (m *Manager) newSession(nc net.Conn, a *Handshake) *Session {
	s := &Session{manager: m, enc: a.Encoding, id: a.ID, user: a.Identity.User, address: a.Address, opened: time.Now().UnixMilli()}
	if s.id == "" {
		s.id = ulid.Make().String()
	}
	s.identity.Store(a.Identity)
	s.socket.Heard.Store(true)
	m.readers.Add(1)
	placed := false
	defer func() {
		if !placed {
			m.readers.Done()
		}
	}()
	answer, why := "", problem.TooMany
	switch {
	case m.draining.Load():
		answer, why = ingress.BusyAnswer, problem.Draining
	case a.behind.IsValid() && !m.gate.Addresses.Take(a.behind, m.hub.Config.Limit.PerAddress):
		m.hub.Counters.Refused.Of("per_address").Inc()
		answer = ingress.TooManyAnswer
	case !m.sessions.reserve(s.user, m.hub.Config.Limit.PerUser):
		m.hub.Counters.Refused.Of("per_user").Inc()
		answer = ingress.TooManyAnswer
		if a.behind.IsValid() {
			m.gate.Addresses.Give(a.behind)
		}
	default:
		if a.behind.IsValid() {
			behind := a.behind // not all of a, for as long as the session lives
			s.release = func() { m.gate.Addresses.Give(behind) }
		}
		placed = true
		return s
	}
	if a.Refusal != nil {
		Refuse(nc, append(a.Head, a.Refusal(why)...))
		return nil
	}
	_ = nc.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = nc.Write([]byte(answer))
	_ = nc.Close()
	return nil
}

// openWS starts a WebSocket session. Nothing is read before the answer to the handshake and the connected
// message have been written, together; nothing else is written before them.
func (m *Manager) openWS(nc net.Conn, rest []byte, a *Handshake) {
	s := m.newSession(nc, a)
	if s == nil {
		return
	}
	s.conn = m.hub.Pool.Open(nc, s.enc, false, s)
	s.socket.Begin(s, s.conn, nc, websocket.Options{Rules: m.rules, Deflate: hub.Deflates(s.enc), SkipLarge: true, Rest: rest})
	defer m.catch(s, s.abortOpen)
	m.hub.Counters.Opened.Of("ws").Inc()
	first := a.first()
	if len(first) == 0 {
		m.start(s, a.Head, 0, s.firstTurn)
		return
	}
	s.conn.Cork() // so that what the address names is answered together with the handshake
	m.start(s, a.Head, len(a.named), nil)
	later := s.openNamed(first)
	s.conn.Reply(nil, func() { s.firstNamed(later) })
}

// firstTurn starts reading, on the shard's loop. What came with the handshake is handled at once.
func (s *Session) firstTurn() {
	if s.greeted {
		return
	}
	s.greeted = true
	if s.socket.Pending() || !s.conn.Awaitable() {
		s.Readable()
		return
	}
	s.conn.Await()
}

// abortOpen ends a session that could not be opened. Its first turn finds the connection gone.
func (s *Session) abortOpen() {
	s.ending.Store(true)
	s.conn.Abort()
	s.conn.Reply(nil, s.firstTurn) // unless it was on its way already
}

// start subscribes a session to its user's own channel, sends head and the connected message, and then
// calls then. From then on others may find the session. Named is how many channels the client's address names.
func (m *Manager) start(s *Session, head []byte, named int, then func()) {
	if s.user != "" {
		_ = m.hub.EnsureLoaded(wire.UserChannel(s.user), hub.WaitForDisk) // greet says what is wrong
	}
	m.greet(s, head, named, then)
	m.begun(s)
}

func (m *Manager) greet(s *Session, head []byte, named int, then func()) {
	// Whoever finds the session and ends it waits for the lock, so that no close comes before the answer to
	// the handshake; nor can its last turn be over before it is entered.
	s.mu.Lock()
	defer s.mu.Unlock()
	m.enter(s)
	m.expiries.set(s, s.deadline())
	if s.user == "" {
		s.conn.Reply(append(head, m.frameFor(s, "connected", s.connected(nil, named))...), then)
		return
	}
	channel := wire.UserChannel(s.user)
	var from *broker.Position
	if s.sse != nil {
		from = s.sse.from(0)
	}
	if _, err := s.joinFirst(channel, broker.JoinRequest{From: from, Loaded: true}, func(f *hub.Fanout, reply broker.Reply) []byte {
		hello := append(head, m.frameFor(s, "connected", s.connected(&reply.Position, named))...)
		if s.sse != nil {
			hello = append(hello, s.sse.stand(channel, f.Topic, reply.Position, s.welcome(nil, channel, nil, from, reply))...)
		}
		return hello
	}, then); err != nil {
		m.hub.Log.Error("user channel not joined", slog.String("error", err.Error()))
		s.conn.Reply(head, then)
		defer s.closeNow(closing{code: wire.CloseOverloaded, reason: "overloaded"})
	}
}

// connected is the first message of every session. The position is that of the user's own channel; named is how many channels
// the address has named, each of which is answered.
func (s *Session) connected(at *broker.Position, named int) []byte {
	cfg := s.manager.hub.Config
	b := append(make([]byte, 0, 256), `{"type":"connected","connectionId":"`...)
	b = append(b, s.id...)
	b = wire.AppendString(append(b, `","userId":`...), s.user)
	b = strconv.AppendInt(append(b, `,"heartbeat":`...), cfg.Heartbeat.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, `,"window":`...), s.manager.hub.Namespaces.Fallback.Batch.Window.Milliseconds(), 10)
	b = s.appendExpiry(b)
	b = s.appendLimits(b)
	b = s.appendVouched(b)
	if at != nil {
		b = append(append(append(b, `,"channel":"`...), wire.UserChannel(s.user)...), '"')
		b = wire.AppendPosition(append(b, `,"position":`...), at.Epoch, at.Seq)
	}
	if named > 0 {
		b = strconv.AppendInt(append(b, `,"channels":`...), int64(named), 10)
	}
	return append(b, '}')
}

// appendLimits appends what bounds the client: the bytes of a message, its commands a second (twice as many at once;
// 0: no limit), the channels that it may follow, and the bytes of an address.
func (s *Session) appendLimits(b []byte) []byte {
	limit := &s.manager.hub.Config.Limit
	b = strconv.AppendInt(append(b, `,"limits":{"message":`...), int64(s.messageLimit()), 10)
	b = appendRate(append(b, `,"commands":`...), limit.Commands)
	b = strconv.AppendInt(append(b, `,"subscriptions":`...), int64(limit.Subscriptions), 10)
	b = strconv.AppendInt(append(b, `,"address":`...), ingress.MaxURI, 10)
	return append(b, '}')
}

// appendRate appends how many a second a rate allows.
func appendRate(b []byte, rate units.Rate) []byte {
	return strconv.AppendFloat(b, rate.PerSecond(), 'f', -1, 64)
}

// appendExpiry appends for how long the session's token is good, which needs no clock that is right; nothing for a
// session without an end.
func (s *Session) appendExpiry(b []byte) []byte {
	id := s.identity.Load()
	expires := id.Expires
	if expires.IsZero() || id.Vouched != nil { // it is refreshed without the client
		return b
	}
	return strconv.AppendInt(append(b, `,"expiresIn":`...), max(expires.Sub(s.manager.Now()).Milliseconds(), 0), 10)
}
