package websocket

import (
	"encoding/binary"
	"time"

	"weir/internal/ratelimit"
	"weir/internal/units"
	"weir/internal/wire"
)

// maxEmpty bounds the empty fragments of one message, which cost the sender nothing. Others are bounded by the bytes of
// the message.
const maxEmpty = 1024

// protocolError is a breach of the WebSocket protocol or of a limit; it closes the connection.
type protocolError struct {
	code   int
	reason string
}

func (v *protocolError) Error() string { return v.reason }

// frameCheck watches the frame headers of one client, ahead of those who handle frames, who trust what it has let pass. It
// follows RFC 6455, sections 5.2 to 5.5, and RFC 7692, section 6. It belongs to the reader.
type frameCheck struct {
	head    [14]byte         // of the frame that is being read
	have    int8             // bytes of it
	headed  int8             // length of the present frame's header
	binary  bool             // binary messages are welcome; set once
	skips   bool             // messages that are too large are passed over; set once. Without it they are errors
	open    bool             // a message has begun and its last frame has not come
	data    bool             // the present frame is of a message
	began   bool             // the last feed has stopped at a frame that is to be passed over
	skim    *skim            // of the present message, if it is too large
	empty   int16            // fragments of the message so far
	size    int              // of the message so far
	left    uint64           // payload bytes of the frame still to come
	over    bool             // a close frame has come, or its header; what stands behind it means nothing
	at      int              // bytes of the present frame's payload that were passed over
	control ratelimit.Bucket // pings and pongs
}

// rested reports whether nothing has come of a frame or a message that is not whole.
func (g *frameCheck) rested() bool {
	return g.have == 0 && g.left == 0 && !g.open && g.skim == nil && !g.over
}

// maxSkipped is the size from which on a message is not even passed over.
const maxSkipped = 16 << 20

// feed looks at bytes as they come. It answers how many of them are good, and how many of
// those are whole frames: up to the end of the last one, which may have begun earlier. The error
// concerns the byte after the good ones. Nothing behind a close frame is good. At a frame that is to be passed over it stops:
// what is left of the bytes behind its header is returned, for pass.
func (g *frameCheck) feed(b []byte, limit int, deflate bool, pings units.Rate) (good, whole int, rest []byte, bad *protocolError) {
	g.began = false
	for i := 0; i < len(b); {
		if g.left > 0 {
			n := min(uint64(len(b)-i), g.left)
			g.left -= n
			i += int(n)
		} else {
			if g.over {
				return whole, whole, nil, nil
			}
			g.head[g.have] = b[i]
			g.have++
			i++
			if int(g.have) < g.headLength() {
				continue
			}
			g.headed, g.have = g.have, 0
			if v := g.check(limit, deflate, pings); v != nil {
				return i - 1, whole, nil, v
			}
			if g.skim != nil && g.data {
				g.began = true
				return whole, whole, b[i:], nil
			}
		}
		if g.left == 0 {
			whole = i
		}
	}
	return len(b), whole, nil, nil
}

// passing says that what comes next is to be passed over.
func (g *frameCheck) passing() bool { return g.skim != nil && g.data && g.left > 0 }

// pass takes in bytes of a frame that is to be passed over. It answers how many they were.
func (g *frameCheck) pass(b []byte) int {
	n := int(min(uint64(len(b)), g.left))
	g.skim.read(b[:n], g.head[g.headed-4:g.headed], g.at)
	g.at += n
	g.left -= uint64(n)
	return n
}

// headLength is how long the header is, as far as the bytes so far tell.
func (g *frameCheck) headLength() int {
	if g.have < 2 {
		return 2
	}
	n := 2
	switch g.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if g.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

// check judges a complete header.
func (g *frameCheck) check(limit int, deflate bool, pings units.Rate) *protocolError {
	fin, rsv, opcode := g.head[0]&0x80 != 0, g.head[0]&0x70, g.head[0]&0x0f
	length := uint64(g.head[1] & 0x7f)
	switch length {
	case 126:
		length = uint64(binary.BigEndian.Uint16(g.head[2:]))
	case 127:
		length = binary.BigEndian.Uint64(g.head[2:])
	}
	g.left, g.at = length, 0
	g.data = opcode < wire.OpClose
	if g.head[1]&0x80 == 0 {
		return &protocolError{wire.CloseProtocol, "frame is not masked"}
	}
	if rsv != 0 && !(rsv == 0x40 && deflate && (opcode == wire.OpText || opcode == wire.OpBinary)) {
		return &protocolError{wire.CloseProtocol, "reserved bit is set"}
	}
	switch opcode {
	case wire.OpClose, wire.OpPing, wire.OpPong:
		return g.checkControl(fin, length, opcode, pings)
	case wire.OpText, wire.OpContinuation:
	case wire.OpBinary:
		if !g.binary {
			return &protocolError{wire.CloseUnsupported, "messages are text"}
		}
	default:
		return &protocolError{wire.CloseProtocol, "unknown opcode"}
	}
	if (opcode == wire.OpContinuation) != g.open {
		return &protocolError{wire.CloseProtocol, "fragments out of order"}
	}
	if !g.open {
		g.size, g.empty = 0, 0
	}
	if length>>63 != 0 {
		return &protocolError{wire.CloseProtocol, "length is negative"}
	}
	if length > uint64(limit-min(g.size, limit)) {
		if !g.skips || length > maxSkipped || g.size+int(length) > max(maxSkipped, limit) {
			return &protocolError{wire.CloseTooBig, "message is too big"}
		}
		if g.skim == nil {
			g.skim = &skim{blind: rsv != 0, late: opcode == wire.OpContinuation}
		}
	}
	g.size += int(length)
	if length == 0 {
		if g.empty++; g.empty > maxEmpty {
			return &protocolError{wire.ClosePolicy, "too many empty fragments"}
		}
	}
	g.open = !fin
	return nil
}

func (g *frameCheck) checkControl(fin bool, length uint64, opcode byte, pings units.Rate) *protocolError {
	if !fin || length > 125 {
		return &protocolError{wire.CloseProtocol, "bad control frame"}
	}
	if opcode != wire.OpClose && !g.control.Take(pings, 2*float64(pings.Count), time.Now()) {
		return &protocolError{wire.ClosePolicy, "too many pings"}
	}
	g.over = opcode == wire.OpClose
	return nil
}
