package admin

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"weir/relay/cluster"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// errAlone is the answer where there is no cluster.
var errAlone = problem.NotFound.With("this relay is not a node of a cluster")

// handleCluster is GET /cluster: the cluster as this node sees it.
func (s *Server) handleCluster(ctx *fasthttp.RequestCtx) {
	if s.hub.Cluster == nil {
		s.gate.Refuse(ctx, errAlone)
		return
	}
	b, err := json.Marshal(clusterStatus{s.hub.Cluster.Status(), s.sync()})
	if err != nil {
		s.gate.Refuse(ctx, problem.Internal)
		return
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	jsonbody.Answer(ctx, b)
}

// clusterStatus is the answer.
type clusterStatus struct {
	cluster.Status
	Sync string `json:"sync,omitempty"`
}

// sync says whether the servers that keep durable channels have on disk what they acknowledge: "always", "off", or "unknown" of servers of their own; "": nothing is kept.
func (s *Server) sync() string {
	switch embedded := s.hub.Config.Cluster.Embed; {
	case s.hub.Ledger == nil:
		return ""
	case embedded.Listen == "":
		return "unknown"
	case embedded.Sync == nil || *embedded.Sync:
		return "always"
	}
	return "off"
}

// moveRequest is the body of POST /cluster/move. Either the partition or a channel of it is named.
type moveRequest struct {
	Partition *int   `json:"partition"`
	Channel   string `json:"channel"`
	Node      string `json:"node"`
}

// moveLimit is how long a move may take.
const moveLimit = 10 * time.Second

// handleMove is POST /cluster/move: have a partition moved to a node.
func (s *Server) handleMove(ctx *fasthttp.RequestCtx) {
	if s.hub.Cluster == nil {
		s.gate.Refuse(ctx, errAlone)
		return
	}
	var q moveRequest
	if err := jsonbody.Read(ctx, &q); err != nil {
		s.gate.Refuse(ctx, problem.Of(err))
		return
	}
	if (q.Partition == nil) == (q.Channel == "") || q.Node == "" {
		s.gate.Refuse(ctx, problem.BadField.With("expected a node, and either a partition or a channel"))
		return
	}
	if q.Partition == nil {
		q.Partition = new(s.hub.Cluster.PartitionOf(q.Channel))
	}
	within, cancel := context.WithTimeout(context.Background(), moveLimit)
	defer cancel()
	switch err := s.hub.Cluster.MoveFrom(within, *q.Partition, q.Node); {
	case errors.Is(err, cluster.ErrNoNode), errors.Is(err, cluster.ErrNoPartition):
		s.gate.Refuse(ctx, problem.BadField.With(err.Error()))
	case err != nil:
		s.gate.Refuse(ctx, problem.Unavailable.With(err.Error()))
	default:
		b, _ := json.Marshal(map[string]any{"partition": *q.Partition, "node": q.Node})
		jsonbody.Answer(ctx, b)
	}
}
