package relay

import (
	"errors"
	"net"
	"slices"
	"syscall"
	"time"

	"weir/relay/hub"
)

// errQuiet ends reading when nothing more has come.
var errQuiet = errors.New("nothing more to read for now")

// socket reads the client's bytes past the guard, and keeps what is not whole yet: of a frame, and of a message in
// fragments. Memory grows with the bytes received, whatever a frame announces, no goroutine waits for the rest, and
// between two messages nothing is kept. It belongs to who has the session's turn.
type socket struct {
	session   *session
	nc        net.Conn
	rest      []byte     // was received already: with the handshake, or behind a frame that is passed over
	held      []byte     // has come past the guard of a frame that is not whole yet
	fragments fragments  // of a message that is not whole yet
	guard     guard      // unused by SSE
	bad       *violation // found by the guard; ends reading
	drained   int32      // bytes thrown away while lingering
	lingering bool       // the conversation is over, the client has not closed yet
	eof       bool       // the client has gone
	clean     bool       // the client has said that it is done
}

// next receives once. It returns the whole frames that have come, which are good until the next call and may alias buf;
// what else has come is held.
func (k *socket) next(buf []byte) (frames []byte, err error) {
	if k.guard.passing() {
		n, err := k.receive(buf)
		k.session.heard.Store(true)
		k.session.relay.hub.Counters.BytesIn.Add(n)
		k.push(buf[k.guard.pass(buf[:n]):n])
		return nil, err
	}
	have := len(k.held)
	if have == 0 {
		n, err := k.receive(buf)
		if err != nil {
			return nil, err
		}
		good, whole := k.pass(buf[:n])
		if whole < good {
			k.held = append(make([]byte, 0, good-whole+k.room(0)), buf[whole:good]...)
		}
		return buf[:whole], nil
	}
	room := k.room(have)
	k.held = slices.Grow(k.held, room)
	n, err := k.receive(k.held[have : have+room])
	if err != nil {
		return nil, err
	}
	good, whole := k.pass(k.held[have : have+n])
	k.held = k.held[:have+good]
	if whole == 0 {
		if k.guard.began { // what was held is its header
			k.held = nil
		}
		return nil, nil
	}
	frames = k.held[:have+whole]
	if k.held = slices.Clone(k.held[have+whole:]); len(k.held) == 0 {
		k.held = nil
	}
	return frames, nil
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
	s.relay.hub.Counters.BytesIn.Add(len(b))
	good, whole, rest, bad := k.guard.feed(b, s.messageLimit(), hub.Deflates(s.enc), s.relay.hub.Config.Limit.Pings)
	k.bad = bad
	k.push(rest)
	return good, whole
}

// push puts bytes back that were received too early.
func (k *socket) push(b []byte) {
	if len(b) > 0 {
		k.rest = append(append(make([]byte, 0, len(b)+len(k.rest)), b...), k.rest...)
	}
}

// receive reads what has come. It does not wait where the connection can be awaited instead.
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
	if err == syscall.EAGAIN { //nolint:errorlint // it is the kernel's, as it comes
		err = errQuiet
	}
	return n, err
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
