package cluster

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"weir/broker"
	"weir/internal/pause"
	"weir/relay/cluster/handover"
)

const callHand = "hand" // body: a piece of what there is of a partition, for its next owner

// hand sends what there is of a partition.
func (c *Cluster) hand(ctx context.Context, to *member, p int, term uint64, list []handover.Channel) error {
	return handover.Pieces(handover.Head{From: c.session, Partition: p, Term: term}, list, func(body []byte) ([]byte, error) {
		return c.callMember(ctx, func(m *member) bool { return m == to }, callHand, body, moveLimit) // ctx ends before
	})
}

// taken is the handler of callHand.
func (c *Cluster) taken(body []byte) ([]byte, error) {
	now := time.Now()
	c.mu.Lock()
	eligible := c.eligible(c.session, now)
	c.mu.Unlock()
	if !eligible {
		return nil, ErrNoOwner
	}
	missing, ok, err := c.handed.Take(body, len(c.owners), now, c.broker.Export)
	if err == nil && !ok {
		err = ErrNoOwner
	}
	return missing, err
}

// put makes a channel this process's own, and the replica that is just filled with it.
func (c *Cluster) put(channel string, k *broker.Kept) error {
	for {
		c.arrived(channel, k)
		err := c.broker.Install(channel, k)
		if !errors.Is(err, broker.ErrNotLoaded) {
			return err
		}
		if err = pause.For(c.context, time.Millisecond); err != nil {
			return err
		}
	}
}

// install makes what was handed over of a partition this process's own. before is the row that the new one has replaced. It reports whether all of it was.
func (c *Cluster) install(p int, o, before *owner) bool {
	head := handover.Head{From: o.From, Partition: p}
	if before != nil {
		head.Term = before.term
	}
	list, ok := c.handed.Claim(head)
	if !ok {
		return false
	}
	for _, one := range list {
		if c.owners[p].Load() != o {
			return true // somebody else has it by now
		}
		if err := c.put(one.Name, &one.Kept); err != nil {
			c.config.Log.Error("a channel was not taken over", slog.String("channel", one.Name), slog.String("error", err.Error()))
		}
		c.mu.Lock()
		if r := c.replicas[one.Name]; r != nil && r.loaded {
			c.drop(r)
		}
		c.mu.Unlock()
	}
	return true
}
