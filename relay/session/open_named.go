package session

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

// openNamed follows the channels that a client's address names, and answers each as a command without an id would be; what is
// wrong with one is told of that one. It returns those that have to wait, for a backend's decision or the disk.
func (s *Session) openNamed(list []namedChannel) (later []namedChannel) {
	for i := range list {
		c := list[i].command()
		err := s.subscribeCommand(&c, hub.NoWait)
		switch {
		case err == hub.ErrUndecided || err == hub.ErrNotLoaded: //nolint:errorlint // they are not wrapped
			later = append(later, list[i])
		case err != nil:
			s.without(denial{c.Channel, s.told(err)})
		}
	}
	return later
}

// firstNamed is firstTurn of a session whose address names channels: all that is answered by now leaves in one write, and
// those that have to wait follow. Called on the shard's loop.
func (s *Session) firstNamed(later []namedChannel) {
	if s.greeted {
		return
	}
	s.conn.Uncork()
	if len(later) > 0 {
		s.manager.readers.Add(1) // the last turn may be over before
		defer s.manager.Work("named channels", func() {
			defer s.manager.readers.Done()
			s.holdNamed(later)
		}, s.conn.Abort)
	}
	s.firstTurn()
}

// holdNamed has channels followed beside the turn.
func (s *Session) holdNamed(list []namedChannel) {
	for i := range list {
		c := list[i].command()
		if err := s.hold(lineOf(&c), held{message: list[i].message(), named: true, since: time.Now()}); err != nil {
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
func (s *Session) told(err error) *problem.Error {
	f := problem.Of(err)
	if f == problem.Internal {
		s.manager.hub.Log.Error("subscription failed", slog.String("connection", s.id), slog.String("error", err.Error()))
	}
	s.manager.hub.Counters.Errors.Of(f.Code).Inc()
	return f
}
