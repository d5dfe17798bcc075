package native

import (
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/session"
)

// namedChannel is a channel that the address of a WebSocket names, and where the client stands in it.
type namedChannel struct {
	channel string
	from    *broker.Position // nil: it begins now
}

// namedChannels reads ?channel=A&position=EPOCH:SEQ&channel=B&position=: either no position at all or one for each channel,
// which may be empty. Of a channel that is named twice the first counts.
func namedChannels(ctx *fasthttp.RequestCtx) ([]namedChannel, *problem.Error) {
	channels, positions := ctx.QueryArgs().PeekMulti("channel"), ctx.QueryArgs().PeekMulti("position")
	if len(positions) > 0 && len(positions) != len(channels) {
		return nil, problem.BadField.With(unevenPositions)
	}
	var list []namedChannel
	for i, name := range channels {
		n := namedChannel{channel: string(name)}
		if len(positions) > 0 && len(positions[i]) > 0 {
			at, bad := readPosition(positions[i])
			if bad != nil {
				return nil, bad
			}
			n.from = &at
		}
		if !slices.ContainsFunc(list, func(x namedChannel) bool { return x.channel == n.channel }) {
			list = append(list, n)
		}
	}
	return list, nil
}

// first is the channels that a WebSocket follows from the start: those that its address names, and those that its connector says.
func (a *opening) first() []namedChannel {
	list := a.named
	for _, channel := range a.Identity.Follows() {
		if !slices.ContainsFunc(list, func(n namedChannel) bool { return n.channel == channel }) {
			list = append(list, namedChannel{channel: channel})
		}
	}
	return list
}

// openNamed follows the channels that a client's address names, and answers each as a command without an id would be; what is
// wrong with one is told of that one. It returns those that have to wait, for a backend's decision or the disk.
func (s *speaker) openNamed(list []namedChannel) (later []namedChannel) {
	for i := range list {
		c := list[i].command()
		err := s.subscribeCommand(&c, hub.NoWait)
		switch {
		case hub.MustWait(err):
			later = append(later, list[i])
		case err != nil:
			s.without(denial{c.Channel, s.told(err)})
		}
	}
	return later
}

// firstNamed is firstTurn of a session whose address names channels: all that is answered by now leaves in one write, and
// those that have to wait follow. Called on the shard's loop.
func (s *speaker) firstNamed(later []namedChannel) {
	if s.Greeted() {
		return
	}
	s.Conn().Uncork()
	if len(later) > 0 {
		defer s.Later("named channels", func() { s.holdNamed(later) }, s.Conn().Abort)()
	}
	s.FirstTurn()
}

// holdNamed has channels followed beside the turn.
func (s *speaker) holdNamed(list []namedChannel) {
	for i := range list {
		c := list[i].command()
		if err := s.Hold(lineOf(&c), session.Held{Message: list[i].message(), Named: true, Since: time.Now()}); err != nil {
			s.without(denial{c.Channel, s.told(err)})
		}
	}
}

// command is the subscribe that the address stands for.
func (n *namedChannel) command() wire.Command {
	c := wire.Command{Type: "subscribe", Channel: n.channel}
	if n.from != nil {
		c.HasPosition, c.Epoch, c.Seq = true, n.from.Epoch, n.from.Seq
	}
	return c
}

// message is the same as a client would send it.
func (n *namedChannel) message() []byte {
	b := wire.AppendString([]byte(`{"type":"subscribe","channel":`), n.channel)
	if n.from != nil {
		b = wire.AppendString(append(b, `,"position":{"epoch":`...), n.from.Epoch) // as the client says it
		b = append(strconv.AppendUint(append(b, `,"seq":`...), n.from.Seq, 10), '}')
	}
	return append(b, '}')
}

// told is an error as the client is told of it, noted.
func (s *speaker) told(err error) *problem.Error {
	f := problem.Of(err)
	if f == problem.Internal {
		s.server.hub.Log.Error("subscription failed", slog.String("connection", s.ID()), slog.String("error", err.Error()))
	}
	s.server.hub.Counters.Errors.Of(f.Code).Inc()
	return f
}
