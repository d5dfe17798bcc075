package cluster

import (
	"log/slog"
	"time"

	"weir/relay/cluster/place"
)

// restLimit is for how long nobody has come or gone before partitions move to where they belong.
const restLimit = 30 * time.Second

// eligible reports whether a process may be given partitions. Called with mu held.
func (c *Cluster) eligible(session string, now time.Time) bool {
	if session == c.session {
		return !c.leaving.Load() && !c.draining.Load()
	}
	m := c.members[session]
	return c.alive(session, now) && !m.hello.Draining && (!c.differs(&m.hello) || c.leaving.Load()) // a process that ends has others keep what it has, whatever they are
}

// belongs is the other process that is first in line for a partition, among those that have been there for a while; nil: this one is. Called with mu held.
func (c *Cluster) belongs(p int, now time.Time, while time.Duration) (best *member) {
	most := uint64(0)
	if c.eligible(c.session, now) {
		most = place.Weight(c.session, p)
	}
	alike := false // best is configured as this process is
	for session, m := range c.members {
		if !c.eligible(session, now) || m.hello.Moves < movesFrom || now.Sub(m.since) < while {
			continue
		}
		if w, same := place.Weight(session, p), !c.differs(&m.hello); same && !alike && best != nil || same == alike && w >= most || best == nil && w >= most {
			best, most, alike = m, w, same
		}
	}
	return best
}

// balance moves partitions to where they belong until the cluster is left. A move may take moveLimit, and longer when the table is away.
func (c *Cluster) balance() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		c.rebalance()
		select {
		case <-c.context.Done():
			return
		case <-ticker.C:
		}
	}
}

// rebalance moves one partition to where it belongs, if nobody has come or gone for a while.
func (c *Cluster) rebalance() {
	now := time.Now()
	if !c.sees.Load() || c.cut() || c.leaving.Load() || c.draining.Load() || now.Sub(c.started) < restLimit || now.Sub(c.steady()) < restLimit {
		return
	}
	for p := range c.owners {
		o := c.owners[p].Load()
		if o == nil || o.Session != c.session || !o.open || o.Pinned {
			continue
		}
		c.mu.Lock()
		to := c.belongs(p, now, restLimit)
		c.mu.Unlock()
		if to == nil {
			continue
		}
		if err := c.move(c.context, p, to, false); err != nil {
			c.config.Log.Warn("a partition was not moved", slog.Int("partition", p), slog.String("error", err.Error()))
			c.settled.Store(int64(time.Since(c.started))) // not at once again
		}
		return
	}
}
