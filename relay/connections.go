package relay

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// handleConnections is GET /v1/connections: who is connected, perhaps of one user or following one channel.
func (r *Relay) handleConnections(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	user, channel, after := string(args.Peek("user")), string(args.Peek("channel")), string(args.Peek("after"))
	n, err := queryInt(ctx, "limit")
	var limit int
	if err == nil {
		limit, err = pageSize(int(min(n, maxPage+1)))
	}
	if err == nil && channel != "" && !wire.ValidChannel(channel) {
		err = problem.BadChannel
	}
	if err != nil {
		r.gate.Fail(ctx, err)
		return
	}
	var list []*session
	if user != "" {
		list = r.sessions.byUser(user)
	} else {
		list = r.sessions.all()
	}
	list = slices.DeleteFunc(list, func(s *session) bool { return s.id <= after || channel != "" && !s.follows(channel) })
	slices.SortFunc(list, func(a, b *session) int { return strings.Compare(a.id, b.id) })
	b := []byte(`{"connections":[`)
	for i, s := range list[:min(len(list), limit)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.appendRecord(b)
	}
	b = strconv.AppendBool(append(b, `],"more":`...), len(list) > limit)
	jsonbody.Answer(ctx, append(b, '}'))
}

// follows says whether the session is subscribed to a channel.
func (s *session) follows(channel string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(channel) >= 0
}

// transport is how the client is connected.
func (s *session) transport() string {
	if s.sse != nil {
		return "sse"
	}
	return "ws"
}

// appendRecord appends what backends are told of a connection. Users of the protocol know its members by these names.
func (s *session) appendRecord(b []byte) []byte {
	b = wire.AppendString(append(b, `{"connectionId":`...), s.id)
	b = wire.AppendString(append(b, `,"userId":`...), s.user)
	b = append(append(b, `,"transport":"`...), s.transport()...)
	b = wire.AppendString(append(b, `","address":`...), s.address)
	b = s.opened.UTC().AppendFormat(append(b, `,"connectedAt":"`...), "2006-01-02T15:04:05.000Z")
	b = append(b, `","lastPing":`...)
	if s.sse == nil {
		b = strconv.AppendInt(b, max(s.lastPing.Load(), s.opened.UnixMilli()), 10)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"channels":[`...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, sub := range s.subs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), sub.feed.Name...), '"')
	}
	return append(b, `]}`...)
}

// pinged notes a sign of life that the client gave on purpose: a ping of its own, or a pong.
func (s *session) pinged() { s.lastPing.Store(time.Now().UnixMilli()) }
