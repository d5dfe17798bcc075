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

// readNamed reads ?channel=A&position=EPOCH:SEQ&channel=B&position=: either no position at all or one for each channel,
// which may be empty. Of a channel that is named twice the first counts.
func (a *opening) readNamed(args *fasthttp.Args) *problem.Error {
	list, positions := a.few[:0], 0
	for key, value := range args.All() {
		switch string(key) {
		case "channel":
			list = append(list, namedChannel{channel: string(value)})
		case "position":
			positions++
		}
	}
	if positions > 0 && positions != len(list) {
		return problem.BadField.With(unevenPositions)
	}
	i := 0
	for key, value := range args.All() {
		if string(key) != "position" {
			continue
		}
		if len(value) > 0 {
			at, bad := readPosition(value)
			if bad != nil {
				return bad
			}
			list[i].from = &at
		}
		i++
	}
	for i := range list {
		if n := list[i]; !slices.ContainsFunc(a.named, func(x namedChannel) bool { return x.channel == n.channel }) {
			a.named = append(list[:len(a.named)], n)
		}
	}
	return nil
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
func (s *speaker) openNamed(a *opening, list []namedChannel) (later []namedChannel) {
	room := s.out
	s.out = nil
	for i := range list {
		c := list[i].command()
		a.request = session.SubscribeRequest{Room: room}
		err := s.subscribe(&c, hub.NoWait, &a.request)
		room = a.request.Room
		switch {
		case hub.MustWait(err):
			later = append(later, list[i])
		case err != nil:
			s.without(denial{c.Channel, s.told(err)})
		}
	}
	return later
}

// firstNamed is FirstTurn of a session whose address names channels: all that is answered by now leaves in one write. Called on the shard's
// loop.
func (s *speaker) firstNamed() {
	if s.Greeted() {
		return
	}
	s.Conn().Uncork()
	s.FirstTurn()
}

// firstLater is firstNamed for a session some of whose channels have to wait: those follow.
func (s *speaker) firstLater(later []namedChannel) {
	if s.Greeted() {
		return
	}
	defer s.Later("named channels", func() { s.holdNamed(later) }, s.Conn().Abort)()
	s.firstNamed()
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
