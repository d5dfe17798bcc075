package pool

import (
	"errors"
	"math"
	"net"
	"sync"
	"syscall"
	"time"
)

// ErrClosed is returned for a connection whose output has ended.
var ErrClosed = errors.New("connection closed")

// ErrSlow is returned when the queue of a connection is full.
var ErrSlow = errors.New("connection does not read")

// state of a connection's output; it only grows.
type state uint8

const (
	live     state = iota
	shutting       // the last bytes are queued or sent; nothing more is taken
	dead           // the net.Conn is closed
)

// Conn is a live connection: what is written to it, and its place in the shard. Reading is its owner's.
type Conn struct {
	// Set once by Open.
	shard  *Shard
	owner  Owner
	nc     net.Conn
	fd     int             // -1: off the raw path
	rc     syscall.RawConn // of fd; nil off the raw path
	order  uint32
	enc    Encoding
	tailed bool

	// Owned by the shard's loop.
	part        uint8
	gone        bool // removed
	place       int32
	head, tail  int32 // what is due: indexes into Shard.nodes, plus one
	memberships []membership
	lags        []*slot // topics of which frames were dropped

	// Guarded by mu.
	mu       sync.Mutex
	state    state
	awaiting bool   // Owner.Readable is due
	watched  bool   // in the poller's set
	queue    *queue // nil: nothing waits
}

// Open adds a connection; shards take turns. With tailed, Owner.Tail is
// called after each frame of a topic. The connection must be ended with Remove.
func (p *Pool) Open(nc net.Conn, enc Encoding, tailed bool, owner Owner) *Conn {
	n := p.order.Add(1)
	c := &Conn{shard: p.shards[int(n)%len(p.shards)], owner: owner, nc: nc, order: n, enc: enc, tailed: tailed}
	c.fd, c.rc = rawDescriptor(nc)
	c.shard.post(mail{kind: openMail, conn: c})
	return c
}

// Join subscribes c to t from a position on, sends b, its answer, before anything later, and then calls
// then on the shard's loop. See Topic for the lock it must be called under. A connection that has joined
// a topic must leave it before it joins it again.
func (c *Conn) Join(t *Topic, from uint64, b []byte, then func()) {
	sl := t.slotFor(c.shard.index)
	sl.joined.Add(1)
	t.takers[c.enc].Add(1)
	c.shard.post(mail{kind: joinMail, conn: c, slot: sl, seq: from, frame: reply(c.enc, b), then: then})
}

// Rejoin makes a connection that has joined start over at a position, after Owner.Resync.
func (c *Conn) Rejoin(t *Topic, from uint64, b []byte) {
	c.shard.post(mail{kind: rejoinMail, conn: c, slot: t.slotFor(c.shard.index), seq: from, frame: reply(c.enc, b)})
}

// Leave ends the subscription after everything up to a position has been sent, then sends b and calls
// then on the shard's loop.
func (c *Conn) Leave(t *Topic, until uint64, b []byte, then func()) {
	c.shard.post(mail{kind: waitMail, leave: true, conn: c, slot: t.slotFor(c.shard.index), seq: until, frame: reply(c.enc, b), then: then})
}

// After sends b, if there is any, after everything of t up to a position has been sent.
func (c *Conn) After(t *Topic, until uint64, b []byte) {
	c.shard.post(mail{kind: waitMail, conn: c, slot: t.slotFor(c.shard.index), seq: until, frame: reply(c.enc, b)})
}

// Reply sends b in turn with what was posted before, and then calls then on the shard's loop.
func (c *Conn) Reply(b []byte, then func()) {
	c.shard.post(mail{kind: replyMail, conn: c, frame: reply(c.enc, b), then: then})
}

// Shut sends b as the last bytes, after everything posted before, and closes the sending side. The
// peer then has Config.Linger to close its own. With drop, what waits in the queue is given up, for a
// peer that does not read. The owner still calls Remove.
func (c *Conn) Shut(b []byte, drop bool) {
	c.shard.post(mail{kind: shutMail, conn: c, frame: reply(c.enc, b), drop: drop})
}

// Send writes b now, or queues it. The bytes belong to the connection from then on. It does not block.
// Errors: ErrClosed, ErrSlow.
func (c *Conn) Send(b []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != live {
		return ErrClosed
	}
	if c.fd >= 0 && c.queue == nil {
		n, err := send(c.fd, b)
		c.shard.count(n)
		if n < len(b) {
			c.keep(b[n:], err)
		}
		return nil
	}
	if !c.enqueue(item{b: b}) {
		return ErrSlow
	}
	c.startFlusher()
	return nil
}

// Remove closes the connection and takes it out of its shard and topics; then is called on the shard's
// loop after that. Idempotent but for then.
func (c *Conn) Remove(then func()) {
	c.abort()
	c.shard.post(mail{kind: removeMail, conn: c, then: then})
}

// Abort closes the connection at once; reads from it fail.
func (c *Conn) Abort() { c.abort() }

// abort closes the net.Conn once.
func (c *Conn) abort() {
	c.mu.Lock()
	c.kill()
	c.mu.Unlock()
}

// kill ends the output and closes the net.Conn. No send follows it: they check the state under the same
// lock, so that a descriptor number that the kernel hands out again is never written to. The caller
// holds c.mu.
func (c *Conn) kill() {
	if c.state == dead {
		return
	}
	c.state = dead
	if c.queue != nil {
		c.shard.pool.queued.Add(int64(-c.queue.bytes))
		c.shard.pool.stalled.Add(-1)
		c.queue = nil
	}
	if c.watched {
		c.shard.pool.poller.forget(c)
	}
	if c.awaiting {
		c.awaiting = false
		c.owner.Readable()
	}
	if c.fd >= 0 {
		_ = c.nc.Close() // it is of no use any more, whatever it answers
		return
	}
	// TLS says goodbye and may wait for that: not under a lock, not on a loop. It ends by itself.
	c.shard.pool.flushers.Go(func() { _ = c.nc.Close() })
}

// find is the index of c's membership in a slot, the one that is leaving or the one that is not; -1 if
// there is none.
func (c *Conn) find(sl *slot, leaving bool) int {
	for i := range c.memberships {
		m := c.memberships[i]
		if m.slot == sl && (sl.subs[m.at].until != math.MaxUint64) == leaving {
			return i
		}
	}
	return -1
}

// halfClose ends the sending side and gives the peer Linger to end its own: closing outright would
// reset the connection and could take the last bytes with it. The caller holds c.mu.
func (c *Conn) halfClose() {
	if w, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite() // if it fails the connection is gone and the reader finds out
	}
	linger := c.shard.pool.cfg.Linger
	_ = c.nc.SetReadDeadline(time.Now().Add(linger)) // for an owner that waits in Read
	if c.watched {
		time.AfterFunc(linger, c.abort) // for one that awaits; without effect once the connection is closed
	}
}

// rawDescriptor is the socket of nc if it may be written to with send, else -1. The number stays valid
// until kill closes nc.
func rawDescriptor(nc net.Conn) (int, syscall.RawConn) {
	var tcp *net.TCPConn
	switch nc := nc.(type) {
	case *net.TCPConn:
		tcp = nc
	case interface{ RawSocket() *net.TCPConn }: // a wrapper whose reads and writes are those of its socket
		tcp = nc.RawSocket()
	}
	if tcp == nil || !haveSend {
		return -1, nil
	}
	rc, err := tcp.SyscallConn()
	if err != nil {
		return -1, nil
	}
	fd := -1
	if err := rc.Control(func(n uintptr) { fd = int(n) }); err != nil {
		return -1, nil
	}
	return fd, rc
}
