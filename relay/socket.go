package relay

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"time"

	"weir/internal/wire"
)

// socket is the net.Conn that the frame parser is given: it reads the client's bytes past the guard, and
// what it writes of its own accord (only close frames) becomes a close of the session, in order with
// everything else. It belongs to the reader.
type socket struct {
	session *session
	nc      net.Conn
	rest    []byte     // came with the handshake
	guard   guard      // unused by SSE
	bad     *violation // found by the guard; ends reading
	upgrade bool       // the parser's own handshake answer is being thrown away
	eof     bool       // the client has gone
	clean   bool       // the client has said that it is done
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
		if n, err = k.nc.Read(p); err != nil {
			k.eof = true
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
	if k.upgrade || k.eof || len(p) < 2 || p[0]&0x0f != wire.OpClose {
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

// linger reads on until the client has closed its side, so that closing ours does not reset the
// connection before the last bytes have arrived. The time it has is set when they are sent.
func (k *socket) linger(limit time.Duration) {
	if k.eof {
		return
	}
	_ = k.nc.SetReadDeadline(time.Now().Add(limit)) // halfClose shortens it
	_, _ = io.CopyN(io.Discard, k.nc, 4<<20)
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
