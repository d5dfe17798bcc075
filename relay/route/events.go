package route

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/auth"
	"weir/relay/hub"
	"weir/relay/native"
	"weir/relay/problem"
	"weir/relay/session"
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

	open *atomic.Int64 // streams; set by Routes.ServeEvents
}

// ServeEvents is the handler of a route with streams of channels of a namespace, which has been reserved. It is made at
// start; one for each namespace.
func (r *Routes) ServeEvents(namespace string, e EventStream) fasthttp.RequestHandler {
	e.open = new(atomic.Int64)
	r.hub.Counters.Set.NewGauge(fmt.Sprintf("weir_event_streams{namespace=%q}", namespace), func() float64 { return float64(e.open.Load()) })
	r.hub.Namespaces.Of(namespace + ":").Events = e.Event
	return func(ctx *fasthttp.RequestCtx) { r.handleEventStream(ctx, &e) }
}

// eventsHead begins the answers of these routes; behind it stands how their body ends.
const eventsHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n" +
	"X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n"

// handleEventStream is a route of event streams of a system.
func (r *Routes) handleEventStream(ctx *fasthttp.RequestCtx, e *EventStream) {
	a, bad := r.sessions.Authenticate(ctx, "")
	if bad == nil && a.Identity.Anonymous {
		bad = problem.Unauthorized
	}
	if bad != nil {
		r.gate.Refuse(ctx, bad)
		return
	}
	channel, err := e.Admit(ctx, a.Identity)
	if err != nil {
		r.gate.Fail(ctx, err)
		return
	}
	last := session.LastEventID(ctx)
	a.Encoding, a.Head = bodyOf(ctx, eventsHead)
	a.Head = append(r.gate.AppendCORS(a.Head, ctx), "\r\n"...)
	r.sessions.Hijack(ctx, &a, opener(func(nc net.Conn, _ []byte, a *session.Handshake) {
		release, err := r.hub.Hold(channel, hub.WaitForDisk) // not under a lock: or it may have moved, or left memory, by the time greet joins it
		defer release()
		if err == nil {
			r.catchUp(channel, last, e)
		}
		r.native.OpenEvents(nc, a, e.open, func(s *session.Session) error {
			if err != nil {
				return err
			}
			return r.greet(s, a, e, channel, last)
		})
	}))
}

// greet starts a stream. Nothing of its channel is lost or told twice between what is replayed and what is live: both are
// decided under the channel's lock.
func (r *Routes) greet(s *session.Session, a *session.Handshake, e *EventStream, channel, last string) error {
	from, lost := r.standing(channel, last, e)
	done, err := r.follow(s, e, channel, from, lost, a.Head)
	if err == nil && !done { // the log does not reach back so far
		if done, err = r.follow(s, e, channel, r.oldest(channel), true, a.Head); err == nil && !done {
			err = errors.New("the log of the channel has no position to begin at")
		}
	}
	if err != nil {
		r.hub.Log.Error("event stream not opened", slog.String("channel", channel), slog.String("error", err.Error()))
	}
	return err
}

// follow joins a stream's channel and sends its first events: the hello and what came after from, behind
// "resync" if the client's own place is lost. It returns false, having done nothing, if the log does not reach
// back to from; with lost it then goes on from now.
func (r *Routes) follow(s *session.Session, e *EventStream, channel string, from *broker.Position, lost bool, head []byte) (bool, error) {
	return s.JoinFirst(channel, broker.JoinRequest{From: from, Loaded: r.hub.Cluster != nil}, func(_ *pool.Topic, reply broker.Reply) []byte {
		if from != nil && !reply.Recovered && !lost {
			return nil
		}
		at := reply.Position
		if reply.Recovered {
			at = *from
		}
		b := native.AppendRetry(nil)
		b = e.Hello(b, s.Identity())
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
			r.hub.Counters.Resumes.Of("snapshot").Inc()
		case from != nil:
			r.hub.Counters.Resumes.Of("recovered").Inc()
		}
		return appendFrame(head, s.Encoding(), b, false)
	}, s.FirstTurn)
}

// standing is where a client stands whose last event had an id. It is nil for a client that stands nowhere yet.
// If the place is not known, lost is true and the position is from where on there is something to tell.
func (r *Routes) standing(channel, last string, e *EventStream) (from *broker.Position, lost bool) {
	if last == "" {
		return nil, false
	}
	if at, ok := hub.MarkOf(channel, last); ok {
		return &at, false
	}
	changes, _, at, _ := r.hub.Broker.HistoryOfSets(channel, 0, math.MaxInt32)
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
	return r.oldest(channel), true
}

// catchUp has the replica of a channel catch up with its owner, if a client's place is not known here: it may have come from a node that was ahead.
func (r *Routes) catchUp(channel, last string, e *EventStream) {
	if last == "" || r.hub.Cluster == nil {
		return
	}
	if from, lost := r.standing(channel, last, e); !lost {
		r.hub.CatchUp(channel, from)
	} else if r.hub.Elsewhere(channel) {
		r.hub.Cluster.Refresh(channel)
	}
}

// oldest is the position before the first change that is kept; nil if none is.
func (r *Routes) oldest(channel string) *broker.Position {
	changes, _, at, _ := r.hub.Broker.History(channel, 0, math.MaxInt32)
	var from *broker.Position
	broker.EachChange(changes, func(c *broker.ChangeView) bool {
		from = &broker.Position{Epoch: at.Epoch, Seq: c.Seq - 1}
		return false
	})
	return from
}
