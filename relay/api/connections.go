package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/hub"
	"weir/relay/jsonbody"
	"weir/relay/problem"
	"weir/relay/session"
)

// handleConnections is GET /v1/connections: who is connected, perhaps of one user or following one channel.
func (s *Server) handleConnections(ctx *fasthttp.RequestCtx) {
	args := ctx.QueryArgs()
	user, channel, after := string(args.Peek("user")), string(args.Peek("channel")), string(args.Peek("after"))
	limit, err := queryLimit(ctx)
	if err == nil && channel != "" && !wire.ValidChannel(channel) {
		err = problem.BadChannel
	}
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	b, err := s.appendConnections([]byte{'{'}, connectionsQuery{User: user, Channel: channel, After: after, Limit: limit})
	if err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	jsonbody.Answer(ctx, append(b, '}'))
}

// callConnections asks a node for its connections. The body is a connectionsQuery, the answer a connectionsPage.
const callConnections = "connections"

// connectionsQuery is which connections are asked for: those of a user, or all if that is "", which follow a channel, unless that is "", in the
// order of their ids, at most Limit of those after one.
type connectionsQuery struct {
	User    string `json:"user"`
	Channel string `json:"channel"`
	After   string `json:"after"`
	Limit   int    `json:"limit"`
}

// connectionsPage is that of one node.
type connectionsPage struct {
	List []connection `json:"list"`
	More bool         `json:"more"`
}

type connection struct {
	ID     string          `json:"id"`
	Record json.RawMessage `json:"record"`
}

// shareConnections lets other nodes ask for the connections of this one.
func (s *Server) shareConnections() {
	s.hub.Answer(callConnections, func(body []byte) ([]byte, error) {
		var q connectionsQuery
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, fmt.Errorf("request for connections: %w", err)
		}
		return json.Marshal(s.connections(q))
	})
}

// connections are those of this node.
func (s *Server) connections(q connectionsQuery) (p connectionsPage) {
	list := s.sessions.Sessions()
	if q.User != "" {
		list = s.sessions.SessionsOf(q.User)
	}
	list = slices.DeleteFunc(list, func(x *session.Session) bool { return x.ID() <= q.After || q.Channel != "" && !x.Follows(q.Channel) })
	slices.SortFunc(list, func(a, b *session.Session) int { return strings.Compare(a.ID(), b.ID()) })
	p.More = len(list) > q.Limit
	for _, x := range list[:min(len(list), q.Limit)] {
		p.List = append(p.List, connection{x.ID(), s.appendRecord(nil, x)})
	}
	return p
}

// appendConnections appends the members "connections" and "more", of all nodes. Errors: a node does not answer.
func (s *Server) appendConnections(b []byte, q connectionsQuery) ([]byte, error) {
	p := s.connections(q)
	if s.hub.Cluster != nil {
		body, err := json.Marshal(q)
		if err != nil {
			return nil, fmt.Errorf("request for connections: %w", err)
		}
		answers, silent := s.hub.Cluster.CallAll(context.Background(), callConnections, body)
		if len(silent) > 0 { // half a list would pass for a whole one
			return nil, problem.Unavailable.With("a node did not respond: " + strings.Join(silent, ", "))
		}
		for node, answer := range answers {
			var other connectionsPage
			if err := json.Unmarshal(answer, &other); err != nil {
				return nil, fmt.Errorf("connections of %s: %w", node, err)
			}
			p.List, p.More = append(p.List, other.List...), p.More || other.More
		}
		slices.SortFunc(p.List, func(a, b connection) int { return cmp.Compare(a.ID, b.ID) })
		p.More = p.More || len(p.List) > q.Limit
	}
	b = append(b, `"connections":[`...)
	for i, c := range p.List[:min(len(p.List), q.Limit)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, c.Record...)
	}
	return strconv.AppendBool(append(b, `],"more":`...), p.More), nil
}

// appendRecord appends what backends are told of a connection. Users of the protocol know its members by these names.
func (s *Server) appendRecord(b []byte, x *session.Session) []byte {
	b = wire.AppendString(append(b, `{"connectionId":`...), x.ID())
	b = wire.AppendString(append(b, `,"userId":`...), x.User())
	b = append(append(b, `,"transport":"`...), x.Transport()...)
	b = wire.AppendString(append(b, `","address":`...), x.Address())
	b = time.UnixMilli(x.Opened()).UTC().AppendFormat(append(b, `,"connectedAt":"`...), "2006-01-02T15:04:05.000Z")
	b = append(b, `","lastPing":`...)
	if x.Transport() == "ws" {
		b = strconv.AppendInt(b, x.LastPing(), 10)
	} else {
		b = append(b, "null"...)
	}
	if c := s.hub.Cluster; c != nil {
		b = wire.AppendString(append(b, `,"node":`...), c.Node())
	}
	b = append(b, `,"channels":[`...)
	first := len(b)
	x.EachChannel(func(channel string, _ *hub.Fanout) {
		if len(b) > first {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), channel...), '"')
	})
	return append(b, `]}`...)
}
