package websocket

import (
	"encoding/binary"
	"unicode/utf8"

	"weir/internal/wire"
)

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

// frames handles whole frames, which the frame check has found to be good. It returns false if one of them ends the
// conversation.
func (r *Reader) frames(b []byte) bool {
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
			r.handler.Ping(payload)
		case wire.OpPong:
			r.handler.Pong()
		case wire.OpClose:
			r.closed(payload)
			return false
		default:
			if !r.data(first, payload) {
				return false
			}
		}
	}
	return true
}

// data handles a frame of a message. It returns false if that ends the conversation.
func (r *Reader) data(first byte, payload []byte) bool {
	m := &r.fragments
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
		var why *protocolError
		if payload, why = x.inflate(payload, r.rules.Limit); why != nil {
			if k := new(skim); r.check.skips && why.code == wire.CloseTooBig && x.skim(k) {
				r.tooLarge(k, r.rules.Limit+k.size)
				return true
			}
			r.handler.End(why.code, why.reason)
			return false
		}
	}
	binary := m.first&0x0f == wire.OpBinary
	if !binary && !utf8.Valid(payload) {
		r.handler.End(wire.CloseBadUTF8, "text is not UTF-8")
		return false
	}
	r.rules.Counters.FramesIn.Inc()
	r.handler.Message(payload, binary)
	return true
}

// closed handles the client's close frame, and returns its code to it.
func (r *Reader) closed(payload []byte) {
	end, why := wire.CloseNormal, ""
	if len(payload) > 0 {
		code := 0
		if len(payload) > 1 {
			code = int(binary.BigEndian.Uint16(payload))
		}
		r.clean = code == wire.CloseNormal
		switch {
		case !sendableCode(code):
			end, why = wire.CloseProtocol, "bad close code"
		case !utf8.Valid(payload[2:]):
			end, why = wire.CloseBadUTF8, "close reason is not UTF-8"
		case code >= 3000:
			end = code
		}
	}
	r.handler.End(end, why)
}

// sendableCode reports whether a close frame may carry a code: RFC 6455, section 7.4, and what has been registered since.
func sendableCode(code int) bool {
	switch code {
	case 1004, 1005, 1006:
		return false
	}
	return code >= 1000 && code < 1014 || code >= 3000 && code < 5000
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
