package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"weir/broker"
	"weir/internal/mesh"
	"weir/relay/cluster/link"
	"weir/relay/cluster/place"
)

const (
	callHand  = "hand" // body: a part of what there is of a partition, for its next owner
	moveLimit = 5 * time.Second
	handBytes = 256 << 10        // of one call, about
	movesFrom = 1                // the version of moves that a hello names
	restLimit = 30 * time.Second // nobody has come or gone for so long before partitions move to where they belong
)

// Errors of Move.
var (
	ErrNotOwner    = errors.New("this node does not own the partition: ask the one that does")
	ErrNoPartition = errors.New("there is no such partition")
	ErrNoNode      = errors.New("no node of that name is there and takes partitions")
)

// errTable is why nothing moves: it could not be said who owns it.
var errTable = errors.New("the table of owners is not written")

// handed is what another process has handed over of a partition that it wants this one to own. Guarded by Cluster.mu.
type handed struct {
	from     string // session
	term     uint64 // of the owner that hands over
	calls    uint64 // that have come
	whole    bool
	channels []handedChannel
	since    time.Time
}

type handedChannel struct {
	name string
	kept broker.Kept
	tap  broker.Tap // of who followed it here; nil: nobody, or it has come from another process
}

// eligible reports whether a process may be given partitions. Called with mu held.
func (c *Cluster) eligible(session string, now time.Time) bool {
	if session == c.session {
		return !c.leaving.Load() && !c.draining.Load()
	}
	m := c.members[session]
	return c.alive(session, now) && !m.hello.Draining && (!c.differs(&m.hello) || c.leaving.Load()) // a process that ends has others keep what it has, whatever they are
}

// handOverLimit is how long a node that ends has to hand over what it owns, while its sessions are drained.
const handOverLimit = 20 * time.Second

// HandOver begins to hand over what this process owns, and returns what is closed when that is done, or its time is up.
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

// Drain hands all that this process owns over to others, and takes nothing any more. What cannot be handed over, since the table is away, say, is
// tried again until ctx ends or nobody is there who could take it; then it is taken over when the process has left, and what nobody follows is lost.
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

// balance moves partitions to where they belong until the cluster is left. A move may take moveLimit, and longer when the table is away:
// nothing else waits for it.
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

// Move moves a partition of this process to the named node, where it stays for as long as that is there.
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
		return fmt.Errorf("partition %d: another one is being moved: %w", p, ctx.Err())
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
	shut := &owner{Node: o.Node, Session: o.Session, term: o.term}
	if !c.owners[p].CompareAndSwap(o, shut) {
		return fmt.Errorf("partition %d: %w", p, ErrNotOwner)
	}
	var list []handedChannel
	goOn := func() {
		c.owners[p].CompareAndSwap(shut, o)
		for _, h := range list {
			if h.tap != nil { // it gets nothing any more
				h.tap.Reset(nil)
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
	c.broker.Names(func(name string) bool { // whatever is made from now on finds that it is another's
		if c.partition(name) == p {
			if k, tap, ok := c.broker.HandOver(name); ok {
				list = append(list, handedChannel{name, k, tap})
			} else if c.kept.Keeps(name) {
				c.broker.Demote(name)
			}
		}
		return true
	})
	if err := c.hand(ctx, to, p, o.term, list); err != nil {
		for _, h := range list {
			_ = c.put(h.name, &h.kept)
		}
		goOn()
		return fmt.Errorf("partition %d: %s does not take it: %w", p, to.node, err)
	}
	for c.context.Err() == nil && c.owners[p].Load() == shut {
		_, err := c.node.Update(c.context, rowPrefix+strconv.Itoa(p), value, o.term)
		if err == nil || errors.Is(err, mesh.ErrConflict) { // written, by this process or by one that took it over: the table tells
			break
		}
		select { // it may have been written
		case <-c.context.Done():
		case <-time.After(tick):
		}
	}
	c.counts.moved.Add(1)
	c.config.Log.Info("partition handed over", slog.Int("partition", p), slog.String("to", to.node), slog.Int("channels", len(list)), slog.Duration("took", time.Since(begun)))
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

// hand sends what there is of a partition.
func (c *Cluster) hand(ctx context.Context, to *member, p int, term uint64, list []handedChannel) error {
	for number, last := uint64(0), false; !last; number++ {
		var body link.Writer
		n := 0
		for n < len(list) && len(body) < handBytes {
			body.Text(list[n].name)
			body.Kept(&list[n].kept)
			n++
		}
		last = n == len(list)
		list = list[n:]
		var q *request
		c.mu.Lock()
		if c.alive(to.session, time.Now()) {
			q = c.demand(to, link.Call, func(w *link.Writer) {
				w.Text(callHand)
				var head link.Writer
				head.Text(c.session)
				head.Uint(uint64(p))
				head.Uint(term)
				head.Uint(number)
				head.Bool(last)
				head.Uint(uint64(n))
				w.Bytes(append(head, body...))
			})
		}
		c.mu.Unlock()
		if q == nil {
			return ErrNoOwner
		}
		if err := q.wait(ctx, answerLimit); err != nil {
			return err
		}
	}
	return nil
}

// taken is the handler of callHand.
func (c *Cluster) taken(body []byte) ([]byte, error) {
	r := &link.Reader{Rest: body}
	from, p, term, number, last, n := r.Text(), r.Uint(), r.Uint(), r.Uint(), r.Bool(), r.Count()
	if r.Err != nil || p >= uint64(len(c.owners)) {
		return nil, link.ErrRecord
	}
	var list []handedChannel
	for range n {
		list = append(list, handedChannel{name: r.Text(), kept: r.Kept()})
	}
	if r.Err != nil {
		return nil, r.Err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.eligible(c.session, time.Now()) {
		return nil, ErrNoOwner
	}
	h := c.handed[int(p)]
	if number == 0 {
		h = &handed{from: from, term: term, since: time.Now()}
		c.handed[int(p)] = h
	}
	if h == nil || h.from != from || h.term != term || h.calls != number {
		return nil, ErrNoOwner
	}
	h.calls, h.whole, h.channels = number+1, last, append(h.channels, list...)
	return nil, nil
}

// put makes a channel this process's own, and the replica that is just filled with it.
func (c *Cluster) put(channel string, k *broker.Kept) error {
	for {
		c.arrived(channel, k)
		err := c.broker.Install(channel, k)
		if !errors.Is(err, broker.ErrNotLoaded) {
			return err
		}
		if err = c.pause(); err != nil {
			return err
		}
	}
}

// pause waits a little for a channel that has not been said to be followed yet, or is not there yet. It returns an error when the cluster is left.
func (c *Cluster) pause() error {
	select {
	case <-time.After(time.Millisecond):
		return nil
	case <-c.context.Done():
		return ErrNoOwner
	}
}

// install makes what was handed over of a partition this process's own. before is the row that the new one has replaced. It reports whether all of it was.
func (c *Cluster) install(p int, o, before *owner) bool {
	c.mu.Lock()
	h := c.handed[p]
	delete(c.handed, p)
	c.mu.Unlock()
	if h == nil || !h.whole || before == nil || h.from != o.From || h.term != before.term {
		return false
	}
	for _, one := range h.channels {
		if c.owners[p].Load() != o {
			return true // somebody else has it by now
		}
		if err := c.put(one.name, &one.kept); err != nil {
			c.config.Log.Error("a channel was not taken over", slog.String("channel", one.name), slog.String("error", err.Error()))
		}
		c.mu.Lock()
		if r := c.replicas[one.name]; r != nil && r.loaded {
			c.drop(r)
		}
		c.mu.Unlock()
	}
	return true
}
