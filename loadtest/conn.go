package loadtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"weir/loadtest/codec"
	"weir/loadtest/record"
	"weir/loadtest/target"
)

// errClosed is a WebSocket that the target closed with a close frame.
var errClosed = errors.New("closed by the target")

// phase is how far a connection has come.
type phase uint8

const (
	idle      phase = iota // not connected
	opening                // the request is under way
	greeting               // subscribing
	listening              // subscribed
)

// owner hears of the fate of its connections, on their loop.
type owner interface {
	// ready is called when the connection got subscribed.
	ready(c *conn)
	// lost is called when it ended, whatever it was doing before.
	lost(c *conn, was phase, err error)
}

// conn is one subscriber's connection: it opens, subscribes, and then has its messages checked or its
// frames counted.
type conn struct {
	// Set once.
	e      *engine
	l      loop
	owner  owner
	role   record.Role // Checked or Counted; Stalled is decided by a stage
	source netip.Addr  // own address; invalid: the system's choice
	group  int         // connections of one group follow the same channels

	// Owned by the loop.
	sub    target.Subscriber
	place  int // in the order of connecting, from 1, of the last time
	sock   socket
	phase  phase
	due    int64 // when it was to be opened
	now    int64 // when the bytes being handled were read
	head   []byte
	frames codec.Messages
	skim   codec.Skim
	chunks *codec.Chunks // nil: the body is not chunked
	events codec.Events
	raw    uint64 // bytes of an event stream, all of them
	look   *look  // what is checked; nil for counted connections
	fate   fate
}

// fate is what happened to a connection in one trial.
type fate struct {
	closes  uint64
	code    int
	resumed uint64
	stalled bool
}

// open starts connecting. due is the moment its latency counts from.
func (c *conn) open(due int64) {
	c.due, c.phase, c.head = due, opening, c.head[:0]
	chatter := c.e.traits.Chatter
	c.frames = codec.Messages{Control: c.control, Received: c.frames.Received, Payload: c.frames.Payload, Order: c.frames.Order}
	if chatter {
		c.frames.Beyond = codec.SmallFrame
	}
	c.skim = codec.Skim{Control: c.control, Small: c.small, Large: chatter, Frames: c.skim.Frames, Payload: c.skim.Payload, Order: c.skim.Order}
	c.chunks, c.events = nil, codec.Events{Received: c.events.Received}
	c.sock = c.l.dial(c, c.source)
}

// drop ends the connection from this side.
func (c *conn) drop() {
	if c.phase != idle {
		c.phase = idle
		c.sock.close()
	}
}

// begin forgets what was counted before.
func (c *conn) begin(t *trial) {
	c.fate = fate{stalled: c.fate.stalled}
	c.skim.Frames, c.skim.Payload, c.skim.Order, c.raw = 0, 0, 0, 0
	c.frames.Received, c.frames.Payload, c.frames.Order = 0, 0, 0
	c.events.Received = 0
	if c.role == record.Checked {
		c.look = newLook(c, t)
	}
}

func (c *conn) opened() {
	r := c.e.cfg.Target.Head(c.e.target.Open(&c.sub))
	if c.e.traits.Stream == target.WebSocket {
		r = r.Upgrade()
	}
	c.sock.send(r.Append(nil))
}

func (c *conn) drained() {}

func (c *conn) ended(err error) {
	was := c.phase
	c.phase = idle
	c.owner.lost(c, was, err)
}

func (c *conn) received(b []byte) error {
	c.now = c.e.clock.now()
	if c.phase == opening {
		return c.answer(b)
	}
	return c.content(b)
}

// answer takes the response's head.
func (c *conn) answer(b []byte) error {
	c.head = append(c.head, b...)
	r, n, err := codec.ParseResponse(c.head)
	if err != nil || n == 0 {
		return err
	}
	if c.chunks, err = r.Opens(c.e.traits.Stream == target.WebSocket); err != nil {
		return err
	}
	c.phase = greeting
	reply, err := c.e.target.Greet(&c.sub, nil, c)
	if err != nil {
		return err
	}
	c.reply(reply)
	if c.sub.Subscribed {
		c.listen()
	}
	rest := c.head[n:]
	c.head = nil
	if len(rest) > 0 && c.phase != idle {
		return c.content(rest)
	}
	return nil
}

// content takes what comes after the response's head.
func (c *conn) content(b []byte) error {
	if c.e.traits.Stream == target.EventStream {
		return c.stream(b)
	}
	if c.phase == listening && c.role == record.Counted {
		before := c.skim.Payload
		err := c.skim.Feed(b)
		c.e.tally.bytes.Add(c.skim.Payload - before)
		return err
	}
	before := c.frames.Payload
	err := c.frames.Feed(b, c.message)
	if c.phase == listening && c.role == record.Counted && err == nil { // just now: count from here on
		return c.skim.Feed(c.frames.Rest())
	}
	c.arrived(c.frames.Payload - before)
	return err
}

// arrived counts payload bytes of a checked connection.
func (c *conn) arrived(n uint64) {
	if c.role == record.Checked {
		c.e.tally.bytes.Add(n)
		c.e.tally.checked.Add(n)
	}
}

// stream takes bytes of an event stream's body.
func (c *conn) stream(b []byte) error {
	if c.phase == listening && c.role == record.Counted {
		c.discarded(len(b))
		return nil
	}
	c.raw += uint64(len(b))
	c.arrived(uint64(len(b)))
	if c.chunks != nil {
		return c.chunks.Feed(b, c.plain)
	}
	return c.plain(b)
}

func (c *conn) plain(b []byte) error {
	return c.events.Feed(b, func(ev codec.Event) error {
		if len(ev.ID) > 0 {
			c.sub.Cursor = append(c.sub.Cursor[:0], ev.ID...)
		}
		return c.message(ev.Data)
	})
}

// message takes one whole message.
func (c *conn) message(msg []byte) (err error) {
	var reply []byte
	switch {
	case c.phase == greeting:
		reply, err = c.e.target.Greet(&c.sub, msg, c)
	case c.look != nil && c.e.plan.System == "": // systems keep more of a message than its deliveries
		reply, err = c.look.read(msg)
	case c.role == record.Checked:
		reply, err = c.e.target.Read(&c.sub, msg, c)
	default: // counted, and subscribed by an earlier message of the same read
		if !c.skim.Large || len(msg) > codec.SmallFrame {
			c.skim.Saw(len(msg))
		}
		return nil
	}
	if err != nil {
		return err
	}
	c.reply(reply)
	if c.phase == greeting && c.sub.Subscribed {
		c.listen()
	}
	return nil
}

// small takes a short message of a counted connection: it may be a ping that wants an answer.
func (c *conn) small(msg []byte) error {
	reply, err := c.e.target.Read(&c.sub, msg, counted{})
	c.reply(reply)
	return err
}

// counted is a target.Sink for messages that are counted and not checked.
type counted struct{}

func (counted) Delivered(int, uint64, []byte, []byte, bool) {}
func (counted) Reset(int)                                   {}

func (c *conn) reply(msg []byte) {
	if len(msg) == 0 || c.e.traits.Stream != target.WebSocket {
		return
	}
	if !c.e.traits.Framed {
		msg = codec.AppendFrame(nil, codec.OpText, msg)
	}
	c.sock.send(msg)
}

func (c *conn) control(op byte, payload []byte) error {
	switch op {
	case codec.OpPing:
		c.sock.send(codec.AppendFrame(nil, codec.OpPong, payload))
	case codec.OpClose:
		c.fate.code = 1005
		if len(payload) >= 2 {
			c.fate.code = int(binary.BigEndian.Uint16(payload))
			return fmt.Errorf("%w: %d %s", errClosed, c.fate.code, payload[2:])
		}
		return errClosed
	}
	return nil
}

func (c *conn) listen() {
	c.phase = listening
	c.owner.ready(c)
}

// skips lets the loop throw payloads away that nobody looks at.
func (c *conn) skips() int {
	if c.phase != listening || c.role == record.Checked {
		return 0
	}
	if c.e.traits.Stream == target.EventStream {
		return readBuffer
	}
	return max(c.skim.Skip(), 1)
}

func (c *conn) discarded(n int) {
	c.e.tally.bytes.Add(uint64(n))
	if c.e.traits.Stream == target.EventStream {
		c.raw += uint64(n)
		return
	}
	c.skim.Discarded(n)
}

// Delivered and Reset make conn the target.Sink of its own messages.
func (c *conn) Delivered(followed int, seq uint64, key, data []byte, deleted bool) {
	if c.look != nil {
		c.look.delivered(followed, seq, key, data, deleted)
	}
}

// Reset notes that the target said that messages may be missing.
func (c *conn) Reset(int) {
	if c.look != nil {
		c.look.told++
		c.look.plain = false
	}
}

// words is what a lost connection is called in messages to the user.
func words(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "the target ended the connection"
	case errors.Is(err, errReset):
		return "the target reset the connection"
	}
	return err.Error()
}
