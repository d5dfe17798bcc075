package relay

import (
	"encoding/binary"
	"errors"
	"net"
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
type socket struct {
	session   *session
	nc        net.Conn
	rest      []byte     // came with the handshake
	guard     guard      // unused by SSE
	bad       *violation // found by the guard; ends reading
	drained   int32      // bytes thrown away while lingering
	upgrade   bool       // the parser's own handshake answer is being thrown away
	parked    bool       // the parser was ended because nothing more had come
	lingering bool       // the conversation is over, the client has not closed yet
	eof       bool       // the client has gone
	clean     bool       // the client has said that it is done
}

// Read implements net.Conn for the parser.
func (k *socket) Read(p []byte) (int, error) {
	if k.bad != nil {
		return 0, k.bad
	}
	var n int
	if len(k.rest) > 0 {
		n = copy(p, k.rest)
		if k.rest = k.rest[n:]; len(k.rest) == 0 {
			k.rest = nil
		}
	} else {
		var err error
		if n, err = k.receive(p); err != nil {
			k.eof = !k.parked
			return n, err
		}
	}
	s := k.session
	s.heard.Store(true)
	s.relay.metrics.bytesIn.Add(n)
	good, v := k.guard.feed(p[:n], int(s.relay.cfg.Limit.Message), s.enc == deflateWS, s.relay.cfg.Limit.Pings)
	k.bad = v
	if good == 0 && v != nil {
		return 0, v
	}
	return good, nil
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
	case k.bad != nil:
		why = closing{code: k.bad.code, reason: k.bad.reason}
	case k.session.ending.Load():
		return len(p), nil
	case why.code == wire.CloseInternal: // the parser's word for a message that inflates badly
		why = closing{code: wire.CloseBadUTF8, reason: "message does not inflate"}
		if strings.Contains(why.reason, "too large") {
			why = closing{code: wire.CloseTooBig, reason: "message is too big"}
		}
	}
	k.session.end(why)
	return len(p), nil
}

// Close implements net.Conn for the parser. Closing is the session's.
func (k *socket) Close() error { return nil }

// receive reads from the connection. Between two messages it does not wait where the connection can be
// awaited instead.
func (k *socket) receive(p []byte) (int, error) {
	c := k.session.conn
	if !c.Awaitable() {
		return k.nc.Read(p)
	}
	n, err := c.TryRead(p)
	if err != syscall.EAGAIN { //nolint:errorlint // it is the kernel's, as it comes
		return n, err
	}
	if k.guard.between() {
		k.parked = true
		return 0, errParked
	}
	return k.nc.Read(p)
}

// maxLinger bounds what is read and thrown away of a client that was told to go, or that has nothing to
// say.
const maxLinger = 4 << 20

// discard throws away what comes: after a close, because closing our side before the client has closed its
// own would reset the connection and could take the last bytes with it (the time for that is set when
// those are sent); on an event stream, because the client has nothing to say. It answers whether the
// client has gone.
func (k *socket) discard() bool {
	c := k.session.conn
	var buf [2048]byte
	for !k.eof && k.drained < maxLinger {
		var n int
		var err error
		if c.Awaitable() {
			if n, err = c.TryRead(buf[:]); err == syscall.EAGAIN { //nolint:errorlint // as above
				return false
			}
		} else {
			n, err = k.nc.Read(buf[:])
		}
		k.drained += int32(n)
		k.eof = err != nil
	}
	return true
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
