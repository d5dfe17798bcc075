package relay

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"weir/internal/wire"
)

// errParked ends the frame parser between two messages when nothing more has come.
var errParked = errors.New("nothing more to read for now")

// socket is the net.Conn that the frame parser is given: it reads the client's bytes past the guard, and
// what it writes of its own accord (only close frames) becomes a close of the session, in order with
// everything else. It belongs to who has the session's turn.
//
// The parser reserves memory for as much as a frame announces. So it gets to see whole frames only; until
// one is there, what has come of it is held here, in memory that grows with the bytes received, and with
// no goroutine waiting for the rest.
type socket struct {
	session   *session
	nc        net.Conn
	rest      []byte     // came with the handshake
	held      []byte     // has come past the guard and is not the parser's yet
	ready     int        // bytes of held that are whole frames
	guard     guard      // unused by SSE
	bad       *violation // found by the guard; ends reading
	drained   int32      // bytes thrown away while lingering
	upgrade   bool       // the parser's own handshake answer is being thrown away
	told      bool       // the parser was told of bad
	parked    bool       // the parser was ended because nothing more had come
	lingering bool       // the conversation is over, the client has not closed yet
	eof       bool       // the client has gone
	clean     bool       // the client has said that it is done
}

// Read implements net.Conn for the parser.
func (k *socket) Read(p []byte) (int, error) {
	for k.ready == 0 {
		switch {
		case k.bad != nil:
			k.told, k.held = true, nil
			return 0, k.bad
		case k.guard.over && k.guard.left == 0:
			return 0, io.EOF // nobody asks for what stands behind a close frame
		}
		n, err := k.fill(p)
		if err != nil {
			k.eof = !k.parked
			return 0, err
		}
		if n > 0 {
			return n, nil
		}
	}
	n := copy(p, k.held[:k.ready])
	k.ready -= n
	if k.held = k.held[n:]; len(k.held) == 0 {
		k.held = nil
	}
	return n, nil
}

// fill receives once. Whole frames go straight to the parser, into p, if nothing is held, and then it
// answers how many bytes; what else has come is held.
func (k *socket) fill(p []byte) (int, error) {
	if len(k.held) == 0 {
		n, err := k.receive(p)
		if err != nil {
			return 0, err
		}
		good, whole := k.pass(p[:n])
		if whole < good {
			k.held = append(make([]byte, 0, good-whole+k.room(0)), p[whole:good]...)
		}
		return whole, nil
	}
	have := len(k.held)
	room := k.room(have)
	k.held = slices.Grow(k.held, room)
	n, err := k.receive(k.held[have : have+room])
	if err != nil {
		return 0, err
	}
	good, whole := k.pass(k.held[have : have+n])
	k.held = k.held[:have+good]
	if whole > 0 {
		k.ready = have + whole
	}
	return 0, nil
}

// room is how many bytes more to make room for, when some are held already: so many again, so that it
// grows with what has come, or a little at first, and no more than are missing.
func (k *socket) room(have int) int {
	n := max(have, firstRoom)
	if k.guard.left > 0 {
		n = int(min(uint64(n), k.guard.left))
	}
	return n
}

// firstRoom is how much is held at first of a frame that does not fit into one read.
const firstRoom = 2 << 10

// pass shows bytes to the guard. It answers how many are good and how many of those are whole frames.
func (k *socket) pass(b []byte) (good, whole int) {
	s := k.session
	s.heard.Store(true)
	s.relay.metrics.bytesIn.Add(len(b))
	good, whole, k.bad = k.guard.feed(b, s.messageLimit(), deflates(s.enc), s.relay.cfg.Limit.Pings)
	return good, whole
}

// Write implements net.Conn for the parser, which writes its answer to the handshake, replaced by the
// relay's own, and close frames.
func (k *socket) Write(p []byte) (int, error) {
	if k.upgrade || k.parked || k.eof || len(p) < 2 || p[0]&0x0f != wire.OpClose {
		return len(p), nil
	}
	why := closing{code: wire.CloseNormal}
	if len(p) >= 4 {
		why.code = int(binary.BigEndian.Uint16(p[2:]))
		why.reason = string(p[4:])
	}
	switch {
	case k.told:
		why = closing{code: k.bad.code, reason: k.bad.reason}
	case k.session.ending.Load():
		return len(p), nil
	case why.code == wire.CloseInternal && strings.Contains(why.reason, "too large"): // inflates to too much
		why = closing{code: wire.CloseTooBig, reason: "message is too big"}
	case why.code == wire.CloseInternal:
		why = closing{code: wire.CloseBadUTF8, reason: "message does not inflate"}
	case why.code == wire.CloseBadUTF8:
		why.reason = "text is not UTF-8"
	default:
		why.reason = strings.TrimPrefix(why.reason, "gws: ")
	}
	k.session.end(why)
	return len(p), nil
}

// Close implements net.Conn for the parser. Closing is the session's.
func (k *socket) Close() error { return nil }

// receive reads what has come. Between two messages it does not wait where the connection can be awaited
// instead; inside one the parser can not be ended, since it keeps the fragments.
func (k *socket) receive(p []byte) (int, error) {
	if len(k.rest) > 0 {
		n := copy(p, k.rest)
		if k.rest = k.rest[n:]; len(k.rest) == 0 {
			k.rest = nil
		}
		return n, nil
	}
	c := k.session.conn
	if !c.Awaitable() {
		return k.nc.Read(p)
	}
	n, err := c.TryRead(p)
	if err != syscall.EAGAIN { //nolint:errorlint // it is the kernel's, as it comes
		return n, err
	}
	if !k.guard.open {
		k.parked = true
		return 0, errParked
	}
	return k.nc.Read(p)
}

// maxLinger is how much is read and thrown away at once of a client that was told to go, or that has
// nothing to say. After that it is let pile up: lingerPause lies between two looks at it.
const (
	maxLinger   = 4 << 20
	lingerPause = 50 * time.Millisecond
)

// discard throws away what comes: after a close, because closing our side before the client has closed its
// own would reset the connection and could take the last bytes with it (the time for that is set when
// those are sent); on an event stream, because the client has nothing to say. It answers whether the
// client has gone, and if not, whether to come back later although more may have come.
func (k *socket) discard() (gone, later bool) {
	c := k.session.conn
	var buf []byte
	if c.Awaitable() {
		whole := readBuffers.Get().(*[4 << 10]byte)
		defer readBuffers.Put(whole)
		buf = whole[:]
	} else {
		buf = make([]byte, 512) // a small one: it is kept while nothing comes
	}
	for !k.eof {
		n, err := 0, error(nil)
		if c.Awaitable() {
			if n, err = c.TryRead(buf); err == syscall.EAGAIN { //nolint:errorlint // as above
				return false, false
			}
		} else {
			n, err = k.nc.Read(buf)
		}
		k.eof = err != nil
		if k.drained < maxLinger {
			k.drained += int32(n)
		} else if !k.eof {
			return !k.session.ending.Load(), true // no event stream's client has so much to say
		}
	}
	return true, false
}

// LocalAddr implements net.Conn.
func (k *socket) LocalAddr() net.Addr { return k.nc.LocalAddr() }

// RemoteAddr implements net.Conn.
func (k *socket) RemoteAddr() net.Addr { return k.nc.RemoteAddr() }

// SetDeadline implements net.Conn; deadlines are the pool's.
func (k *socket) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (k *socket) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (k *socket) SetWriteDeadline(time.Time) error { return nil }
