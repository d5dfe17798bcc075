package route

import (
	"bytes"
	"strconv"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/session"
)

// protocol is what a client's session knows of it.
type protocol struct{ c *Client }

var _ session.Protocol = protocol{}

// line is where messages of a client are held, in order.
const line = "\x00route"

// Message implements session.Protocol: it hands a message of the client to its system.
func (p protocol) Message(data []byte, binary bool) {
	c := p.c
	now := time.Now()
	if !c.session.Take(now, 1, "too many messages") {
		return
	}
	if !binary && c.route.Dialect == nil {
		if err := wire.ValidJSON(data); err != nil {
			c.Send(problem.Of(err).AppendError(nil, nil))
			return
		}
	}
	switch {
	case !c.session.Patient():
		c.route.Message(c, data, binary)
	case !binary && c.route.Ping != nil && c.session.Waits(line) && c.route.Ping(c, data):
	default:
		if err := c.session.Hold(line, session.Held{Message: bytes.Clone(data), Binary: binary, Since: now}); err != nil {
			c.session.Close(session.Overloaded) // to leave one out would be worse
		}
	}
}

// Held implements session.Protocol.
func (p protocol) Held(h *session.Held, _ *session.Beside) {
	p.c.route.Message(p.c, h.Message, h.Binary)
}

// TooLarge implements session.Protocol.
func (p protocol) TooLarge(ids [][]byte, why *problem.Error) {
	for _, id := range ids {
		p.c.SendError(id, why)
	}
}

// Limit implements session.Protocol.
func (p protocol) Limit() int { return p.c.route.Limit }

// Denied implements session.Protocol.
func (p protocol) Denied(channel string, why *problem.Error) bool {
	return p.c.route.Denied != nil && p.c.route.Denied(p.c, channel, why.Message)
}

// Subscribed implements session.Protocol.
func (protocol) Subscribed(r *session.SubscribeRequest, reply broker.Reply, _ bool) []byte {
	return r.First(reply)
}

// CloseFrame implements session.Protocol. Clients of a Stream are told when to come back, and nothing that their protocol may not
// know.
func (p protocol) CloseFrame(why session.Closing) []byte {
	switch enc := p.c.session.Encoding(); {
	case p.c.stream != nil:
		var b []byte
		if why.Retry > 0 {
			b = appendFrame(b, enc, append(strconv.AppendInt([]byte("retry: "), why.Retry.Milliseconds(), 10), "\n\n"...), false)
		}
		if enc == hub.ChunkedSSE {
			b = append(b, hub.LastChunk...)
		}
		return b
	case p.c.route.Dialect == nil || why.Final:
		return wire.CloseFrame(why.Code, why.Reason)
	}
	return p.c.route.Dialect.closeFrame(why.Code, why.Reason)
}

// Leave implements session.Protocol.
func (p protocol) Leave() (list []func(then func())) {
	for _, g := range p.c.take() {
		list = append(list, func(then func()) { g.detach(p.c, then) })
	}
	return list
}

// Gone implements session.Protocol.
func (p protocol) Gone(abrupt bool) {
	p.c.abrupt = abrupt
	for _, g := range p.c.take() {
		g.gone()
	}
}

// Closed implements session.Protocol.
func (p protocol) Closed() {
	p.c.endForwards()
	if p.c.route.Closed != nil {
		p.c.route.Closed(p.c)
	}
}

// Published implements session.Protocol: systems publish by themselves.
func (protocol) Published([]byte, broker.Position, error) {}

// Resync implements session.Protocol: there is nothing like it.
func (protocol) Resync(string, broker.Reply) []byte { return nil }

// Tail implements session.Protocol: frames are whole events.
func (protocol) Tail(dst []byte, _ *pool.Topic, _ *pool.Frame) []byte { return dst }

// Joined implements session.Protocol: streams follow no channels.
func (protocol) Joined(string, *pool.Topic, broker.Position, []byte) {}

// Left implements session.Protocol: streams follow no channels.
func (protocol) Left(string) {}
