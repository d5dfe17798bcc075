package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"weir/relay/cluster/forward"
	"weir/relay/cluster/view"
)

// The types of package view that users of a cluster need.
type (
	Stats           = view.Stats
	Status          = view.Status
	NodeStatus      = view.NodeStatus
	PartitionStatus = view.PartitionStatus
)

// Status returns the cluster as this node sees it.
func (c *Cluster) Status() Status {
	s := Status{Node: c.config.Node, Trouble: c.Trouble(), Isolated: c.cut()}
	owned := make(map[string]int)
	for p := range c.owners {
		x := PartitionStatus{Partition: p}
		if o := c.owners[p].Load(); o != nil {
			x.Node, x.Term, x.Pinned, x.Opening = o.Node, o.term, o.Pinned, o.Session == c.session && !o.open
			owned[o.Session]++
		}
		s.Partitions = append(s.Partitions, x)
	}
	own := NodeStatus{Node: c.config.Node, Session: c.session, State: "ready", Owned: owned[c.session], Restarts: c.counts.restarts.Load()}
	switch {
	case c.leaving.Load():
		own.State = "draining"
	case s.Isolated:
		own.State = "isolated"
	}
	s.Nodes = append(s.Nodes, own)
	now := time.Now()
	c.mu.Lock()
	for _, m := range c.members {
		if m.node == "" {
			continue
		}
		n := NodeStatus{Node: m.node, Session: m.session, State: m.hello.State(now.Sub(m.heard), alive), HeardMS: now.Sub(m.heard).Milliseconds(), Owned: owned[m.session], Waiting: m.link.Waiting()}
		s.Nodes = append(s.Nodes, n)
	}
	c.mu.Unlock()
	slices.SortFunc(s.Nodes, func(a, b NodeStatus) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Session, b.Session))
	})
	return s
}

// PartitionOf returns the number of a channel's partition.
func (c *Cluster) PartitionOf(channel string) int { return c.partition(channel) }

// callMove is a call of the node that owns a partition, to have it moved; body: a moveOrder.
const callMove = "move"

type moveOrder struct {
	Partition int    `json:"partition"`
	Node      string `json:"node"`
}

// MoveFrom has the owner of a partition, whichever node that is, move it to the named node. Errors are those of Move.
func (c *Cluster) MoveFrom(ctx context.Context, p int, node string) error {
	err := c.Move(ctx, p, node)
	toSelf := node == c.config.Node && errors.Is(err, ErrNoNode)
	if !errors.Is(err, ErrNotOwner) && !toSelf {
		return err
	}
	o := c.owners[p].Load()
	switch {
	case o != nil && o.Node == node:
		return nil
	case o == nil || o.Session == c.session:
		return err
	}
	body, err := json.Marshal(moveOrder{p, node})
	if err != nil {
		return err
	}
	if _, err = c.CallNode(ctx, o.Node, callMove, body); errors.Is(err, forward.ErrMaybe) { // a large one takes longer than a call
		return c.awaitOwner(ctx, p, node, err)
	}
	return err
}

// awaitOwner waits until a node owns a partition, and returns otherwise if that does not happen while ctx lasts.
func (c *Cluster) awaitOwner(ctx context.Context, p int, node string, otherwise error) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		if o := c.owners[p].Load(); o != nil && o.Node == node {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return otherwise
		case <-c.context.Done():
			return otherwise
		}
	}
}

// moved is the handler of callMove.
func (c *Cluster) moved(body []byte) ([]byte, error) {
	var o moveOrder
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	if o.Node == c.config.Node {
		return nil, nil
	}
	return []byte(strconv.Itoa(o.Partition)), c.Move(c.context, o.Partition, o.Node)
}
