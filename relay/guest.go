package relay

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"weir/relay/auth"
	"weir/relay/websocket"
)

// guest is a connection that was let in. Closing it lets the next one in.
//
// How long its peer may take for what it is at is watched by the lobby and not with deadlines: three of them a
// request cost more than publishing.
type guest struct {
	// Set once by the door.
	*net.TCPConn
	door    *door
	address netip.Addr
	counted bool // in the relay's addresses

	// Owned by the goroutine that serves its requests.
	key  auth.Memo // the API key that it has shown
	host string    // the last Host that was found to be good
	seat *seat     // at a desk, and until what was read there has been read again

	// Atomic.
	dry    atomic.Bool
	left   atomic.Bool
	known  atomic.Bool   // an API key was shown on it
	seated atomic.Bool   // waits at a desk
	phase  atomic.Uint32 // what it is at; above phaseBits a count of the changes

	// Owned by the lobby, and guarded by its mu.
	previous, next *guest
	seen           uint32    // phase at the last look
	since          time.Time // when that was new
}

// seat is what only guests at a desk need, and those who come from one: sessions do not.
type seat struct {
	fd     int
	held   []byte // has come and is not answered yet
	tab    *tab   // what is owed; nil: nothing
	pause  pause
	deaf   bool   // is not in the desk's set
	last   bool   // leaves when nothing is owed
	unsent []byte // behind the desk: is to be sent before anything is read
	rest   []byte // behind the desk: was read there
}

// pause says why nothing is read from a guest at a desk.
type pause uint8

const (
	none    pause = iota
	owed          // its next request comes when nothing is owed to it
	loading       // the channel of its next request is being loaded
	full          // its next request comes when the desk owes less
)

// The phases of a guest.
const (
	arriving  = iota // nothing was asked yet
	reading          // a request has begun
	answering        // it is being answered
	writing          // the answer is on its way
	waiting          // for the next request

	phaseBits = 3
)

// at changes the phase. Called by the goroutine that serves the connection's requests only.
func (g *guest) at(phase uint32) {
	before := g.phase.Load()
	g.phase.Store((before>>phaseBits+1)<<phaseBits | phase)
}

// errDry is what a guest answers while only what was read ahead is wanted. It is a passing error, or TLS
// would remember it.
type errDry struct{}

func (errDry) Error() string   { return "nothing was read ahead" }
func (errDry) Timeout() bool   { return true }
func (errDry) Temporary() bool { return true }

// Read implements net.Conn.
func (g *guest) Read(p []byte) (int, error) {
	if s := g.seat; s != nil {
		if len(s.unsent) > 0 {
			b := s.unsent
			s.unsent = nil
			if _, err := g.Write(b); err != nil {
				return 0, err
			}
		}
		n := copy(p, s.rest)
		if s.rest = s.rest[n:]; len(s.rest) == 0 {
			g.seat = nil
		}
		if n > 0 {
			if g.phase.Load()&(1<<phaseBits-1) == waiting {
				g.at(reading)
			}
			return n, nil
		}
	}
	if g.dry.Load() {
		return 0, errDry{}
	}
	n, err := g.TCPConn.Read(p)
	if n > 0 && g.phase.Load()&(1<<phaseBits-1) == waiting {
		g.at(reading)
	}
	return n, err
}

// Write implements net.Conn.
func (g *guest) Write(p []byte) (int, error) {
	g.at(writing)
	n, err := g.TCPConn.Write(p)
	g.at(waiting)
	return n, err
}

// Close implements net.Conn.
func (g *guest) Close() error {
	if !g.left.Swap(true) {
		g.door.lobby.leave(g)
		g.door.open.Add(-1)
		if g.counted {
			g.door.gate.addresses.give(g.address)
		}
	}
	return g.TCPConn.Close()
}

// dismiss ends a guest that takes too long: whoever serves it sees that, and closes it. A desk would not see
// that a descriptor was closed, which leaves its set without a word.
func (g *guest) dismiss() {
	if g.seated.Load() {
		_ = g.CloseRead()
		_ = g.CloseWrite()
		return
	}
	_ = g.TCPConn.Close()
}

// RawSocket is for the pool, which writes to the socket itself.
func (g *guest) RawSocket() *net.TCPConn { return g.TCPConn }

// guestOf is the guest that a connection of the server stands on; nil for those of tests in memory.
func guestOf(nc net.Conn) *guest {
	if g, ok := nc.(*guest); ok {
		return g
	}
	if t, ok := nc.(interface{ NetConn() net.Conn }); ok { // TLS
		nc = t.NetConn()
	}
	g, _ := nc.(*guest)
	return g
}

// upgraded takes the connection over from the HTTP server, whose view of it c is, with what that has read beyond the
// request: a client may send its first frame right behind the handshake. From then on its user looks after it.
func (g *guest) upgraded(c net.Conn) []byte {
	g.door.lobby.leave(g)
	g.dry.Store(true)
	defer g.dry.Store(false)
	var rest []byte
	buf := websocket.ReadBuffers.Get().(*[4 << 10]byte)
	defer websocket.ReadBuffers.Put(buf)
	for {
		n, err := c.Read(buf[:])
		rest = append(rest, buf[:n]...)
		if err != nil || n == 0 {
			return rest
		}
	}
}
