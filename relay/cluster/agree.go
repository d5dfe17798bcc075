package cluster

import (
	"encoding/json"
	"log/slog"
	"time"

	"weir/internal/pause"
	"weir/relay/cluster/link"
)

// Processes that are configured differently would serve a channel in two ways. The later one is not ready and takes nothing over until the others are gone or agree.

// differs reports whether a process is configured in another way.
func (c *Cluster) differs(h *link.Hello) bool { return h.Differs(c.agreed, c.config.Policy) }

// agree notes whether this process is configured as those are that were there before it, and asks one that is not what is different. Called by the clock.
func (c *Cluster) agree(now time.Time) {
	var other *member
	c.mu.Lock()
	for session, m := range c.members {
		if c.alive(session, now) && c.differs(&m.hello) && !m.hello.Later(c.session, now.Sub(c.started)) {
			other = m
			break
		}
	}
	c.mu.Unlock()
	if c.yielding.Swap(other != nil) || other == nil {
		return
	}
	c.config.Panic.Go(&c.done, "differences", func() { c.explain(other.node) }, nil) // ends with the answer; Close waits for it
}

// explain logs what is different in another process.
func (c *Cluster) explain(node string) {
	var theirs, only, lacking []string
	for tries := 0; tries < 10 && (tries == 0 || c.yielding.Load() && pause.For(c.context, time.Second) == nil); tries++ {
		body, err := c.CallNode(c.context, node, callShared, nil)
		if err == nil && json.Unmarshal(body, &theirs) == nil {
			only, lacking = link.Without(c.config.Shared, theirs), link.Without(theirs, c.config.Shared)
			break
		}
	}
	c.config.Log.Error("another node has other namespaces, systems or partitions: configure the same on all nodes. If that node belongs to another cluster, give one of the two clusters another cluster.name", slog.String("node", node),
		slog.Any("here", only), slog.Any("there", lacking))
}
