package websocket

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"weir/internal/ratelimit"
	"weir/internal/units"
	"weir/pool"
	"weir/relay/stats"
)

// Handler takes what a Reader reads. Its methods are called one at a time, by the goroutine that has called Read or
// Discard.
type Handler interface {
	// Message handles a message that is whole, inflated and, if it is text, UTF-8. payload is valid during the call.
	Message(payload []byte, binary bool)

	// TooLarge handles a message that was passed over, since it is larger than the limit: the ids of the commands in it,
	// nil for one without an id, and its size in bytes.
	TooLarge(ids [][]byte, size int)

	// Ping and Pong handle control frames.
	Ping(payload []byte)
	Pong()

	// End closes the connection with a code of RFC 6455, section 7.4, or of the relay's own: the client has said that it
	// is done, or has broken the protocol. It does not wait.
	End(code int, reason string)

	// Ending reports whether a close is under way.
	Ending() bool
}

// Rules are what the readers of one kind of connection share. They do not change.
type Rules struct {
	Limit    int        // bytes of a message
	Pings    units.Rate // pings and pongs of a client
	Counters *stats.Counters
}

// Reader reads the client's bytes past the frame check, and keeps what is not whole yet: of a frame, and of a message in
// fragments. Memory grows with the bytes received, whatever a frame announces, no goroutine waits for the rest, and
// between two messages nothing is kept. But for Heard it belongs to who has the session's turn.
//
// A connection that is not a WebSocket has one, too: for Discard.
type Reader struct {
	// Heard is set when something has come.
	Heard atomic.Bool

	drained int32 // bytes thrown away by Discard. Here, where there is room

	// Set once, by Begin.
	rules   *Rules
	deflate bool
	binary  bool
	skips   bool

	eof      bool             // the client has gone
	clean    bool             // the client has said that it is done
	control  ratelimit.Bucket // pings and pongs, while nothing is partial
	*partial                  // nil unless Read is under way, or something is partial when it has returned
}

// partial is what is known of a frame and of a message that are not whole yet. Few connections have one at any time.
type partial struct {
	handler   Handler        // of Read
	conn      *pool.Conn     // as well
	rest      []byte         // was received already: with the handshake, or behind a frame that is passed over
	held      []byte         // has come past the check of a frame that is not whole yet
	fragments fragments      // of a message that is not whole yet
	check     frameCheck     // unused by Discard
	bad       *protocolError // found by the check; ends reading
}

var partials = sync.Pool{New: func() any { return new(partial) }}

// begin makes room for what may come in parts, and for who takes it.
func (r *Reader) begin(h Handler, conn *pool.Conn) {
	if r.partial == nil {
		r.partial = partials.Get().(*partial)
		r.check.binary, r.check.skips, r.check.control = r.binary, r.skips, r.control
	}
	r.handler, r.conn = h, conn
}

// rested gives that back if nothing is partial.
func (r *Reader) rested() {
	if p := r.partial; len(p.rest) == 0 && len(p.held) == 0 && p.fragments.payload == nil && p.bad == nil && p.check.rested() {
		r.control, r.partial = p.check.control, nil
		*p = partial{}
		partials.Put(p)
	}
}

// forget gives that back in any case: nothing more is read.
func (r *Reader) forget() {
	p := r.partial
	r.partial = nil
	*p = partial{}
	partials.Put(p)
}

// Options say how a connection is read.
type Options struct {
	Rules     *Rules
	Deflate   bool   // permessage-deflate was agreed on
	Binary    bool   // binary messages are welcome
	SkipLarge bool   // a message that is too large is passed over; without it, it ends the connection
	Rest      []byte // has been received behind the handshake
}

// Begin makes a reader ready for a connection. It is called once, before anything else.
func (r *Reader) Begin(o Options) {
	r.rules, r.deflate, r.binary, r.skips = o.Rules, o.Deflate, o.Binary, o.SkipLarge
	if len(o.Rest) > 0 {
		r.begin(nil, nil)
		r.rest = o.Rest
	}
}

// Pending reports whether bytes wait in the reader, which no event of the socket will tell of.
func (r *Reader) Pending() bool { return r.partial != nil && len(r.rest) > 0 }

// Clean reports whether the client has said goodbye with the code 1000.
func (r *Reader) Clean() bool { return r.clean }

// ReadBuffers are what bursts of frames are read into: *[4 << 10]byte.
var ReadBuffers = sync.Pool{New: func() any { return new([4 << 10]byte) }}

// waitBuffer is what is kept to read into of a connection that cannot be awaited: few clients send much, all of them
// pay for it.
const waitBuffer = 128

// errQuiet ends reading when nothing more has come.
var errQuiet = errors.New("nothing more to read for now")

// Read has h handle frames that come over conn, the same ones each time, until nothing more has come: then it returns true, and may be called again when something has.
// It returns false if the conversation has ended; then comes Discard. Whatever is in the middle of a frame or a message
// then is the reader's, so that it does not matter where a client, or the network, makes its pauses.
func (r *Reader) Read(h Handler, conn *pool.Conn) (quiet bool) {
	var buf []byte
	if conn.Awaitable() {
		whole := ReadBuffers.Get().(*[4 << 10]byte)
		defer ReadBuffers.Put(whole)
		buf = whole[:]
	} else {
		buf = make([]byte, waitBuffer)
	}
	r.begin(h, conn)
	for {
		frames, err := r.next(buf)
		switch {
		case errors.Is(err, errQuiet):
			r.rested()
			return true
		case err != nil:
			r.eof = true
			r.forget()
			return false
		case !r.frames(frames):
			return false
		case r.bad != nil:
			r.held = nil
			r.handler.End(r.bad.code, r.bad.reason)
			return false
		}
		if r.check.skim != nil {
			r.passOver()
		}
	}
}

// next receives once. It returns the whole frames that have come, which are good until the next call and may alias buf;
// what else has come is held.
func (r *Reader) next(buf []byte) (frames []byte, err error) {
	if r.check.passing() {
		n, err := r.receive(buf)
		r.Heard.Store(true)
		r.rules.Counters.BytesIn.Add(n)
		r.push(buf[r.check.pass(buf[:n]):n])
		return nil, err
	}
	have := len(r.held)
	if have == 0 {
		n, err := r.receive(buf)
		if err != nil {
			return nil, err
		}
		good, whole := r.pass(buf[:n])
		if whole < good {
			r.held = append(make([]byte, 0, good-whole+r.room(0)), buf[whole:good]...)
		}
		return buf[:whole], nil
	}
	room := r.room(have)
	r.held = slices.Grow(r.held, room)
	n, err := r.receive(r.held[have : have+room])
	if err != nil {
		return nil, err
	}
	good, whole := r.pass(r.held[have : have+n])
	r.held = r.held[:have+good]
	if whole == 0 {
		if r.check.began { // what was held is its header
			r.held = nil
		}
		return nil, nil
	}
	frames = r.held[:have+whole]
	if r.held = slices.Clone(r.held[have+whole:]); len(r.held) == 0 {
		r.held = nil
	}
	return frames, nil
}

// room is how many bytes more to make room for, when some are held already: so many again, so that it
// grows with what has come, or a little at first, and no more than are missing.
func (r *Reader) room(have int) int {
	n := max(have, firstRoom)
	if r.check.left > 0 {
		n = int(min(uint64(n), r.check.left))
	}
	return n
}

// firstRoom is how much is held at first of a frame that does not fit into one read.
const firstRoom = 2 << 10

// pass shows bytes to the frame check. It returns how many are good and how many of those are whole frames.
func (r *Reader) pass(b []byte) (good, whole int) {
	r.Heard.Store(true)
	r.rules.Counters.BytesIn.Add(len(b))
	good, whole, rest, bad := r.check.feed(b, r.rules.Limit, r.deflate, r.rules.Pings)
	r.bad = bad
	r.push(rest)
	return good, whole
}

// push puts bytes back that were received too early.
func (r *Reader) push(b []byte) {
	if len(b) > 0 {
		r.rest = append(append(make([]byte, 0, len(b)+len(r.rest)), b...), r.rest...)
	}
}

// receive reads what has come. It does not wait where the connection can be awaited instead.
func (r *Reader) receive(p []byte) (int, error) {
	if len(r.rest) > 0 {
		n := copy(p, r.rest)
		if r.rest = r.rest[n:]; len(r.rest) == 0 {
			r.rest = nil
		}
		return n, nil
	}
	if !r.conn.Awaitable() {
		return r.conn.Stream().Read(p)
	}
	n, err := r.conn.TryRead(p)
	if err == syscall.EAGAIN { //nolint:errorlint // it is the kernel's, as it comes
		err = errQuiet
	}
	return n, err
}

// maxLinger is how much is read and thrown away at once of a client that was told to go, or that has
// nothing to say. After that it is let pile up: LingerPause lies between two looks at it.
const (
	maxLinger   = 4 << 20
	LingerPause = 50 * time.Millisecond
)

// Discard throws away what comes: after a close, because closing our side before the client has closed its
// own would reset the connection and could take the last bytes with it (the time for that is set when
// those are sent); on an event stream, because the client has nothing to say. It reports whether the
// client has gone, and if not, whether to come back after LingerPause although more may have come.
func (r *Reader) Discard(h Handler, conn *pool.Conn) (gone, later bool) {
	var buf []byte
	if conn.Awaitable() {
		whole := ReadBuffers.Get().(*[4 << 10]byte)
		defer ReadBuffers.Put(whole)
		buf = whole[:]
	} else {
		buf = make([]byte, 512) // a small one: it is kept while nothing comes
	}
	for !r.eof {
		n, err := 0, error(nil)
		if conn.Awaitable() {
			if n, err = conn.TryRead(buf); err == syscall.EAGAIN { //nolint:errorlint // as above
				return false, false
			}
		} else {
			n, err = conn.Stream().Read(buf)
		}
		r.eof = err != nil
		if r.drained < maxLinger {
			r.drained += int32(n)
		} else if !r.eof {
			return !h.Ending(), true // no event stream's client has so much to say
		}
	}
	return true, false
}

// Break has the next Read panic, for tests.
func (r *Reader) Break() { r.rules = nil }
