package session

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/websocket"
)

// EventStream is a route of server-sent events on which a system speaks events of its own. Each stream follows
// one channel of the system's namespace and nothing else. Its sessions count, beat, expire, drain and are limited
// like those of /sse, and readers that are too slow are always closed.
//
// Streams are resumable: Last-Event-ID, or the query's lastEventId, may be the id of an event or the cursor that
// stands with every event without one. A client whose place is not known any more is told with the event
// "resync", and gets what is still kept.
type EventStream struct {
	// Admit decides, before the answer, whether a client may have a stream, and of which channel. An error refuses
	// the request.
	Admit func(ctx *fasthttp.RequestCtx, id *auth.Identity) (channel string, err error)

	// Hello appends the fields of the first event, each on a line, without an id.
	Hello func(dst []byte, id *auth.Identity) []byte

	// Event appends what a change is told as: the fields of an event, each on a line, without an id. It answers
	// the event's id, "" for the cursor; if it appends nothing, the change is not told.
	Event func(dst []byte, c *broker.ChangeView) (event []byte, id string)

	open *atomic.Int64 // streams; set by Manager.ServeEvents
}

// ServeEvents is the handler of a route with streams of channels of a namespace, which has been reserved. It is made at
// start; one for each namespace.
func (m *Manager) ServeEvents(namespace string, e EventStream) fasthttp.RequestHandler {
	e.open = new(atomic.Int64)
	m.hub.Counters.Set.NewGauge(fmt.Sprintf("weir_event_streams{namespace=%q}", namespace), func() float64 { return float64(e.open.Load()) })
	m.hub.Namespaces.Of(namespace + ":").Events = e.Event
	return func(ctx *fasthttp.RequestCtx) { m.handleEventStream(ctx, &e) }
}

// retryAfter is around when a client comes back whose stream has broken off.
const retryAfter = 2 * time.Second

// eventsHead begins the answers of these routes; behind it stands how their body ends.
const eventsHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n" +
	"X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n"

// handleEventStream is a route of event streams of a system.
func (m *Manager) handleEventStream(ctx *fasthttp.RequestCtx, e *EventStream) {
	a, bad := m.authenticate(ctx, "")
	if bad == nil && a.identity.Anonymous {
		bad = problem.Unauthorized
	}
	if bad != nil {
		m.gate.Refuse(ctx, bad)
		return
	}
	channel, err := e.Admit(ctx, a.identity)
	if err != nil {
		m.gate.Fail(ctx, err)
		return
	}
	last := lastEventID(ctx)
	a.enc, a.head = hub.CustomSSE, append(make([]byte, 0, 512), eventsHead...)
	if ctx.Request.Header.IsHTTP11() { // others know no chunks
		a.enc = hub.ChunkedSSE
		a.head = append(a.head, "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"...)
	} else {
		a.head = append(a.head, "Connection: close\r\n"...)
	}
	a.head = append(m.gate.AppendCORS(a.head, ctx), "\r\n"...)
	m.hijack(ctx, a, func(nc net.Conn, _ []byte, a *handshakeRequest) { m.openEvents(nc, a, e, channel, last) })
}

// lastEventID is where a client says that it stands; "" if it does not.
func lastEventID(ctx *fasthttp.RequestCtx) string {
	id := ctx.Request.Header.Peek("Last-Event-ID")
	if len(id) == 0 {
		id = ctx.QueryArgs().Peek("lastEventId")
	}
	return string(id)
}

// openEvents starts a stream. Nothing of its channel is lost or told twice between what is replayed and what is
// live: both are decided under the channel's lock.
func (m *Manager) openEvents(nc net.Conn, a *handshakeRequest, e *EventStream, channel, last string) {
	s := m.newSession(nc, a)
	if s == nil {
		return
	}
	s.sse = &stream{channels: []string{channel}, events: e}
	e.open.Add(1)
	s.conn = m.hub.Pool.Open(nc, s.enc, true, s)
	s.socket.Begin(s, s.conn, nc, websocket.Options{Rules: m.rules})
	defer m.catch(s, s.abortOpen)
	m.hub.Counters.Opened.Of("sse").Inc()
	m.greetEvents(s, a, e, channel, last)
	m.confirm(s)
	if m.draining.Load() { // drain may have looked before the session was entered
		s.close(closing{code: wire.CloseDraining, reason: "retry=1000", retry: time.Second})
	}
}

func (m *Manager) greetEvents(s *Session, a *handshakeRequest, e *EventStream, channel, last string) {
	s.mu.Lock() // as in greet
	defer s.mu.Unlock()
	m.enter(s)
	m.expiries.set(s, s.deadline())
	from, lost := m.standing(channel, last, e)
	done, err := s.followEvents(channel, from, lost, a.head)
	if err == nil && !done { // the log does not reach back so far
		done, err = s.followEvents(channel, m.oldest(channel), true, a.head)
	}
	if err != nil || !done {
		m.hub.Log.Error("event stream not opened", slog.String("channel", channel), slog.Any("error", err))
		s.conn.Reply(a.head, s.firstTurn)
		defer s.closeNow(closing{code: wire.CloseOverloaded, reason: "overloaded"})
	}
}

// followEvents joins a stream's channel and sends its first events: the hello and what came after from, behind
// "resync" if the client's own place is lost. It returns false, having done nothing, if the log does not reach
// back to from; with lost it then goes on from now. The caller holds s.mu.
func (s *Session) followEvents(channel string, from *broker.Position, lost bool, head []byte) (done bool, err error) {
	m, e := s.manager, s.sse.events
	var sub subscription
	ch, err := m.hub.Broker.Join(channel, broker.JoinRequest{From: from}, func(out broker.Subscriber, reply broker.Reply) {
		if from != nil && !reply.Recovered && !lost {
			return
		}
		done = true
		f := out.(*hub.Fanout)
		f.Begin(reply.Position)
		f.Window.Seal()
		sub.feed, sub.topic = f, f.Topic
		at := reply.Position
		if reply.Recovered {
			at = *from
		}
		b := strconv.AppendInt([]byte("retry: "), jitter(retryAfter).Milliseconds(), 10)
		b = append(b, '\n')
		b = e.Hello(b, s.identity.Load())
		b = hub.AppendMark(b, channel, at)
		if lost {
			b = wire.AppendEvent(b, "resync", hub.ResyncMessage(channel, broker.Reply{Position: at, State: []byte("{}"), Lost: true}))
			b = hub.AppendMark(b, channel, at)
		}
		if reply.Recovered {
			b = hub.EventEncoder(e.Event).Append(b, channel, reply.Position.Epoch, reply.Changes)
		}
		switch {
		case lost:
			m.hub.Counters.Resumes.Of("snapshot").Inc()
		case from != nil:
			m.hub.Counters.Resumes.Of("recovered").Inc()
		}
		s.conn.Join(f.Topic, f.Ordinal.Load(), append(head, s.piece(b)...), s.firstTurn)
	})
	if err != nil {
		return false, err
	}
	if !done {
		ch.Leave()
		return false, nil
	}
	sub.channel = ch
	s.subs = append(s.subs, sub)
	m.hub.Counters.Subscriptions.Inc()
	return true, nil
}

// standing is where a client stands whose last event had an id. It is nil for a client that stands nowhere yet.
// If the place is not known, lost is true and the position is from where on there is something to tell.
func (m *Manager) standing(channel, last string, e *EventStream) (from *broker.Position, lost bool) {
	if last == "" {
		return nil, false
	}
	if at, ok := hub.MarkOf(channel, last); ok {
		return &at, false
	}
	changes, _, at, _ := m.hub.Broker.History(channel, 0, math.MaxInt32)
	found := uint64(0)
	broker.EachChange(changes, func(c *broker.ChangeView) bool {
		if _, id := e.Event(nil, c); id == last {
			found = c.Seq
		}
		return found == 0 // the first of that id: rather twice than never
	})
	if found > 0 {
		return &broker.Position{Epoch: at.Epoch, Seq: found}, false
	}
	return m.oldest(channel), true
}

// oldest is the position before the first change that is kept; nil if none is.
func (m *Manager) oldest(channel string) *broker.Position {
	changes, _, at, _ := m.hub.Broker.History(channel, 0, math.MaxInt32)
	var from *broker.Position
	broker.EachChange(changes, func(c *broker.ChangeView) bool {
		from = &broker.Position{Epoch: at.Epoch, Seq: c.Seq - 1}
		return false
	})
	return from
}
