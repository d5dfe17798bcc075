package admin

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/jsonbody"
	"weir/relay/problem"
	"weir/relay/stats"
)

// SlowSession is a session that does not keep up.
type SlowSession struct {
	Connection, User, Address string
	Queued                    int // bytes that wait for it
}

// Append appends it as a JSON object.
func (x *SlowSession) Append(b []byte) []byte {
	b = wire.AppendString(append(b, `{"connectionId":`...), x.Connection)
	b = wire.AppendString(append(b, `,"userId":`...), x.User)
	b = wire.AppendString(append(b, `,"address":`...), x.Address)
	return append(strconv.AppendInt(append(b, `,"queued":`...), int64(x.Queued), 10), '}')
}

// Slowest is the ten sessions for which most waits. Nothing is looked at while nobody has a queue.
func (s *Server) Slowest() []SlowSession {
	if s.hub.Pool.Stats().Stalled == 0 {
		return nil
	}
	var all []SlowSession
	for _, x := range s.sessions.Sessions() {
		if queued := x.Conn().Queued(); queued > 0 {
			all = append(all, SlowSession{x.ID(), x.User(), x.Address(), queued})
		}
	}
	slices.SortFunc(all, func(a, b SlowSession) int {
		return cmp.Or(cmp.Compare(b.Queued, a.Queued), cmp.Compare(a.Connection, b.Connection))
	})
	return all[:min(stats.TopLength, len(all))]
}

// following is how many connections there are, and how many of them follow each channel that recordings tell of.
func (s *Server) following() (connections int, subscribers map[string]int) {
	list := s.sessions.Sessions()
	subscribers = make(map[string]int)
	for _, x := range list {
		x.EachChannel(func(channel string, _ *hub.Fanout) {
			if stats.Recorded(channel) {
				subscribers[channel]++
			}
		})
	}
	return len(list), subscribers
}

// maxFollowers is how many followers of a channel are listed.
const maxFollowers = 200

// handleFollowers is GET /followers?channel=: the sessions that follow a channel, and how many they are, on all nodes.
func (s *Server) handleFollowers(ctx *fasthttp.RequestCtx) {
	channel := string(ctx.QueryArgs().Peek("channel"))
	if !wire.ValidChannel(channel) {
		s.gate.Refuse(ctx, problem.BadChannel)
		return
	}
	b := s.appendFollowers(nil, channel)
	if s.hub.Cluster != nil {
		var err error
		if b, err = s.allFollowers(channel, b); err != nil {
			s.gate.Fail(ctx, err)
			return
		}
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	jsonbody.Answer(ctx, b)
}

// appendFollowers appends those of this node.
func (s *Server) appendFollowers(b []byte, channel string) []byte {
	count := 0
	b = append(b, `{"followers":[`...)
	for _, x := range s.sessions.Sessions() {
		if !x.Follows(channel) {
			continue
		}
		if count++; count > maxFollowers {
			continue
		}
		if count > 1 {
			b = append(b, ',')
		}
		b = wire.AppendString(append(b, `{"connectionId":`...), x.ID())
		b = wire.AppendString(append(b, `,"userId":`...), x.User())
		b = wire.AppendString(append(b, `,"address":`...), x.Address())
		b = append(append(b, `,"transport":"`...), x.Transport()...)
		b = strconv.AppendInt(append(b, `","since":`...), x.Opened(), 10)
		b = append(b, '}')
	}
	return append(strconv.AppendInt(append(b, `],"count":`...), int64(count), 10), '}')
}
