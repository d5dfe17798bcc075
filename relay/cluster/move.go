package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"weir/internal/mesh"
	"weir/internal/pause"
	"weir/relay/cluster/handover"
	"weir/relay/cluster/link"
)

const (
	moveLimit = 5 * time.Second
	movesFrom = 1 // the version of moves that a hello names, at least
	movesHeld = 2 // from which on what the next owner has already is not sent
)

// Errors of Move.
var (
	ErrNotOwner    = errors.New("this node does not own the partition: ask its owner")
	ErrNoPartition = errors.New("there is no such partition")
	ErrNoNode      = errors.New("no node of that name is ready to own partitions: weir cluster status lists the nodes")
)

// errTable is why nothing moves: it could not be said who owns it.
var errTable = errors.New("the table of owners cannot be written")

// Move moves a partition of this process to the named node, where it stays for as long as that node is there. Errors: ErrNotOwner,
// ErrNoPartition, ErrNoNode, that of ctx, and why the node did not take it.
func (c *Cluster) Move(ctx context.Context, p int, node string) error {
	if p < 0 || p >= len(c.owners) {
		return fmt.Errorf("%w: %d: expected 0 to %d", ErrNoPartition, p, len(c.owners)-1)
	}
	var to *member
	now := time.Now()
	c.mu.Lock()
	for session, m := range c.members {
		if m.node == node && c.eligible(session, now) && m.hello.Moves >= movesFrom {
			to = m
		}
	}
	c.mu.Unlock()
	if to == nil {
		return fmt.Errorf("%q: %w", node, ErrNoNode)
	}
	return c.move(ctx, p, to, true)
}

// move hands a partition over: this process takes nothing for it any more, what there is goes to the next owner, and then the table says so. Epochs and
// positions stay. If the next owner does not take it, this one goes on.
func (c *Cluster) move(ctx context.Context, p int, to *member, pinned bool) error {
	ctx, cancel := context.WithTimeout(ctx, moveLimit)
	defer cancel()
	select { // one at a time
	case c.moves <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("partition %d: another partition is being moved: %w", p, ctx.Err())
	}
	defer func() { <-c.moves }()
	o := c.owners[p].Load()
	if o == nil || o.Session != c.session || !o.open || c.cut() {
		return fmt.Errorf("partition %d: %w", p, ErrNotOwner)
	}
	if err := c.writable(ctx); err != nil { // or it would have no owner for as long as the table is away
		return err
	}
	value, err := json.Marshal(owner{Node: to.node, Session: to.session, From: c.session, Pinned: pinned})
	if err != nil {
		return err
	}
	begun := time.Now()
	shut := &owner{Node: o.Node, Session: o.Session, term: o.term, row: o.row}
	if !c.owners[p].CompareAndSwap(o, shut) {
		return fmt.Errorf("partition %d: %w", p, ErrNotOwner)
	}
	var list []handover.Channel
	goOn := func() {
		if !c.owners[p].CompareAndSwap(shut, o) { // somebody else has taken it over meanwhile: what was put back is to be followed there
			c.rows.Lock()
			c.lose(p, true)
			c.rows.Unlock()
		}
		for _, h := range list {
			if h.Tap != nil { // it gets nothing any more
				h.Tap.Reset(nil)
			}
		}
		c.mu.Lock()
		c.flush(p)
		c.mu.Unlock()
	}
	if err := c.kept.Give(ctx, p); err != nil {
		goOn()
		return fmt.Errorf("partition %d: %w", p, err)
	}
	c.mu.Lock()
	held := to.hello.Moves >= movesHeld
	c.mu.Unlock()
	c.broker.Names(func(name string) bool { // whatever is made from now on finds that it is another's
		if c.partition(name) == p {
			if k, tap, ok := c.broker.HandOver(name); ok {
				t, _ := tap.(*link.Tap)
				list = append(list, handover.Channel{Name: name, Kept: k, Tap: tap, Held: held && t != nil && t.Tells(to.link)})
			} else if c.kept.Keeps(name) {
				c.broker.Demote(name)
			}
		}
		return true
	})
	if err := c.hand(ctx, to, p, o.term, list); err != nil {
		for _, h := range list {
			_ = c.put(h.Name, &h.Kept)
		}
		goOn()
		return fmt.Errorf("partition %d: node %q cannot take it over: %w", p, to.node, err)
	}
	given := time.Since(begun)
	for c.context.Err() == nil && c.owners[p].Load() == shut {
		_, err := c.node.Update(c.context, rowPrefix+strconv.Itoa(p), value, o.term)
		if err == nil || errors.Is(err, mesh.ErrConflict) { // written, by this process or by one that took it over: the table tells
			break
		}
		_ = pause.For(c.context, tick) // it may have been written
	}
	c.counts.moved.Add(1)
	c.config.Log.Info("partition handed over", slog.Int("partition", p), slog.String("to", to.node), slog.Int("channels", len(list)), slog.Duration("given", given), slog.Duration("took", time.Since(begun)))
	return nil
}

// writable reports whether the table can be written.
func (c *Cluster) writable(ctx context.Context) error {
	c.mu.Lock()
	expected := max(c.probes.own, c.probes.told)
	c.mu.Unlock()
	revision, err := c.node.Update(ctx, probePrefix+c.session, []byte(strconv.Quote(probeHere)), expected)
	if err != nil && !errors.Is(err, mesh.ErrConflict) {
		return fmt.Errorf("%w: %w", errTable, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probes.own = max(c.probes.own, revision)
	return nil
}
