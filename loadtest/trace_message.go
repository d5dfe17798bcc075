package loadtest

import (
	"encoding/binary"
	"fmt"
	"strings"

	"weir/loadtest/check"
	"weir/loadtest/codec"
	"weir/loadtest/protocol"
	"weir/loadtest/target"
)

// message takes one whole message and says what was understood of it.
func (c *tracedConn) message(msg []byte) (err error) {
	c.k.say("<", "%s", msg)
	var reply []byte
	before := c.sub.Subscribed
	if before {
		reply, err = c.k.t.Read(&c.sub, msg, c)
	} else {
		reply, err = c.k.t.Greet(&c.sub, msg, c)
	}
	if err != nil {
		return err
	}
	if !c.k.arrived && !c.sub.Publisher {
		c.look(msg)
	}
	return c.reply(reply)
}

// look searches a message for a payload that was not understood.
func (c *tracedConn) look(msg []byte) {
	start := strings.IndexAny(string(msg), "{[\"")
	if start < 0 {
		return
	}
	path, ok := protocol.Find(msg[start:], func(raw []byte) bool {
		_, err := check.Parse(raw)
		return err == nil
	})
	if !ok {
		return
	}
	c.k.hint = fmt.Sprintf("a message with the payload did arrive, and was not understood: message.data would be %q", path)
	if start > 0 {
		c.k.hint += fmt.Sprintf(", after message.prefix %q", msg[:start])
	}
}

// Delivered and Reset make tracedConn the target.Sink of its messages.
func (c *tracedConn) Delivered(followed int, _ uint64, _, data []byte, deleted bool) {
	name := c.sub.Channels[followed].Name
	stamp, err := check.Parse(data)
	switch {
	case deleted || c.sub.Publisher:
	case err != nil:
		c.k.say("", "taken for a message of channel %s, whose payload is not what was published: %.200q", name, data)
		c.k.hint = "what was taken for the payload is not what was published"
	case stamp.Number == 1 && stamp.Channel == 0:
		c.k.say("", "understood: the message that was published, in channel %s, intact", name)
		c.k.arrived = true
	}
}

// Reset implements target.Sink.
func (c *tracedConn) Reset(int) { c.k.say("", "understood: messages may be missing") }

func (c *tracedConn) control(op byte, payload []byte) error {
	switch op {
	case codec.OpPing:
		_, err := c.conn.Write(codec.AppendFrame(nil, codec.OpPong, payload))
		return err
	case codec.OpClose:
		text := "without a code"
		if len(payload) >= 2 {
			text = fmt.Sprintf("%d %s", binary.BigEndian.Uint16(payload), payload[2:])
		}
		return c.failed("the target closed the %s's connection: %s", c.name, text)
	}
	return nil
}

// reply sends what a target wants to be sent.
func (c *tracedConn) reply(msg []byte) error {
	if len(msg) == 0 || c.k.traits.Stream != target.WebSocket && !c.sub.Publisher {
		return nil
	}
	if !c.k.traits.Framed {
		msg = codec.AppendFrame(nil, codec.OpText, msg)
	}
	c.sayFrames(msg)
	if _, err := c.conn.Write(msg); err != nil {
		return setupError("%s: %w", c.name, err)
	}
	return nil
}

// sayFrames writes what frames of AppendFrame hold.
func (c *tracedConn) sayFrames(frames []byte) {
	for len(frames) > 0 {
		payload, rest := codec.CutFrame(frames)
		c.k.say(">", "%s", payload)
		frames = rest
	}
}

// response reads the response to a publish.
func (c *tracedConn) response() error {
	var replies codec.Replies
	for done := false; !done; {
		b, err := c.read("the target does not respond to a publish")
		if err != nil {
			return err
		}
		err = replies.Feed(b, func(r codec.Response, body []byte) error {
			done = true
			c.k.say("<", "%d %s", r.Status, body)
			if c.k.t.Refused(r.Status, body, 1) > 0 {
				return c.failed("the target did not accept the publish: %d", r.Status)
			}
			c.k.say("", "understood: accepted")
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
