package route

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"weir/batch"
	"weir/broker"
	"weir/internal/wire"
	"weir/pool"
	"weir/relay/hub"
)

// Group is what clients of routes (see WebSocket) join to get the same messages, in one order, gathered in windows
// like the changes of a channel. It keeps nothing for those who come later. Make it with Routes.NewGroup; it needs
// no closing. Messages that leave together are frames of their own in one write.
type Group struct {
	// Set once by Routes.NewGroup.
	hub        *hub.Hub
	window     *batch.Window
	topic      *pool.Topic
	unmeasured bool // see config.Namespace.Unmeasured

	// Atomic.
	flushed atomic.Uint64 // ordinal of the last message that is on its way to the sockets
	remotes sync.Map      // *Client of other nodes that are or have been members, by connection

	// Guarded by mu, which is taken before a client's lock and the window's.
	mu      sync.Mutex
	ordinal uint64 // of the last message
	members int
}

// GroupMessage is what a group is sent.
type GroupMessage struct {
	Data       []byte // one message: JSON, or anything in binary groups; copied
	Binary     bool   // a binary frame, for clients of a route that is binary
	Group, Key string // with Key: replaces an earlier message of the same name that still waits in the window
	Exclude    string // id of a connection that must not get it
	Accepted   bool   // it is sent however much waits: it was accepted elsewhere
	Answer     []byte // what that connection gets in its place, of the same kind; nil: nothing
}

// The marker byte of a message in the window says what kind of frame it becomes. With markAnswer the length of an
// answer, in four bytes, and the answer stand between it and the message.
const (
	markText   = 1 << iota
	markBinary // else text
	markAnswer
)

// Join makes a client a member. It gets first, if that is not empty, and then every message sent from now
// on. Who must decide what first holds and whom later messages reach in one step holds their own lock
// around Join and Send.
func (m *Group) Join(c *Client, first []byte, isBinary bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !c.enter(m) {
		return
	}
	m.members++
	if c.remote != nil {
		m.remotes.Store(c.ID(), c)
	}
	m.window.Seal()
	c.conn().Join(m.topic, m.ordinal, c.frame(first, isBinary), nil)
}

// Leave ends a membership, after everything sent before has reached the client.
func (m *Group) Leave(c *Client) {
	if c.leave(m) {
		m.detach(c, nil)
	}
}

// Members is how many there are.
func (m *Group) Members() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.members
}

// Sent counts the messages sent so far, and how many of them have left the window for the members' sockets.
func (m *Group) Sent() (all, left uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ordinal, m.flushed.Load()
}

// Full reports whether more waits than can be delivered: Send would refuse it.
func (m *Group) Full() bool { return m.window.Full() }

// Send sends a message to all members. Errors: broker.ErrFull, if more waits than can be delivered.
func (m *Group) Send(x GroupMessage) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.members == 0 {
		return nil
	}
	if !x.Accepted && m.window.Full() {
		return broker.ErrFull
	}
	m.ordinal++
	b := make([]byte, 1, len(x.Answer)+len(x.Data)+5)
	b[0] = markText
	if x.Binary {
		b[0] = markBinary
	}
	if x.Answer != nil && x.Exclude != "" {
		b[0] |= markAnswer
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(x.Answer))), x.Answer...)
	}
	m.window.Append(batch.Message{Bytes: append(b, x.Data...), Seq: m.ordinal, Group: x.Group, Key: x.Key, Set: x.Key != "", Exclude: x.Exclude})
	return nil
}

// Reply sends one member a message that comes after everything sent to the group before, and before what is
// sent later.
func (m *Group) Reply(c *Client, data []byte, isBinary bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.window.Seal()
	c.conn().After(m.topic, m.ordinal, c.frame(data, isBinary))
	m.window.Expedite()
}

// detach ends a membership that the client has given up, and then calls then on the shard's loop.
func (m *Group) detach(c *Client, then func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members--
	m.window.Seal()
	m.window.Expedite()
	c.conn().Leave(m.topic, m.ordinal, nil, then)
}

// gone counts a member out whose connection is removed.
func (m *Group) gone() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members--
}

// groupEncodings are those that members may take: of WebSockets and of event streams.
var groupEncodings = []pool.Encoding{hub.WS, hub.DeflateWS, hub.CustomSSE, hub.ChunkedSSE}

// Flush implements batch.Sink.
func (m *Group) Flush(b *batch.Batch) {
	frame := &pool.Frame{Last: b.Last, Count: int32(b.Count), Since: b.Since}
	if m.unmeasured {
		frame.Since = time.Time{}
	}
	for _, enc := range groupEncodings {
		if m.topic.Takers(enc) > 0 {
			out, _ := frames(enc, b, "")
			frame.Put(enc, out)
		}
	}
	if b.Excludes {
		done := make(map[string]bool)
		b.Each(func(e batch.Entry) {
			if e.Exclude == "" || done[e.Exclude] {
				return
			}
			done[e.Exclude] = true
			if conn, enc := m.find(e.Exclude); conn != nil {
				x := pool.Override{Conn: conn}
				x.Bytes, x.Count = frames(enc, b, e.Exclude)
				frame.Overrides = append(frame.Overrides, x)
			}
		})
	}
	m.topic.Deliver(frame)
	m.flushed.Store(b.Last)
}

// find is the connection of a member, and its encoding; nil if there is none.
func (m *Group) find(connection string) (*pool.Conn, pool.Encoding) {
	if c, ok := m.remotes.Load(connection); ok {
		return c.(*Client).conn(), hub.WS
	}
	return m.hub.Find(connection)
}

// Missed implements batch.Sink: a member that lacks the batch is closed, and comes back.
func (m *Group) Missed(last uint64) { m.topic.Deliver(&pool.Frame{Last: last, Missing: true}) }

// frames is the messages of a batch that receiver may get, each in a frame of its own; on an event stream they are one chunk.
func frames(enc pool.Encoding, b *batch.Batch, receiver string) (out []byte, count int) {
	if enc == hub.ChunkedSSE {
		out, count = frames(hub.CustomSSE, b, receiver)
		return hub.Chunk(out), count
	}
	b.Each(func(e batch.Entry) {
		data, answer := roomBytes(e.Bytes)
		if receiver != "" && e.Exclude == receiver {
			data = answer
		}
		if data != nil {
			out = appendFrame(out, enc, data, e.Bytes[0]&markBinary != 0)
			count++
		}
	})
	return out, count
}

// roomBytes is what stands in a window: a message, and what the connection that it excludes gets in its place.
func roomBytes(b []byte) (data, answer []byte) {
	if b[0]&markAnswer == 0 {
		return b[1:], nil
	}
	n := 5 + binary.BigEndian.Uint32(b[1:])
	return b[n:], b[5:n]
}

func appendFrame(dst []byte, enc pool.Encoding, data []byte, isBinary bool) []byte {
	switch {
	case enc == hub.CustomSSE:
		return append(dst, data...)
	case enc == hub.ChunkedSSE:
		return append(dst, hub.Chunk(data)...)
	case isBinary:
		return append(wire.AppendHeader(dst, wire.OpBinary, false, len(data)), data...)
	}
	return hub.AppendText(dst, enc, data)
}

// NewGroup makes a group. The name is a channel's: its namespace says how messages are batched and what becomes of slow
// readers.
func (r *Routes) NewGroup(name string) *Group {
	ns := r.hub.Namespaces.Of(name)
	g := &Group{hub: r.hub, topic: r.hub.Pool.Topic(pool.Disconnect, &ns.Meter), unmeasured: ns.Unmeasured}
	g.window = r.hub.BatcherOf(name).Window(ns.Batch, g)
	return g
}
