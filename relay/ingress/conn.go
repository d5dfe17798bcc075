package ingress

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"weir/internal/rawsock"
	"weir/relay/auth"
	"weir/relay/websocket"
)

// Conn is a connection that was let in. Closing it lets the next one in.
//
// On Linux, and without TLS, it is a descriptor and nothing more until the HTTP server takes it.
//
// How long its peer may take for what it is at is watched by the reaper and not with deadlines: three of them a
// request cost more than publishing.
type Conn struct {
	// Set once by the listener.
	listener *listener
	peer     netip.AddrPort
	counted  bool // in the relay's addresses

	// Owned by the goroutine that serves its requests. Changed under the reaper's mu, too.
	fd     int    // while stream is nil
	stream stream // what the HTTP server reads and writes

	// Owned by the goroutine that serves its requests.
	key   auth.Memo  // the API key that it has shown
	host  string     // the last Host that was found to be good
	state *loopState // at an event loop, and until what was read there has been read again; loop or nil
	loop  loopState

	// Atomic.
	dry    atomic.Bool
	left   atomic.Bool
	known  atomic.Bool   // an API key was shown on it
	atLoop atomic.Bool   // waits at an event loop
	phase  atomic.Uint32 // what it is at; above phaseBits a count of the changes. Only exchanged: the idle reaper changes it, too

	// Owned by the reaper, and guarded by its mu.
	previous, next *Conn
	seen           uint32    // phase at the last look
	since          time.Time // when that was new
}

// stream is a connection that may be waited for: a net.TCPConn, or an os.File of a socket.
type stream interface {
	syscall.Conn
	Read(p []byte) (int, error)
	Write(p []byte) (int, error)
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
	Close() error
}

// loopState is what only connections at an event loop need, and those who come from one: sessions do not.
type loopState struct {
	fd          int
	held        []byte          // has come and is not answered yet
	replies     *pendingReplies // what is owed; nil: nothing
	blocked     blockedOn
	readsPaused bool   // is not in the event loop's set
	last        bool   // leaves when nothing is owed
	unsent      []byte // behind the event loop: is to be sent before anything is read
	rest        []byte // behind the event loop: was read there
}

// blockedOn says why nothing is read from a connection at an event loop.
type blockedOn uint8

const (
	nothing     blockedOn = iota
	replies               // its next request comes when nothing is owed to it
	channelLoad           // the channel of its next request is being loaded
	loopFull              // its next request comes when the event loop owes less
)

// The phases of a connection.
const (
	arriving  = iota // nothing was asked yet
	reading          // a request has begun
	answering        // it is being answered
	writing          // the answer is on its way
	waiting          // for the next request
	expired          // it took too long: nothing that comes is served any more

	claimed   = 8 // beside a phase: what has come is being read, and the reaper keeps away
	phaseBits = 4
	phaseMask = claimed - 1
)

// setPhase changes the phase, and ends a claim. Called by the goroutine that serves the connection's requests only. It returns
// false for a connection that has expired: its request is not to be served, since it would not be answered.
func (g *Conn) setPhase(phase uint32) bool {
	for {
		before := g.phase.Load()
		if before&phaseMask == expired {
			return false
		}
		if g.phase.CompareAndSwap(before, (before>>phaseBits+1)<<phaseBits|phase) {
			return true
		}
	}
}

// at is the phase.
func (g *Conn) at() uint32 { return g.phase.Load() & phaseMask }

// claim keeps the reaper away while what has come is read and served, without changing the phase: time goes on for who sends a
// byte now and then. It returns false for a connection that has expired.
func (g *Conn) claim() bool {
	before := g.phase.Load()
	return before&phaseMask != expired && g.phase.CompareAndSwap(before, before|claimed) // only the reaper may have been faster
}

// unclaim ends a claim, if there still is one.
func (g *Conn) unclaim() {
	if before := g.phase.Load(); before&claimed != 0 {
		g.phase.Store(before &^ claimed)
	}
}

// errDry is what a connection answers while only what was read ahead is wanted. It is a passing error, or TLS
// would remember it.
type errDry struct{}

func (errDry) Error() string   { return "nothing was read ahead" }
func (errDry) Timeout() bool   { return true }
func (errDry) Temporary() bool { return true }

// Read implements net.Conn.
func (g *Conn) Read(p []byte) (int, error) {
	if s := g.state; s != nil {
		if len(s.unsent) > 0 {
			b := s.unsent
			s.unsent = nil
			if _, err := g.Write(b); err != nil {
				return 0, err
			}
		}
		n := copy(p, s.rest)
		if s.rest = s.rest[n:]; len(s.rest) == 0 {
			g.state = nil
		}
		if n > 0 {
			if g.at() == waiting {
				g.setPhase(reading)
			}
			return n, nil
		}
	}
	if g.dry.Load() {
		return 0, errDry{}
	}
	if g.stream == nil {
		return 0, net.ErrClosed
	}
	n, err := g.stream.Read(p)
	if n > 0 && g.at() == waiting {
		g.setPhase(reading)
	}
	return n, asNet(err)
}

// Write implements net.Conn. At an event loop it does not wait: what the socket has no room for is an error.
func (g *Conn) Write(p []byte) (n int, err error) {
	if g.stream == nil {
		if g.left.Load() {
			return 0, net.ErrClosed
		}
		return rawsock.Send(g.fd, p)
	}
	g.setPhase(writing)
	n, err = g.stream.Write(p)
	g.setPhase(waiting)
	return n, asNet(err)
}

// asNet is an error of a stream as package net has it.
func asNet(err error) error {
	if path, ok := err.(*fs.PathError); ok { //nolint:errorlint // of an os.File, as it comes
		err = path.Err
	}
	if errors.Is(err, os.ErrClosed) {
		err = net.ErrClosed
	}
	return err
}

// LocalAddr implements net.Conn.
func (g *Conn) LocalAddr() net.Addr {
	if tcp, ok := g.stream.(*net.TCPConn); ok {
		return tcp.LocalAddr()
	}
	at := netip.AddrPort{}
	_ = g.control(func(fd int) error {
		at = rawsock.Local(fd)
		return nil
	})
	return net.TCPAddrFromAddrPort(at)
}

// RemoteAddr implements net.Conn.
func (g *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(g.peer) }

// SetDeadline implements net.Conn. At an event loop nothing is waited for.
func (g *Conn) SetDeadline(t time.Time) error {
	if g.stream == nil {
		return nil
	}
	return g.stream.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (g *Conn) SetReadDeadline(t time.Time) error {
	if g.stream == nil {
		return nil
	}
	return g.stream.SetReadDeadline(t)
}

// SetWriteDeadline implements net.Conn.
func (g *Conn) SetWriteDeadline(t time.Time) error {
	if g.stream == nil {
		return nil
	}
	return g.stream.SetWriteDeadline(t)
}

// CloseWrite ends the sending side.
func (g *Conn) CloseWrite() error {
	if tcp, ok := g.stream.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return g.control(func(fd int) error {
		rawsock.Shutdown(fd)
		return nil
	})
}

// SetWriteBuffer asks the system for a buffer of so many bytes.
func (g *Conn) SetWriteBuffer(bytes int) error {
	return g.control(func(fd int) error { return rawsock.SetSendBuffer(fd, bytes) })
}

// control calls f with the descriptor. Errors: the connection is closed.
func (g *Conn) control(f func(fd int) error) error {
	g.listener.reaper.mu.Lock() // promote
	stream := g.stream
	g.listener.reaper.mu.Unlock()
	switch {
	case stream != nil:
		return rawsock.Control(stream, f)
	case g.left.Load():
		return net.ErrClosed
	}
	return f(g.fd)
}

// promote makes a descriptor what the HTTP server can wait for.
func (g *Conn) promote() {
	g.listener.reaper.mu.Lock()
	defer g.listener.reaper.mu.Unlock()
	if g.stream == nil {
		g.stream = rawsock.Stream(g.fd, "connection")
	}
}

// Close implements net.Conn.
func (g *Conn) Close() error {
	first := !g.left.Swap(true)
	if first {
		g.listener.reaper.remove(g)
		g.listener.gone(g.counted, g.peer.Addr())
	}
	switch {
	case g.stream != nil:
		return g.stream.Close()
	case first: // the reaper does not know it any more
		rawsock.Close(g.fd)
	}
	return nil
}

// expire ends a connection that takes too long: what serves it sees that, and closes it. An event loop would not see
// that a descriptor was closed, which leaves its set without a word. Called with the reaper's mu held.
func (g *Conn) expire() {
	if g.stream == nil {
		rawsock.End(g.fd)
		return
	}
	_ = g.stream.Close()
}

// Detach gives the pool the descriptor of a connection that was upgraded, and what closes it. The reaper does not know the
// connection any more. Errors: it is closed, or cannot be had.
func (g *Conn) Detach() (fd int, end func(fd int), err error) {
	fd = g.fd
	if g.stream != nil {
		if fd, err = rawsock.Take(g.stream); err != nil {
			return -1, nil, err
		}
	}
	if g.left.Swap(true) {
		if g.stream != nil {
			rawsock.Close(fd)
		}
		return -1, nil, net.ErrClosed
	}
	if g.counted {
		listener, peer := g.listener, g.peer.Addr()
		return fd, func(fd int) { listener.closeUpgraded(fd, true, peer) }, nil
	}
	return fd, g.listener.end, nil
}

// closeUpgraded closes a connection that was upgraded.
func (d *listener) closeUpgraded(fd int, counted bool, peer netip.Addr) {
	d.gone(counted, peer)
	rawsock.Close(fd)
}

// ConnOf is the connection that a connection of the server stands on; nil for those of tests in memory.
func ConnOf(nc net.Conn) *Conn {
	for {
		switch c := nc.(type) {
		case *Conn:
			return c
		case interface{ NetConn() net.Conn }: // TLS, and what the HTTP server serves
			nc = c.NetConn()
		default:
			return nil
		}
	}
}

// Upgraded takes the connection over from the HTTP server, whose view of it c is, with what that has read beyond the
// request: a client may send its first frame right behind the handshake. From then on its user looks after it.
func (g *Conn) Upgraded(c net.Conn) []byte {
	g.listener.reaper.remove(g)
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
