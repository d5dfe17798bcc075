package tunnel

import (
	"errors"
	"sync/atomic"
	"time"
)

// kindClose is the kind of the message that ends a tunnel. Users have all other kinds.
const kindClose = 0

// Errors of Tunnel.Send.
var (
	ErrFull  = errors.New("limit reached: too much waits in the tunnel to another node")
	errEnded = errors.New("the tunnel has ended")
)

// Handler gets what comes over a tunnel. Its methods are called one at a time. They must not block.
type Handler interface {
	// Received takes a message. data is valid during the call.
	Received(kind byte, data []byte)

	// Ended is called once, after the last message: the other end has closed the tunnel, or is lost.
	Ended()
}

// Tunnel is one end of a tunnel. Its methods may be called from anywhere, and do not block.
type Tunnel struct {
	// Set once.
	id      uint64
	dialed  bool // from here
	handler Handler
	since   time.Time // when it was accepted
	peer    atomic.Pointer[peer]

	// Guarded by peer.mu.
	waiting int           // bytes that were sent and have not arrived
	room    chan struct{} // closed when there may be room, or the tunnel has ended; nil: nobody waits
	begun   bool          // something has come
	over    bool
}

// Send sends a message, of a kind from 1 on. It keeps nothing of data. Errors: ErrFull, errEnded.
func (n *Tunnel) Send(kind byte, data []byte) error {
	p := n.peer.Load()
	if p == nil { // it is just being opened
		return errEnded
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case n.over:
		return errEnded
	case n.waiting > 0 && n.waiting+len(data) > window:
		return ErrFull
	}
	p.append(n, kind, data)
	return nil
}

// Close ends the tunnel, after what was sent before. The Handler gets nothing any more, not even that it has ended.
func (n *Tunnel) Close() {
	p := n.peer.Load()
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !n.over {
		p.append(n, kindClose, nil)
		delete(p.tunnels, name{n.dialed, n.id})
		n.over = true
		n.notify()
	}
}

// vacant returns a channel that is closed when there may be room for more.
func (n *Tunnel) vacant() <-chan struct{} {
	p := n.peer.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	if n.room == nil {
		n.room = make(chan struct{})
		if n.over || n.waiting == 0 {
			defer n.notify()
		}
	}
	return n.room
}

// notify tells who waits for room. Called with peer.mu held.
func (n *Tunnel) notify() {
	if n.room != nil {
		close(n.room)
		n.room = nil
	}
}
