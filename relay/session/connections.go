package session

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weir/relay/problem"
)

// callConnections asks a node for its connections. The body is a ConnectionsQuery, the answer a connectionsPage.
const callConnections = "connections"

// ConnectionsQuery is which connections are asked for: those of a user, or all if that is "", which follow a channel, unless that is "", in the
// order of their ids, at most Limit of those after one.
type ConnectionsQuery struct {
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
func (m *Manager) shareConnections() {
	m.hub.Answer(callConnections, func(body []byte) ([]byte, error) {
		var q ConnectionsQuery
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, fmt.Errorf("page of connections: %w", err)
		}
		return json.Marshal(m.connections(q))
	})
}

// connections are those of this node.
func (m *Manager) connections(q ConnectionsQuery) (p connectionsPage) {
	list := m.sessions.all()
	if q.User != "" {
		list = m.sessions.byUser(q.User)
	}
	list = slices.DeleteFunc(list, func(s *Session) bool { return s.id <= q.After || q.Channel != "" && !s.follows(q.Channel) })
	slices.SortFunc(list, func(a, b *Session) int { return strings.Compare(a.id, b.id) })
	p.More = len(list) > q.Limit
	for _, s := range list[:min(len(list), q.Limit)] {
		p.List = append(p.List, connection{s.id, s.appendRecord(nil)})
	}
	return p
}

// AppendConnections appends the members "connections" and "more", of all nodes. Errors: a node does not answer.
func (m *Manager) AppendConnections(b []byte, q ConnectionsQuery) ([]byte, error) {
	p := m.connections(q)
	if m.hub.Cluster != nil {
		body, err := json.Marshal(q)
		if err != nil {
			return nil, fmt.Errorf("page of connections: %w", err)
		}
		answers, silent := m.hub.Cluster.CallAll(context.Background(), callConnections, body)
		if len(silent) > 0 { // half a list would pass for a whole one
			return nil, problem.Unavailable.With("a node did not answer: " + strings.Join(silent, ", "))
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
