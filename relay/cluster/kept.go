package cluster

import (
	"errors"
	"time"

	"weir/broker"
	"weir/relay/cluster/durable"
)

// owned is the cluster as the store of its durable channels sees it. It implements durable.Owner.
type owned struct{ *Cluster }

// keep prepares for durable channels, if there are to be any.
func (c *Cluster) keep() {
	if d := c.config.Durable; d != nil {
		c.kept = durable.New(durable.Config{Node: c.config.Node, Session: c.session, Partitions: c.config.Partitions, Partition: c.partition, Policy: d.Policy,
			Owner: owned{c}, Observe: d.Observe, Log: c.config.Log, Panic: c.config.Panic, Done: &c.done})
	}
}

// Kept returns what serves durable channels; nil if there are none.
func (c *Cluster) Kept() *durable.Durable { return c.kept }

// Owns implements durable.Owner.
func (c owned) Owns(p int) (mine, open bool) {
	o := c.owners[p].Load()
	mine = o != nil && o.Session == c.session
	return mine, mine && o.open
}

// Ready implements durable.Owner.
func (c owned) Ready() bool { return c.loaded.Load() && !c.cut() }

// Alive implements durable.Owner.
func (c owned) Alive(session string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alive(session, time.Now())
}

// Names implements durable.Owner.
func (c owned) Names(f func(channel string) bool) { c.broker.Names(f) }

// Served implements durable.Owner. What has readers here goes on with what is stored.
func (c owned) Served(channel string) bool {
	if err := c.broker.Promote(channel); err != nil {
		return errors.Is(err, broker.ErrNotLoaded) // who loads it just now finds out
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, open := c.Owns(c.partition(channel))
	if r := c.replicas[channel]; open && r != nil && r.loaded {
		c.drop(r)
	}
	return true
}

// Lost implements durable.Owner.
func (c owned) Lost(channel string) { c.broker.Demote(channel) }

// submitOwned makes a publication that another process has handed on.
func (c *Cluster) submitOwned(channel string, p *broker.Publication) (receipt broker.Receipt, err error) {
	if c.Elsewhere(channel) {
		return receipt, ErrNoOwner
	}
	if receipt, err = c.broker.SubmitOwned(channel, p); errors.Is(err, broker.ErrNotLoaded) { // it has moved, or is just moving
		err = ErrNoOwner
	}
	return receipt, err
}
