package relay

import (
	"encoding/binary"
	"errors"
	"sync"
	"unicode/utf8"

	"weir/internal/wire"
)

// Most frames are whole messages of text: such a one needs no parser, which costs more to make than the
// command in it to run. Frames that are fragmented or compressed, and most of those that end something, are
// the parser's all the same; see reader.go.

// readBuffers are what bursts of frames are read into.
var readBuffers = sync.Pool{New: func() any { return new([4 << 10]byte) }}

// burst says how reading has ended.
type burst int

const (
	quiet    burst = iota // nothing more has come
	ended                 // the conversation is over
	unparsed              // what has come next is for the parser
)

// quick handles frames for as long as they are simple. It is called between two messages, with the turn.
func (s *session) quick() burst {
	k := &s.socket
	buffer := readBuffers.Get().(*[4 << 10]byte)
	defer readBuffers.Put(buffer)
	k.parked = false
	for {
		held := k.ready > 0
		frames := k.held[:k.ready]
		if !held {
			if k.bad != nil || k.guard.over && k.guard.left == 0 {
				return unparsed
			}
			n, err := k.fill(buffer[:])
			switch {
			case errors.Is(err, errParked):
				return quiet
			case err != nil:
				k.eof = true
				return ended
			case n == 0:
				continue
			}
			frames = buffer[:n]
		}
		n, how := s.frames(frames)
		switch {
		case held:
			k.ready -= n
			if k.held = k.held[n:]; len(k.held) == 0 {
				k.held = nil
			}
		case n < len(frames):
			k.ready = len(frames) - n
			k.held = append(append(make([]byte, 0, k.ready+len(k.held)), frames[n:]...), k.held...)
		}
		if how != quiet {
			return how
		}
	}
}

// frames handles whole frames, which the guard has found to be good. It answers how many bytes of them it has
// handled, and quiet if that was all.
func (s *session) frames(b []byte) (int, burst) {
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
		end := i + head + int(size)
		const fin = 0x80
		switch b[i] {
		case fin | wire.OpText:
			payload := b[i+head : end]
			unmask(payload, mask)
			if !utf8.Valid(payload) {
				s.end(closing{code: wire.CloseBadUTF8, reason: "text is not UTF-8"})
				return end, ended
			}
			s.relay.metrics.framesIn.Inc()
			s.handle(payload, false)
		case fin | wire.OpPong:
			s.pinged()
		default:
			return i, unparsed
		}
		i = end
	}
	return len(b), quiet
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
