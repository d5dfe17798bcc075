package cluster

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// handOverLimit is how long a node that ends has to hand over what it owns, while its sessions are drained.
const handOverLimit = 20 * time.Second

// HandOver begins to hand over the partitions of this process. It returns a channel that is closed when that is done, or after 20 seconds.
func (c *Cluster) HandOver() <-chan struct{} {
	handed := make(chan struct{})
	c.config.Panic.Go(&c.done, "hand over", func() { // ends by itself; Close waits for it
		ctx, cancel := context.WithTimeout(c.context, handOverLimit)
		defer cancel()
		c.Drain(ctx)
		close(handed)
	}, func() { close(handed) })
	return handed
}

// Drain hands over all partitions of this process, and takes none any more. It tries again what cannot be handed over, until ctx ends or no
// other node can take partitions. What is left then is taken over when the process has gone; channels that no other node follows are lost.
func (c *Cluster) Drain(ctx context.Context) {
	c.leaving.Store(true)
	_ = c.announce()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		kept, takers := c.handAll(ctx)
		if kept == 0 || !takers || ctx.Err() != nil {
			c.config.Log.Info("partitions handed over", slog.Int("kept", kept))
			return
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// handAll hands over what this process owns, as far as others take it. It returns how many partitions it has kept, and whether there is somebody who may
// take one later.
func (c *Cluster) handAll(ctx context.Context) (kept int, takers bool) {
	away := false
	for p := range c.owners {
		o := c.owners[p].Load()
		if o == nil || o.Session != c.session || !o.open {
			continue
		}
		c.mu.Lock()
		to := c.belongs(p, time.Now(), 0)
		c.mu.Unlock()
		takers = takers || to != nil
		if to != nil && !away && ctx.Err() == nil {
			err := c.move(ctx, p, to, false)
			if err == nil {
				continue
			}
			c.config.Log.Debug("a partition was not handed over", slog.Int("partition", p), slog.String("error", err.Error()))
			away = errors.Is(err, errTable) // all others would wait for it as well
		}
		kept++
	}
	return kept, takers
}
