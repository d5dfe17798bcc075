package cluster

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"

	"weir/relay/cluster/forward"
	"weir/relay/cluster/place"
)

// partition is the partition of a channel.
func (c *Cluster) partition(channel string) int {
	return place.Partition(channel, len(c.owners), c.config.Place)
}

// first reports whether this process is first in line for a partition, among all that may have it. Called with mu held.
func (c *Cluster) first(p int, now time.Time) bool {
	mine := place.Weight(c.session, p)
	for session := range c.members {
		if c.eligible(session, now) && place.Weight(session, p) > mine {
			return false
		}
	}
	return true
}

// heardElsewhere reports whether another process has heard a session lately. Called with mu held.
func (c *Cluster) heardElsewhere(session string, now time.Time) bool {
	if m := c.members[session]; m != nil && m.hello.CutOff(alive) {
		return false
	}
	for _, m := range c.members {
		if ms, ok := m.hello.Heard[session]; ok && c.alive(m.session, now) && m.session != session &&
			time.Duration(ms)*time.Millisecond+now.Sub(m.heard) < heardByElse {
			return true
		}
	}
	return false
}

// clock looks after what time brings until the cluster is left.
func (c *Cluster) clock() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var said time.Time
	last := time.Now()
	for {
		now := time.Now()
		if now.Sub(last) > isolation { // the process was stopped for a while
			c.doubt(now)
		}
		last = now
		c.ticked.Store(int64(now.Sub(c.started)))
		if now.Sub(said) >= helloEvery {
			said = now
			_ = c.announce()
		}
		c.review(time.Now())
		select {
		case <-c.context.Done():
			return
		case <-ticker.C:
		}
	}
}

// watch looks after the table until the cluster is left. It waits for it, but for no longer than probeEvery: an owner has to find out in time
// that it is cut off.
func (c *Cluster) watch() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		c.judge()
		c.claim()
		select {
		case <-c.context.Done():
			return
		case <-ticker.C:
		}
	}
}

// review asks owners for the replicas that nobody was asked for, fails what was not answered in time, and forgets members that are gone.
func (c *Cluster) review(now time.Time) {
	c.agree(now)
	var gone []*member
	var absent []string
	// Or it is this process that nobody hears, or that was stopped: nobody is said to be gone then.
	sees := c.sees.Load() && !c.cut() && now.Sub(c.steady()) >= alive
	c.mu.Lock()
	for _, r := range c.replicas {
		c.place(r)
	}
	for session, m := range c.members {
		if sees && !m.absent && !m.heard.IsZero() && !c.alive(session, now) {
			m.absent = true
			absent = append(absent, session)
		}
		last := m.heard
		if last.IsZero() {
			last = c.started
		}
		switch silent := now.Sub(last); {
		case silent > removeAfter && sees:
			delete(c.members, session)
			c.notices.Forget(session)
			close(m.stop)
			gone = append(gone, m)
		case silent > forgetAfter && len(m.followed) > 0:
			gone = append(gone, m)
		}
	}
	var late []*request
	for _, q := range c.waiting {
		if now.After(q.until) {
			c.settle(q)
			q.Err = forward.ErrMaybe
			late = append(late, q)
		}
	}
	late = append(late, c.overdue(now)...)
	c.mu.Unlock()
	finish(late)
	for _, m := range gone {
		absent = append(absent, m.session) // what has come since
		c.forget(m)
		m.link.Reset() // if it is there after all, it finds that it has to follow again
	}
	c.notices.Tidy(now)
	c.handed.Tidy(now)
	for _, session := range absent {
		c.parts.Absent(session)
	}
}

// claim takes over the partitions that have no owner, as far as this process is first in line.
func (c *Cluster) claim() {
	now := time.Now()
	if !c.loaded.Load() || c.foreign.Load() || c.yielding.Load() || c.draining.Load() || c.leaving.Load() || c.cut() || !c.alone && !c.connected || now.Sub(c.steady()) < alive {
		return
	}
	for p := range c.owners {
		o := c.owners[p].Load()
		c.mu.Lock()
		mine := (o == nil || !c.alive(o.Session, now) && !c.heardElsewhere(o.Session, now)) && c.first(p, now)
		c.mu.Unlock()
		if !mine {
			continue
		}
		term := uint64(0)
		if o != nil {
			term = o.term
		}
		value, err := json.Marshal(owner{Node: c.config.Node, Session: c.session})
		if err == nil {
			ctx, cancel := context.WithTimeout(c.context, probeEvery)
			_, err = c.node.Update(ctx, rowPrefix+strconv.Itoa(p), value, term) // the table tells all, this process too
			cancel()
		}
		if err != nil {
			c.config.Log.Debug("partition not taken", slog.Int("partition", p), slog.String("error", err.Error()))
			return
		}
	}
}

// lose gives the channels of a partition up that another process has taken over. Those with readers are followed there.
func (c *Cluster) lose(p int, handed bool) {
	if !handed {
		c.config.Log.Warn("another node has taken a partition over", slog.Int("partition", p))
	}
	c.kept.Lose(p)
	c.broker.Names(func(name string) bool {
		if c.partition(name) != p {
			return true
		}
		c.mu.Lock()
		r := c.replicas[name]
		if r == nil { // before the channel may leave memory, which ends it
			r = &replica{channel: name, partition: p, first: make(chan firstKept, 1), loaded: true}
			c.replicas[name] = r
		} else {
			r = nil
		}
		c.mu.Unlock()
		used := c.broker.Demote(name)
		at, err := c.broker.At(name)
		c.mu.Lock()
		defer c.mu.Unlock()
		if r != nil && err == nil && r.sent == "" {
			r.epoch = at.Epoch
			r.seq.Store(at.Seq)
		}
		switch {
		case r == nil || c.replicas[name] != r:
		case used:
			c.place(r)
		default:
			c.drop(r)
		}
		return true
	})
}
