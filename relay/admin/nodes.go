package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"weir/internal/buildinfo"
	"weir/relay/cluster"
	"weir/relay/stats"
)

// In a cluster a request to one node for figures gets those of all nodes put together, second by second, and what each node says of itself.

// The kinds of what nodes ask each other.
const (
	callFigures   = "figures"   // body: figuresQuery, answer: nodeFigures
	callFollowers = "followers" // body: a channel, answer: what /followers is on one node
)

// figuresQuery is what one node asks another.
type figuresQuery struct {
	After int64 `json:"after"` // second
	Now   int64 `json:"now"`   // by the clock of who asks, in milliseconds
}

// figures are those of one node, or of all.
type figures struct {
	From   int64                 `json:"from"`
	Series map[string][]*float64 `json:"series"`
	Top    []topChannel          `json:"top"`
	Slow   []slowSession         `json:"slow"`
}

// topChannel is a stats.TopChannel as JSON.
type topChannel struct {
	Channel     string `json:"channel"`
	Messages    uint64 `json:"messages"`
	Deliveries  uint64 `json:"deliveries"`
	Subscribers int    `json:"subscribers"`
}

// slowSession is a SlowSession as JSON.
type slowSession struct {
	Connection string `json:"connectionId"`
	User       string `json:"userId"`
	Address    string `json:"address"`
	Queued     int    `json:"queued"`
}

// nodeFigures is what a node says of itself. Seconds are those of who asks.
type nodeFigures struct {
	figures
	Version string        `json:"version"`
	Started int64         `json:"started"` // in milliseconds, by the node's clock
	Stats   cluster.Stats `json:"stats"`
}

// nodeRow is a node as the dashboard shows it. What has not been said is missing.
type nodeRow struct {
	cluster.NodeStatus
	Version string              `json:"version,omitempty"`
	Started int64               `json:"started,omitempty"`
	Stats   *cluster.Stats      `json:"stats,omitempty"`
	Last    map[string]*float64 `json:"last,omitempty"` // figures of its last second
}

// share lets other nodes ask this one.
func (s *Server) share() {
	s.hub.Answer(callFigures, func(body []byte) ([]byte, error) {
		var q figuresQuery
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, fmt.Errorf("request for figures: %w", err)
		}
		ahead := time.Duration(s.sessions.Now().UnixMilli()-q.Now) * time.Millisecond
		shift := int64(ahead.Round(time.Second) / time.Second)
		x, err := s.ownFigures(q.After + shift)
		x.From -= shift
		if err != nil {
			return nil, err
		}
		return json.Marshal(x)
	})
	s.hub.Answer(callFollowers, func(body []byte) ([]byte, error) {
		return s.appendFollowers(nil, string(body)), nil
	})
}

// ownFigures are those of this node.
func (s *Server) ownFigures(after int64) (x nodeFigures, err error) {
	b := s.appendFigures([]byte{'{'}, after)
	if err := json.Unmarshal(append(b, '}'), &x.figures); err != nil {
		return x, fmt.Errorf("figures: %w", err)
	}
	x.Version, x.Started, x.Stats = buildinfo.Read().Version, s.started.UnixMilli(), s.hub.Cluster.Stats()
	return x, nil
}

// margin is how many seconds further back other nodes are asked for: rows are put together when all nodes have written theirs.
const margin = 3

// allFigures are those of all nodes, and what each says.
func (s *Server) allFigures(after int64) (all figures, rows []nodeRow, err error) {
	body, err := json.Marshal(figuresQuery{after - margin, s.sessions.Now().UnixMilli()})
	if err != nil {
		return all, nil, fmt.Errorf("figures: %w", err)
	}
	answers, _ := s.hub.Cluster.CallAll(context.Background(), callFigures, body)
	own, err := s.ownFigures(after)
	if err != nil {
		return all, nil, err
	}
	nodes := map[string]nodeFigures{s.hub.Cluster.Node(): own}
	for node, b := range answers {
		var x nodeFigures
		if json.Unmarshal(b, &x) == nil && len(x.Series) > 0 {
			nodes[node] = x
		}
	}
	for _, n := range s.hub.Cluster.Status().Nodes {
		row := nodeRow{NodeStatus: n}
		if x, ok := nodes[n.Node]; ok && n.State != "silent" && n.State != "left" {
			row.Version, row.Started, row.Stats, row.Last = x.Version, x.Started, &x.Stats, x.last()
		}
		rows = append(rows, row)
	}
	return s.merge(own, nodes), rows, nil
}

// rows is how many seconds there are.
func (x *figures) rows() int { return len(x.Series["connections"]) }

// last is the newest values.
func (x *figures) last() map[string]*float64 {
	last := make(map[string]*float64)
	for name, values := range x.Series {
		if len(values) > 0 {
			last[name] = values[len(values)-1]
		}
	}
	return last
}

// merge puts figures together, of the seconds that this node was asked for and that every other one has, too, unless it is far behind.
func (s *Server) merge(own nodeFigures, nodes map[string]nodeFigures) figures {
	all := figures{From: own.From, Series: make(map[string][]*float64)}
	end := own.From + int64(own.rows())
	for _, x := range nodes {
		if last := x.From + int64(x.rows()); last < end && last > end-margin {
			end = last
		}
	}
	n := max(int(end-own.From), 0)
	for name := range own.Series {
		values := make([]*float64, n)
		for i := range values {
			for _, x := range nodes {
				at := own.From + int64(i) - x.From
				if series := x.Series[name]; at >= 0 && at < int64(len(series)) && series[at] != nil {
					values[i] = combine(name, values[i], *series[at])
				}
			}
		}
		all.Series[name] = values
	}
	for i, v := range all.Series["batching"] {
		if frames := all.Series["frames"][i]; v != nil && frames != nil && *frames > 0 {
			all.Series["batching"][i] = new(*all.Series["delivered"][i] / *frames)
		}
	}
	channels := make(map[string]topChannel)
	for _, x := range nodes {
		for _, c := range x.Top {
			t := channels[c.Channel]
			channels[c.Channel] = topChannel{c.Channel, t.Messages + c.Messages, t.Deliveries + c.Deliveries, t.Subscribers + c.Subscribers}
		}
		all.Slow = append(all.Slow, x.Slow...)
	}
	for _, c := range channels {
		all.Top = append(all.Top, c)
	}
	slices.SortFunc(all.Top, func(a, b topChannel) int {
		return cmp.Or(cmp.Compare(b.Deliveries, a.Deliveries), cmp.Compare(a.Channel, b.Channel))
	})
	slices.SortFunc(all.Slow, func(a, b slowSession) int {
		return cmp.Or(cmp.Compare(b.Queued, a.Queued), cmp.Compare(a.Connection, b.Connection))
	})
	all.Top, all.Slow = all.Top[:min(len(all.Top), stats.TopLength)], all.Slow[:min(len(all.Slow), stats.TopLength)]
	return all
}

// combine adds a node's value to those of others: the sum, but the worst of latencies.
func combine(name string, all *float64, v float64) *float64 {
	switch {
	case all == nil:
		return &v
	case strings.HasPrefix(name, "latency/"):
		return new(max(*all, v))
	}
	return new(*all + v)
}

// appendAll appends the figures of all nodes as the members of an object, with "nodes".
func (s *Server) appendAll(b []byte, after int64) ([]byte, error) {
	all, rows, err := s.allFigures(after)
	if err != nil {
		return b, err
	}
	if all.Top == nil {
		all.Top = []topChannel{}
	}
	if all.Slow == nil {
		all.Slow = []slowSession{}
	}
	members, err := json.Marshal(struct {
		figures
		Nodes []nodeRow `json:"nodes"`
	}{all, rows})
	if err != nil {
		return b, fmt.Errorf("figures: %w", err)
	}
	return append(b, members[1:len(members)-1]...), nil
}

// follower is one as /followers lists it.
type followers struct {
	Followers []json.RawMessage `json:"followers"`
	Count     int               `json:"count"`
}

// allFollowers are those of all nodes that answer, this one's own among them.
func (s *Server) allFollowers(channel string, own []byte) ([]byte, error) {
	var all followers
	answers, _ := s.hub.Cluster.CallAll(context.Background(), callFollowers, []byte(channel))
	answers[s.hub.Cluster.Node()] = own
	for _, b := range answers {
		var x followers
		if err := json.Unmarshal(b, &x); err != nil {
			return nil, fmt.Errorf("followers: %w", err)
		}
		all.Followers, all.Count = append(all.Followers, x.Followers...), all.Count+x.Count
	}
	all.Followers = all.Followers[:min(len(all.Followers), maxFollowers)]
	return json.Marshal(all)
}
