package native

import (
	"weir/internal/ratelimit"
	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/session"
)

// speaker is a session that speaks the relay's own protocol, over a WebSocket or as an event stream.
type speaker struct {
	session.Session

	// Set once.
	server *Server
	stream *stream // nil: it is a WebSocket

	// Owned by who has the turn.
	rates *nsBucket // publications by namespace
	out   []byte    // frames of replies to the message being handled
}

var _ session.Protocol = (*speaker)(nil)

// nsBucket limits the publications of a session to one namespace.
type nsBucket struct {
	ns *hub.Namespace
	ratelimit.Bucket
	next *nsBucket
}

// frame makes a message of the relay's own ready for the session's socket.
func (s *speaker) frame(event string, payload []byte) []byte {
	b := hub.EncodePayload(s.Encoding(), event, payload)
	if s.stream != nil {
		b = s.piece(append(b, '\n'))
	}
	return b
}

// appendFrame is frame for what payload appends, behind dst.
func (s *speaker) appendFrame(dst []byte, event string, payload func(dst []byte) []byte) []byte {
	if s.stream != nil || hub.Deflates(s.Encoding()) {
		return append(dst, s.frame(event, payload(nil))...)
	}
	from := len(dst)
	return wire.EndText(payload(wire.BeginText(dst)), from)
}

// piece is events of a stream as its body carries them.
func (s *speaker) piece(events []byte) []byte {
	if s.Encoding() == hub.ChunkedSSE {
		return hub.Chunk(events)
	}
	return events
}

// Limit implements session.Protocol.
func (s *speaker) Limit() int { return int(s.server.hub.Config.Limit.Message) }

// CloseFrame implements session.Protocol: a close frame, or when the client of an event stream may come back.
func (s *speaker) CloseFrame(why session.Closing) []byte {
	if s.stream == nil {
		return wire.CloseFrame(why.Code, why.Reason)
	}
	b := s.piece(lastEvents(why))
	if s.Encoding() == hub.ChunkedSSE {
		b = append(b, hub.LastChunk...)
	}
	return b
}

// Leave implements session.Protocol.
func (*speaker) Leave() []func(then func()) { return nil }

// Gone implements session.Protocol.
func (*speaker) Gone(bool) {}

// Closed implements session.Protocol.
func (s *speaker) Closed() {
	if s.stream != nil && s.stream.open != nil {
		s.stream.open.Add(-1)
	}
}

// answer is a reply with further members, each ending in nothing and beginning with a comma. It has room for the header of a frame.
func answer(kind string, id, more []byte) []byte {
	b := append(make([]byte, 0, 30+wire.MaxHeader+len(id)+len(more)), `{"type":"`...)
	b = append(b, kind...)
	b = append(b, '"')
	if len(id) > 0 {
		b = append(append(b, `,"id":`...), id...)
	}
	b = append(b, more...)
	return append(b, '}')
}

// Pong is the answer to a ping. id is the ping's; nil: it has none.
func Pong(id []byte) []byte { return answer("pong", id, nil) }
