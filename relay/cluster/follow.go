package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"weir/broker"
	"weir/relay/cluster/durable"
	"weir/relay/cluster/link"
)

// Elsewhere implements broker.Cluster.
func (c *Cluster) Elsewhere(channel string) bool {
	p := c.partition(channel)
	o := c.owners[p].Load()
	return o == nil || !o.open || c.cut() || c.kept.Away(channel, p)
}

// Follow implements broker.Cluster.
func (c *Cluster) Follow(channel string) (broker.Kept, bool, error) {
	if c.kept.Unserved(channel) {
		return broker.Kept{}, false, durable.ErrAway
	}
	r := &replica{channel: strings.Clone(channel), partition: c.partition(channel), first: make(chan firstKept, 1)}
	c.mu.Lock()
	if before := c.replicas[r.channel]; before != nil {
		c.drop(before)
	}
	c.replicas[r.channel] = r
	c.place(r)
	c.mu.Unlock()
	timer := time.NewTimer(followLimit)
	defer timer.Stop()
	select {
	case k := <-r.first:
		return k.kept, k.existed, k.err
	case <-timer.C:
	case <-c.context.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case k := <-r.first: // just now
		return k.kept, k.existed, k.err
	default:
	}
	c.drop(r)
	return broker.Kept{}, false, ErrNoOwner
}

// Refresh has the owner of a channel send this process's replica anew, and waits until it is here, for three seconds at most.
func (c *Cluster) Refresh(channel string) {
	told := make(chan struct{})
	c.mu.Lock()
	r := c.replicas[channel]
	if r != nil {
		o := c.owners[r.partition].Load()
		if o != nil && o.Session != c.session && c.alive(o.Session, time.Now()) {
			c.ask(r, c.members[o.Session])
		}
		r.refreshed = append(r.refreshed, told)
	}
	c.mu.Unlock()
	if r == nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.context, followLimit)
	defer cancel()
	select {
	case <-told:
	case <-ctx.Done():
	}
}

// Unfollow implements broker.Cluster.
func (c *Cluster) Unfollow(channel string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.replicas[channel]; r != nil {
		c.drop(r)
	}
}

// drop forgets a replica, and tells its owner. Called with mu held.
func (c *Cluster) drop(r *replica) {
	if c.replicas[r.channel] == r {
		delete(c.replicas, r.channel)
	}
	delete(c.follows, r.id)
	if m := c.members[r.sent]; m != nil {
		id := r.id
		m.link.Append(link.Unfollow, func(w *link.Writer) { w.Uint(id) })
	}
}

// place asks the owner of a replica's channel for it, if there is one; otherwise the clock does when there is. Called with mu held.
func (c *Cluster) place(r *replica) {
	o := c.owners[r.partition].Load()
	if o == nil || o.Session == r.sent && o.term == r.asked { // what was asked in another term is forgotten there
		return
	}
	if o.Session == c.session {
		if o.open && !r.loaded {
			delete(c.replicas, r.channel)
			delete(c.follows, r.id)
			err := broker.ErrMoved
			if c.cut() { // it may be somebody else's, and asking again would be of no use
				err = ErrNoOwner
			}
			r.first <- firstKept{err: err}
		}
		return
	}
	if c.alive(o.Session, time.Now()) {
		c.ask(r, c.members[o.Session])
	}
}

// ask asks a member to be told of a channel. Called with mu held.
func (c *Cluster) ask(r *replica, m *member) {
	if before := c.members[r.sent]; before != nil && before != m {
		id := r.id
		before.link.Append(link.Unfollow, func(w *link.Writer) { w.Uint(id) })
	}
	delete(c.follows, r.id)
	c.number++
	r.id, r.sent, r.asked = c.number, m.session, 0
	if o := c.owners[r.partition].Load(); o != nil {
		r.asked = o.term
	}
	c.follows[r.id] = r
	stands := broker.Position{Epoch: r.epoch, Seq: r.seq.Load()}
	m.link.Append(link.Follow, func(w *link.Writer) {
		w.Uint(r.id)
		w.Text(r.channel)
		if stands.Seq > 0 {
			w.Position(stands)
		}
	})
}

// fromOwner works off what the owner of a channel says of it.
func (c *Cluster) fromOwner(m *member, kind byte, r *link.Reader) {
	id := r.Uint()
	c.mu.Lock()
	f := c.follows[id]
	if f == nil || f.sent != m.session { // of before
		c.mu.Unlock()
		return
	}
	switch kind {
	case link.Refused:
		delete(c.follows, id)
		f.sent = "" // the clock asks again
		c.mu.Unlock()
	case link.Again:
		c.ask(f, m)
		c.mu.Unlock()
	case link.Change:
		epoch := f.epoch
		c.mu.Unlock()
		seq, e := r.Uint(), r.Entry()
		if r.Err != nil || epoch == "" {
			return
		}
		c.config.Traced.Of(f.channel, e.Trace)(broker.Position{Epoch: epoch, Seq: seq}, nil)
		switch err := c.filling(f, func() error { return c.broker.Feed(f.channel, epoch, seq, &e) }); {
		case err == nil:
			f.seq.Store(max(seq, f.seq.Load()))
		case errors.Is(err, broker.ErrGap):
			c.askAgain(f, m, id)
		}
	case link.Kept, link.Missed:
		existed := r.Bool()
		k := r.Kept()
		k.Partial = kind == link.Missed
		if first := !f.loaded; r.Err != nil || first && k.Partial {
			c.mu.Unlock()
			return
		}
		first := !f.loaded
		f.loaded, f.epoch = true, k.Position.Epoch
		f.seq.Store(0) // until it is there
		if o := c.owners[f.partition].Load(); o != nil {
			f.term = o.term
		}
		if first {
			f.first <- firstKept{kept: k, existed: existed}
		}
		refreshed := f.refreshed
		f.refreshed = nil
		c.mu.Unlock()
		var err error
		if !first {
			err = c.filling(f, func() error { return c.broker.Refill(f.channel, &k) })
		}
		switch {
		case err == nil:
			f.seq.Store(k.Position.Seq)
		case errors.Is(err, broker.ErrGap):
			c.askAgain(f, m, id)
		}
		for _, told := range refreshed {
			close(told)
		}
	}
}

// askAgain asks a member anew to be told of a channel, if that is still what a follow is about.
func (c *Cluster) askAgain(f *replica, m *member, id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.follows[id] == f {
		c.ask(f, m)
	}
}

// filling calls f, which is about a replica, or nil if there is none, once more when that is in memory, if it is just being put there. One that has been asked for since is not waited for: what it waits for
// comes by the goroutine that calls this.
func (c *Cluster) filling(r *replica, f func() error) error {
	for {
		err := f()
		if !errors.Is(err, broker.ErrNotLoaded) {
			return err
		}
		c.mu.Lock()
		come := r != nil && c.replicas[r.channel] == r && r.loaded && !c.ours(r.channel) // or the store may be waited for
		c.mu.Unlock()
		if !come {
			return err
		}
		c.broker.Await(r.channel)
	}
}

// followedBy has a member told of a channel from now on.
func (c *Cluster) followedBy(m *member, r *link.Reader) {
	f := link.Follower{Link: m.link, ID: r.Uint()}
	channel := strings.Clone(r.Text())
	var stands broker.Position
	if len(r.Rest) > 0 { // versions before this do not say where they stand
		stands = r.Position()
	}
	if r.Err != nil {
		return
	}
	stands.Epoch = strings.Clone(stands.Epoch)
	c.mu.Lock()
	m.followed[f.ID] = channel
	c.mu.Unlock()
	do := m.flow.Do
	if stands.Seq > 0 { // little is missing
		do = func(work func()) { work() }
	}
	do(func() { c.kept.InOrder(channel, func() { c.follow(m, f, channel, stands) }) })
}

// whenCome calls done when a member has worked off what was sent to it before, or does not answer.
func (c *Cluster) whenCome(m *member, done func()) {
	c.mu.Lock()
	q := c.call(m, callCome, nil)
	c.mu.Unlock()
	q.Then(func(broker.Position, error) { done() })
}

func (c *Cluster) follow(m *member, f link.Follower, channel string, stands broker.Position) {
	c.mu.Lock()
	_, still := m.followed[f.ID]
	c.mu.Unlock()
	if !still { // any more
		return
	}
	err := broker.ErrMoved
	if !c.Elsewhere(channel) {
		err = c.broker.Tap(channel, stands, func(before broker.Tap, k *broker.Kept, existed bool) broker.Tap {
			t, _ := before.(*link.Tap)
			if t == nil {
				t = &link.Tap{}
			}
			t.Followers = append(t.Followers, f)
			f.Tell(k, existed)
			return t
		})
	}
	c.mu.Lock()
	_, still = m.followed[f.ID]
	if err != nil {
		delete(m.followed, f.ID)
	}
	c.mu.Unlock()
	switch {
	case err != nil:
		m.link.Append(link.Refused, func(w *link.Writer) { w.Uint(f.ID) })
	case !still: // any more
		c.untap(m, channel, f.ID)
	}
}

// unfollowedBy ends that.
func (c *Cluster) unfollowedBy(m *member, id uint64) {
	c.mu.Lock()
	channel, ok := m.followed[id]
	delete(m.followed, id)
	c.mu.Unlock()
	if ok {
		c.kept.InOrder(channel, func() { c.untap(m, channel, id) })
	}
}

func (c *Cluster) untap(m *member, channel string, id uint64) {
	c.broker.Untap(channel, func(before broker.Tap) broker.Tap {
		t, _ := before.(*link.Tap)
		t.Followers = slices.DeleteFunc(t.Followers, func(f link.Follower) bool { return f == link.Follower{Link: m.link, ID: id} })
		if len(t.Followers) == 0 {
			return nil
		}
		return t
	})
}

// forget ends all that a member follows here.
func (c *Cluster) forget(m *member) {
	c.mu.Lock()
	followed := m.followed
	m.followed = make(map[uint64]string)
	c.mu.Unlock()
	for id, channel := range followed {
		c.untap(m, channel, id)
	}
}
