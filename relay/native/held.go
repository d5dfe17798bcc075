package native

import (
	"weir/broker"
	"weir/internal/wire"
	"weir/relay/session"
)

// Held implements session.Protocol: it carries out a command beside the turn. Publications are answered when they are safe.
func (s *speaker) Held(h *session.Held, b *session.Beside) {
	var c wire.Command
	_ = c.Parse(h.Message) // as in the turn, where it was good
	switch c.Type {
	case "publish":
		receipt, err := s.submit(&c, h.Since, b.How)
		b.Await(c.ID, receipt, b.Noted(err))
		return
	case "message", "event":
	default:
		if b.Ended {
			return // nobody is there for the answer
		}
	}
	b.Settle()
	payload, err := s.run(&c, h.Since, b.How)
	if err = b.Noted(err); h.Named && err != nil {
		s.without(denial{c.Channel, s.told(err)})
		return
	}
	s.tell(c.ID, payload, err)
}

// Published implements session.Protocol.
func (s *speaker) Published(id []byte, at broker.Position, err error) {
	s.tell(id, published(id, at), err)
}

// tell sends the answer to a command that was waited for, if it has one.
func (s *speaker) tell(id, payload []byte, err error) {
	if err != nil {
		payload = s.Failure(id, err)
	}
	if payload != nil {
		s.Deliver(append(wire.AppendHeader(make([]byte, 0, len(payload)+10), wire.OpText, false, len(payload)), payload...))
	}
}
