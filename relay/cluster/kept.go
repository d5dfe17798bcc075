package cluster

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"time"

	"weir/broker"
	"weir/broker/ledger"
	"weir/internal/contain"
	"weir/internal/mesh"
	"weir/relay/cluster/durable"
)

// kept is the durable channels of a cluster; nil if there are none. It implements durable.Owner.
type kept struct {
	*Cluster
	store  *durable.Durable
	queues durable.Queues
}

// keep prepares for durable channels, if there are to be any.
func (c *Cluster) keep() {
	if c.config.Durable == nil {
		return
	}
	k := &kept{Cluster: c, queues: durable.Queues{Panic: c.config.Panic, Done: &c.done}}
	k.store = durable.New(durable.Config{Node: c.config.Node, Session: c.session, Partitions: c.config.Partitions, Partition: c.partition, Policy: c.config.Durable.Policy,
		Owner: k, Observe: c.config.Durable.Observe, Log: c.config.Log, Panic: c.config.Panic})
	c.kept = k
}

func (k *kept) join(node mesh.Node) {
	if k != nil {
		k.store.Join(node)
	}
}

func (k *kept) run() {
	if k != nil {
		k.config.Panic.Loop(&k.done, "cluster table", contain.Done(k.context), func() { k.store.Run(k.context) }, nil) // ended by Close
	}
}

func (k *kept) close() {
	if k != nil {
		k.store.Close()
	}
}

func (k *kept) row(key string, value []byte, revision uint64) bool {
	return k != nil && k.store.Row(key, value, revision)
}

// keeps reports whether a channel is durable.
func (k *kept) keeps(channel string) bool { return k != nil && k.store.Keeps(channel) }

// away reports whether a channel is durable and not served here, whoever owns its partition.
func (k *kept) away(channel string, p int) bool { return k != nil && k.store.Away(channel, p) }

func (k *kept) wake() {
	if k != nil {
		k.store.Wake()
	}
}

func (k *kept) lose(p int) {
	if k != nil {
		k.store.Lose(p)
	}
}

// give has all that was taken of a partition be where its next owner finds it.
func (k *kept) give(ctx context.Context, p int) error {
	if k == nil {
		return nil
	}
	return k.store.Give(ctx, p)
}

// inOrder calls f at once, or for a durable channel where it may be waited for.
func (k *kept) inOrder(channel string, f func()) {
	if !k.keeps(channel) {
		f()
		return
	}
	k.queues.Do(channel, f)
}

// Owns implements durable.Owner.
func (k *kept) Owns(p int) bool {
	o := k.owners[p].Load()
	return o != nil && o.Session == k.session && o.open
}

// Ready implements durable.Owner.
func (k *kept) Ready() bool { return k.loaded.Load() && !k.cut() }

// Alive implements durable.Owner.
func (k *kept) Alive(session string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.alive(session, time.Now())
}

// Served implements durable.Owner. What has readers here goes on with what is stored.
func (k *kept) Served(p int) {
	k.names(p, func(name string) {
		if err := k.broker.Promote(name); err != nil {
			return // the next who publishes tries again
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		if r := k.replicas[name]; r != nil && r.loaded && k.Owns(p) {
			k.drop(r)
		}
	})
}

// Lost implements durable.Owner.
func (k *kept) Lost(p int) { k.names(p, func(name string) { k.broker.Demote(name) }) }

// names calls f with the durable channels of a partition that are in memory.
func (k *kept) names(p int, f func(name string)) {
	k.broker.Names(func(name string) bool {
		if k.partition(name) == p && k.keeps(name) {
			f(name)
		}
		return true
	})
}

// behind reports whether the durable channels of a partition are not served here.
func (k *kept) behind(p int) bool { return k != nil && !k.store.Ledger.Serves(p) }

// served waits until a channel that this process owns is served, if it is durable, until a time at most. It is called where that holds up nothing else.
func (c *Cluster) served(channel string, until time.Time) error {
	for c.unserved(channel) {
		if time.Now().After(until) || c.pause() != nil {
			return durable.ErrAway
		}
	}
	return nil
}

// unserved reports whether this process owns the partition of a durable channel that it does not serve yet.
func (c *Cluster) unserved(channel string) bool {
	p := c.partition(channel)
	return c.kept.away(channel, p) && c.kept.Owns(p)
}

// publishedKept makes a publication to a durable channel that another process has handed on. It is answered when it is safe.
func (c *Cluster) publishedKept(m *member, id uint64, channel string, p broker.Publication) {
	channel, p.Group, p.Key, p.Data = strings.Clone(channel), strings.Clone(p.Group), strings.Clone(p.Key), bytes.Clone(p.Data)
	p.IdempotencyKey, p.Exclude = strings.Clone(p.IdempotencyKey), strings.Clone(p.Exclude)
	until := time.Now().Add(answerLimit)
	c.kept.queues.Do(channel, func() {
		var receipt broker.Receipt
		err := c.served(channel, until)
		if err == nil {
			err = broker.ErrNotLoaded
			if !c.Elsewhere(channel) {
				receipt, err = c.broker.SubmitOwned(channel, &p)
			}
		}
		if errors.Is(err, broker.ErrNotLoaded) { // it has moved, or is just moving
			err = ErrNoOwner
		}
		if err != nil {
			m.fail(id, err)
			return
		}
		c.kept.queues.Settle(receipt, func(at broker.Position, err error) {
			if err != nil {
				m.fail(id, err)
				return
			}
			m.answer(id, at)
		})
	})
}

// Ledger is the store of durable channels; nil: there is none.
func (c *Cluster) Ledger() *ledger.Ledger {
	if c.kept == nil {
		return nil
	}
	return c.kept.store.Ledger
}
