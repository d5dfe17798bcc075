package route

import (
	"weir/internal/wire"
	"weir/relay/problem"
	"weir/relay/session"
)

// protocol is what a client's session knows of it.
type protocol struct{ c *Client }

var _ session.Protocol = protocol{}

// Attach implements session.Protocol.
func (p protocol) Attach(s *session.Session) { p.c.session = s }

// Open implements session.Protocol.
func (p protocol) Open() {
	if p.c.stream == nil {
		p.c.route.Open(p.c)
		return
	}
	p.c.stream.Open(p.c)
	if p.c.head != nil { // it has not begun
		p.c.session.Answer(append(p.c.head, "\r\n"...), nil, 0)
		p.c.session.Abandon()
	}
}

// Message implements session.Protocol: it hands a message of the client to its system.
func (p protocol) Message(data []byte, binary bool) {
	if !p.c.session.Take() {
		return
	}
	if !binary && p.c.route.Dialect == nil {
		if err := wire.ValidJSON(data); err != nil {
			p.c.Send(problem.Of(err).AppendError(nil, nil))
			return
		}
	}
	switch {
	case !p.c.session.Patient():
		p.c.route.Message(p.c, data, binary)
	case !binary && p.c.route.Ping != nil && p.c.session.Holding() && p.c.route.Ping(p.c, data):
	default:
		p.c.session.Hold(data, binary)
	}
}

// Held implements session.Protocol.
func (p protocol) Held(data []byte, binary bool) { p.c.route.Message(p.c, data, binary) }

// Denied implements session.Protocol.
func (p protocol) Denied(channel, reason string) bool {
	return p.c.route.Denied != nil && p.c.route.Denied(p.c, channel, reason)
}

// CloseFrame implements session.Protocol.
func (p protocol) CloseFrame(code int, reason string, final bool) []byte {
	if p.c.route.Dialect == nil || final {
		return wire.CloseFrame(code, reason)
	}
	return p.c.route.Dialect.closeFrame(code, reason)
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
	if p.c.route.Closed != nil {
		p.c.route.Closed(p.c)
	}
}

// Limit implements session.Protocol.
func (p protocol) Limit() int { return p.c.route.Limit }

// SendError implements session.Protocol.
func (p protocol) SendError(id []byte, err error) { p.c.SendError(id, err) }
