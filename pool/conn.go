package pool

import (
	"errors"
	"net"
	"sync"
)

// ErrClosed is returned for a connection whose output has ended.
var ErrClosed = errors.New("connection closed")

// ErrSlow is returned when the queue of a connection is full.
var ErrSlow = errors.New("connection does not read")

// Conn is a live connection: what is written to it, and its place in the shard. Reading is its owner's.
type Conn struct {
	// Set once by Open.
	shard    *Shard
	owner    Owner
	end      any   // closes fd, a func(fd int); off the raw path a net.Conn
	fd       int32 // of the socket; used under mu only, until it is dead. -1: off the raw path
	order    uint32
	enc      Encoding
	tailed   bool
	features Features // see Know; set before the first Join

	// Guarded by mu. They stand here, where there is room.
	state    state
	awaiting bool // Owner.Readable is due
	watched  bool // in the poller's set
	closed   bool // end has been closed
	mu       sync.Mutex
	queue    *queue // nil: nothing waits

	// Owned by the shard's loop.
	part          uint8
	heartbeatSent bool // Owner.Heartbeat was called
	gone          bool // removed
	place         int32
	head, tail    int32 // what is due: indexes into Shard.nodes, plus one
	override      int32 // index into Frame.Overrides plus one, or alternate, while that frame is gathered
	waits         int32 // in all slots
	memberships   []membership
	first         [1]membership // of most connections, all of them
	lags          *[]*slot      // slots of which frames were dropped: Owner.Resync is due, or Rejoin; nil: none, as of most
}

// Open adds a connection; shards take turns. With tailed, Owner.Tail is called for each frame of a topic.
// The connection must be ended with Remove, and from now on only the pool writes to nc, sets its write
// deadline and closes it. A TCP connection, or one with a method Detach, is not even read any more: its socket is taken
// over, and read with TryRead. In a pool that is closed the connection is closed at once.
func (p *Pool) Open(nc net.Conn, enc Encoding, tailed bool, owner Owner) *Conn {
	c := new(Conn)
	p.OpenIn(c, nc, enc, tailed, owner)
	return c
}

// OpenIn is Open for an owner that has room for the connection, which is zero.
func (p *Pool) OpenIn(c *Conn, nc net.Conn, enc Encoding, tailed bool, owner Owner) {
	n := p.order.Add(1)
	c.shard, c.owner, c.end, c.fd, c.order, c.enc, c.tailed = p.shards[int(n)%len(p.shards)], owner, nc, -1, n, enc, tailed
	c.memberships = c.first[:0]
	if fd, end, ok := p.detach(nc); ok {
		c.end, c.fd = end, int32(fd)
	}
	if !c.shard.post(mail{kind: openMail, conn: c}) {
		c.Abort()
	}
}

// Know has c get the alternate forms of frames that have some for what it knows. It is called before the first Join.
func (c *Conn) Know(f Features) { c.features = f }

// Knows reports whether c knows all of that.
func (c *Conn) Knows(f Features) bool { return c.features&f == f }

// Join subscribes c to t from a position on, sends b, the reply, before anything later, and then calls then on the
// shard's loop. See Topic for the lock that it needs. A connection that has joined a topic must leave it before it
// joins it again; it need not wait for the reply to that.
func (c *Conn) Join(t *Topic, from uint64, b []byte, then func()) {
	sl := t.slotFor(c.shard.index)
	sl.count(c, 1)
	if !c.shard.post(mail{kind: joinMail, conn: c, slot: sl, seq: from, bytes: b, then: then}) {
		sl.count(c, -1)
	}
}

// Rejoin makes a connection that has joined start over at a position, after Owner.Resync, and sends b.
// Like Join it is called under the lock that orders joins. It does nothing for a connection that has left.
func (c *Conn) Rejoin(t *Topic, from uint64, b []byte) {
	c.shard.post(mail{kind: rejoinMail, conn: c, slot: t.slotFor(c.shard.index), seq: from, bytes: b})
}

// Leave ends the subscription after everything up to a position has been sent, then sends b and calls
// then on the shard's loop.
func (c *Conn) Leave(t *Topic, until uint64, b []byte, then func()) {
	c.shard.post(mail{kind: waitMail, leave: true, conn: c, slot: t.slotFor(c.shard.index), seq: until, bytes: b, then: then})
}

// After sends b, if there is any, after everything of t up to a position has been sent.
func (c *Conn) After(t *Topic, until uint64, b []byte) {
	c.shard.post(mail{kind: waitMail, conn: c, slot: t.slotFor(c.shard.index), seq: until, bytes: b})
}

// Reply sends b in turn with what was posted before, and then calls then on the shard's loop.
func (c *Conn) Reply(b []byte, then func()) {
	c.shard.post(mail{kind: replyMail, conn: c, bytes: b, then: then})
}

// Shut sends b as the last bytes, after everything posted before, and closes the sending side. The
// peer then has Config.Linger to close its own. With drop, what waits in the queue is given up, for a
// peer that does not read. The owner still calls Remove.
func (c *Conn) Shut(b []byte, drop bool) {
	c.shard.post(mail{kind: shutMail, conn: c, bytes: b, drop: drop})
}

// Remove closes the connection and takes it out of its shard and topics; then is called on the shard's
// loop after that. Idempotent but for then.
func (c *Conn) Remove(then func()) {
	c.Abort()
	c.shard.post(mail{kind: removeMail, conn: c, then: then})
}

// Abort closes the connection; reads from it fail. Nothing is sent after Abort has returned.
func (c *Conn) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill()
}

// Stream is the connection off the raw path.
func (c *Conn) Stream() net.Conn { return c.end.(net.Conn) }

// lagging is lags.
func (c *Conn) lagging() []*slot {
	if c.lags == nil {
		return nil
	}
	return *c.lags
}

// setLagging sets lags.
func (c *Conn) setLagging(slots []*slot) {
	if c.lags = nil; len(slots) > 0 {
		c.lags = &slots
	}
}

// find is the index of c's membership in a slot that gets frames up to a position, staying for the one
// that is not leaving; -1 if there is none.
func (c *Conn) find(sl *slot, until uint64) int {
	for i, m := range c.memberships {
		if m.slot == sl && sl.subs[m.at].until == until {
			return i
		}
	}
	return -1
}
