package native

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"weir/internal/wire"
	"weir/relay/problem"
	"weir/relay/session"
)

// Message implements session.Protocol: it handles one text message, a command or an array of them. The answers leave in one write.
func (s *speaker) Message(b []byte, _ bool) {
	b = trim(b)
	if len(b) > 0 && b[0] == '[' {
		s.messages(b)
	} else {
		s.command(b)
	}
	s.flushReplies()
}

func (s *speaker) messages(b []byte) {
	if err := wire.ValidJSON(b); err != nil {
		s.reply(s.Failure(nil, err))
		return
	}
	n := 0
	err := wire.Elements(b, func(one []byte) error {
		if n++; n > wire.MaxBatch {
			return problem.TooMany.With(fmt.Sprintf("at most %d commands in one message", wire.MaxBatch))
		}
		s.command(one)
		return nil
	})
	if err != nil {
		s.reply(s.Failure(nil, err))
	}
}

// trim removes white space from both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\n' || b[0] == '\r' || b[0] == '\t') {
		b = b[1:]
	}
	return b
}

// reply adds an answer, which is given away, to those that leave after this message. The first becomes a frame where it lies: mostly
// there is no other.
func (s *speaker) reply(payload []byte) {
	if s.out == nil {
		s.out = wire.IntoText(payload)
	} else {
		s.out = wire.AppendFrame(s.out, wire.OpText, payload)
	}
}

func (s *speaker) flushReplies() {
	if len(s.out) > 0 {
		out := s.out
		s.out = nil // the connection keeps them
		s.Deliver(out)
	}
}

// TooLarge implements session.Protocol.
func (s *speaker) TooLarge(ids [][]byte, why *problem.Error) {
	for _, id := range ids {
		s.reply(s.Failure(id, why))
	}
	s.flushReplies()
}

// The lines of what concerns no channel.
const (
	lineEvents   = "\x00event"    // topics reach webhooks in the order in which a client emits them
	linePresence = "\x00presence" // but these, which nobody outside hears of
	lineCalls    = "\x00call"
)

// lineOf is the line of a command; "" if it has nothing to wait for.
func lineOf(c *wire.Command) string {
	switch c.Type {
	case "subscribe", "unsubscribe", "publish", "history", "presence":
		return c.Channel
	case "event":
		if strings.HasPrefix(c.Topic, "presence.") {
			return linePresence
		}
		return lineEvents
	case "message":
		return lineEvents
	case "call": // each by itself, unless they are to be answered in their order
		if c.Ordered {
			return lineCalls
		}
		return lineCalls + string(c.ID)
	}
	return ""
}

// setAside has a command carried out beside the turn. What limits publishing is the time at which it comes.
func (s *speaker) setAside(c *wire.Command, message []byte, now time.Time) error {
	if c.Type == "publish" && !s.takePublish(s.server.hub.Namespaces.Of(c.Channel), now) {
		return problem.RateLimited
	}
	return s.Hold(lineOf(c), session.Held{Message: bytes.Clone(message), Since: now})
}
