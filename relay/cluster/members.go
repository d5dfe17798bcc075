package cluster

import (
	"encoding/json"
	"log/slog"
	"time"

	"weir/internal/contain"
	"weir/relay/cluster/link"
	"weir/relay/cluster/parts"
)

// announce says hello.
func (c *Cluster) announce() error {
	now := time.Now()
	h := link.Hello{Session: c.session, Node: c.config.Node, Policy: c.config.Policy, Shared: c.agreed, Age: max(1, now.Sub(c.started).Milliseconds()), Leaving: c.draining.Load(), Draining: c.leaving.Load(), Moves: movesHeld, Table: c.table.Load(), Notices: c.notices.Heads(),
		Heard: make(map[string]int64), Sent: make(map[string]link.Sent), Lost: make(map[string]uint64)}
	c.mu.Lock()
	if !c.cutSince.IsZero() {
		h.Cut = max(1, now.Sub(c.cutSince).Milliseconds())
	}
	for _, m := range c.members {
		if !m.heard.IsZero() {
			h.Heard[m.session] = now.Sub(m.heard).Milliseconds()
		}
		epoch, number := m.link.Last()
		if number > 0 {
			h.Sent[m.session] = link.Sent{Epoch: epoch, Number: number}
		}
		if m.in.Broken {
			h.Lost[m.session] = m.in.Epoch
		}
	}
	c.mu.Unlock()
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return c.node.Announce(b)
}

// Announced implements mesh.Handler.
func (i inbox) Announced(b []byte) {
	c := i.cluster
	var h link.Hello
	if !c.running() || json.Unmarshal(b, &h) != nil || h.Session == c.session || len(h.Session) != link.SessionBytes {
		return
	}
	now := time.Now()
	c.mu.Lock()
	m := c.member(h.Session)
	first := m.node == ""
	if first { // a process keeps its name: whoever has found it with the lock held reads it without
		m.node, m.since = h.Node, now
		c.config.Log.Info("a node has joined", slog.String("node", h.Node), slog.String("session", h.Session))
	}
	away := h.Leaving || h.CutOff(alive)
	back := m.absent && !away
	m.heard, m.hello, m.absent = now, h, m.absent && away
	switch s := h.Sent[c.session]; {
	case s.Epoch < m.in.Epoch, s.Epoch == m.in.Epoch && (s.Number <= m.in.Number || m.in.Broken): // a link that has begun anew since counts, too
		m.in.Late = time.Time{}
	case m.in.Late.IsZero():
		m.in.Late = now
	case now.Sub(m.in.Late) > lateFrame:
		m.in.Late, m.in.Epoch, m.in.Broken = time.Time{}, s.Epoch, true
	}
	if h.Table <= c.table.Load() {
		m.ahead = time.Time{}
	} else if m.ahead.IsZero() {
		m.ahead = now
	}
	learn := !m.ahead.IsZero() && now.Sub(m.ahead) > lateFrame && !c.learns.Swap(true)
	epoch := h.Lost[c.session]
	c.mu.Unlock()
	if learn {
		c.config.Panic.Go(&c.done, "cluster rows", func() { c.learn(m) }, func() { c.learns.Store(false) }) // ends with the answer; Close waits for it
	}
	if first {
		c.tellAnew(h.Session)
	}
	c.catchUp(m, h.Notices, now)
	if back {
		m.link.Append(link.Parts, (&parts.Record{What: parts.Ask}).Append)
	}
	if epoch != 0 && m.link.Restart(epoch) {
		c.restarted(m)
	}
}

// member returns another process, which is made if need be. Called with mu held.
func (c *Cluster) member(session string) *member {
	m := c.members[session]
	if m == nil {
		m = &member{session: session, link: link.New(c.session, session), followed: make(map[uint64]string), stop: make(chan struct{})}
		m.flow.Link, m.flow.Ask = m.link, func(done func()) { c.whenCome(m, done) }
		c.members[session] = m
		c.config.Panic.Loop(&c.done, "cluster link", contain.Closed(m.stop), func() { c.send(m) }, nil) // ended by removal, and by Close
	}
	return m
}

// alive reports whether a process is there. Called with mu held.
func (c *Cluster) alive(session string, now time.Time) bool {
	if session == c.session {
		return true
	}
	m := c.members[session]
	return m != nil && now.Sub(m.heard) < alive && !m.hello.Leaving && !m.hello.CutOff(alive)
}

// send sends what a link holds until the member is removed.
func (c *Cluster) send(m *member) {
	var buffer []byte
	for {
		select {
		case <-m.stop:
			return
		case <-m.link.Wake:
		}
		for {
			b, full := m.link.Next(buffer)
			if b == nil {
				break
			}
			buffer = b
			_ = c.node.Send(m.session, b) // what is lost is found out by its number
			c.counts.frames.Add(1)
			c.counts.bytes.Add(uint64(len(b)))
			if full {
				time.Sleep(link.RestAfter) // more comes together
			}
		}
		if m.link.Overflowed() {
			c.config.Log.Warn("too much waits to be sent to a node: the link to that node is reset", slog.String("session", m.session))
			m.link.Restart(0)
			c.restarted(m)
		}
	}
}

// restarted goes on after a link to a member, or from it, has begun anew: what was asked of it fails, and what is followed there is
// followed again.
func (c *Cluster) restarted(m *member) {
	c.counts.restarts.Add(1)
	c.mu.Lock()
	failed := c.unanswered(m.session, -1)
	m.link.Append(link.Forget, func(*link.Writer) {})
	for _, r := range c.replicas {
		if r.sent == m.session {
			c.ask(r, m)
		}
	}
	c.mu.Unlock()
	c.tellAnew(m.session)
	finish(failed)
}

// Frame implements mesh.Handler.
func (i inbox) Frame(b []byte) {
	c := i.cluster
	f, ok := link.ParseFrame(b)
	if !ok || !c.running() || f.From == c.session {
		return
	}
	c.mu.Lock()
	m := c.member(f.From)
	again := m.in.Epoch != 0
	records, fresh, ok := m.in.Take(&f)
	lost := m.in.Broken
	c.mu.Unlock()
	if !ok {
		if lost {
			_ = c.announce()
		}
		return
	}
	if fresh && again {
		c.restarted(m)
	}
	m.in.Each(records, func(kind byte, r *link.Reader) { c.record(m, kind, r) })
}

// record works one record off.
func (c *Cluster) record(m *member, kind byte, r *link.Reader) {
	switch kind {
	case link.Forget:
		c.forget(m)
	case link.Follow:
		c.followedBy(m, r)
	case link.Unfollow:
		c.unfollowedBy(m, r.Uint())
	case link.Kept, link.Missed, link.Refused, link.Change, link.Again:
		c.fromOwner(m, kind, r)
	case link.Publish:
		c.published(m, r)
	case link.Answer, link.Error, link.Reply:
		c.answered(m, kind, r)
	case link.Call:
		c.called(m, r)
	case link.Parts:
		c.parted(m, r)
	}
	if r.Err != nil {
		c.config.Log.Error("a node has sent a malformed record: run the same version of weir on all nodes", slog.String("node", m.node), slog.Int("record", int(kind)))
	}
}
