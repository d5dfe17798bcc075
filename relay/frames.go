package relay

import (
	"encoding/binary"
	"errors"
	"sync"
	"unicode/utf8"

	"weir/internal/wire"
)

// readBuffers are what bursts of frames are read into.
var readBuffers = sync.Pool{New: func() any { return new([4 << 10]byte) }}

// waitBuffer is what is kept to read into of a connection that cannot be awaited: few clients send much, all of them
// pay for it.
const waitBuffer = 128

// The bits of a frame's first byte that are read here: RFC 6455, section 5.2, and RFC 7692, section 6.
const (
	finBit  = 0x80
	rsv1Bit = 0x40
)

// fragments are what has come of a message. Between two messages there is none.
type fragments struct {
	first   byte   // the first byte of its first frame: opcode, and whether it is compressed
	payload []byte // unmasked
}

// read handles frames until nothing more has come: then it returns true, and may be called again when something has.
// It returns false if the conversation has ended. Whatever is in the middle of a frame or a message then is the
// socket's, so that it does not matter where a client, or the network, makes its pauses.
func (s *session) read() (quiet bool) {
	// A panic costs this connection only.
	defer s.relay.catch(s, func() { s.cut(closing{code: wire.CloseInternal, reason: "internal error"}) })
	var buf []byte
	if s.conn.Awaitable() {
		whole := readBuffers.Get().(*[4 << 10]byte)
		defer readBuffers.Put(whole)
		buf = whole[:]
	} else {
		buf = make([]byte, waitBuffer)
	}
	k := &s.socket
	for {
		frames, err := k.next(buf)
		switch {
		case errors.Is(err, errQuiet):
			return true
		case err != nil:
			k.eof = true
			return false
		case !s.frames(frames):
			return false
		case k.bad != nil:
			k.held = nil
			s.end(closing{code: k.bad.code, reason: k.bad.reason})
			return false
		}
		if k.guard.skim != nil {
			s.passOver()
		}
	}
}

// frames handles whole frames, which the guard has found to be good. It returns false if one of them ends the
// conversation.
func (s *session) frames(b []byte) bool {
	for i := 0; i < len(b); {
		head, size := 2, uint64(b[i+1]&0x7f)
		switch size {
		case 126:
			head, size = 4, uint64(binary.BigEndian.Uint16(b[i+2:]))
		case 127:
			head, size = 10, binary.BigEndian.Uint64(b[i+2:])
		}
		mask := binary.LittleEndian.Uint32(b[i+head:])
		head += 4
		first, end := b[i], i+head+int(size)
		payload := b[i+head : end]
		unmask(payload, mask)
		i = end
		switch first & 0x0f {
		case wire.OpPing:
			if !s.ending.Load() {
				_ = s.conn.Send(wire.AppendFrame(nil, wire.OpPong, payload)) // a client that does not read needs no pong
			}
		case wire.OpPong:
			s.pinged()
		case wire.OpClose:
			s.closed(payload)
			return false
		default:
			if !s.data(first, payload) {
				return false
			}
		}
	}
	return true
}

// data handles a frame of a message. It returns false if that ends the conversation.
func (s *session) data(first byte, payload []byte) bool {
	m := &s.socket.fragments
	opcode := first & 0x0f
	if opcode != wire.OpContinuation {
		m.first = first
	}
	if first&finBit == 0 {
		m.payload = append(m.payload, payload...)
		return true
	}
	if opcode == wire.OpContinuation {
		payload = append(m.payload, payload...)
		m.payload = nil
	}
	if m.first&rsv1Bit != 0 {
		x := inflaters.Get().(*inflater)
		defer inflaters.Put(x)
		var why *violation
		if payload, why = x.inflate(payload, s.messageLimit()); why != nil {
			if k := new(skim); s.socket.guard.skips && why.code == wire.CloseTooBig && x.skim(k) {
				s.passedOver(k, s.messageLimit()+k.size)
				return true
			}
			s.end(closing{code: why.code, reason: why.reason})
			return false
		}
	}
	binary := m.first&0x0f == wire.OpBinary
	if !binary && !utf8.Valid(payload) {
		s.end(closing{code: wire.CloseBadUTF8, reason: "text is not UTF-8"})
		return false
	}
	s.relay.hub.Counters.FramesIn.Inc()
	s.handle(payload, binary)
	return true
}

// closed handles the client's close frame, and returns its code to it.
func (s *session) closed(payload []byte) {
	why := closing{code: wire.CloseNormal}
	if len(payload) > 0 {
		code := 0
		if len(payload) > 1 {
			code = int(binary.BigEndian.Uint16(payload))
		}
		s.socket.clean = code == wire.CloseNormal
		switch {
		case !sendableCode(code):
			why = closing{code: wire.CloseProtocol, reason: "bad close code"}
		case !utf8.Valid(payload[2:]):
			why = closing{code: wire.CloseBadUTF8, reason: "close reason is not UTF-8"}
		case code >= 3000:
			why.code = code
		}
	}
	s.end(why)
}

// sendableCode says whether a close frame may carry a code: RFC 6455, section 7.4, and what has been registered since.
func sendableCode(code int) bool {
	switch code {
	case 1004, 1005, 1006:
		return false
	}
	return code >= 1000 && code < 1014 || code >= 3000 && code < 5000
}

// handle handles one message. A panic costs this connection only.
func (s *session) handle(payload []byte, binary bool) {
	defer s.relay.catch(s, func() { s.end(closing{code: wire.CloseInternal, reason: "internal error"}) })
	if s.live != nil {
		s.liveMessage(payload, binary)
		return
	}
	s.message(payload)
}

// unmask removes the mask of RFC 6455, section 5.3.
func unmask(b []byte, mask uint32) {
	wide := uint64(mask)<<32 | uint64(mask)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(mask >> (8 * (i & 3)))
	}
}
