package pool

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// step is one thing that happens in a model run.
type step struct {
	Do      string
	C, T, N int
}

var deeds = []string{"join", "join", "leave", "switch", "after", "reply", "send", "accept", "accept", "accept", "flush", "flush",
	"instead", "lose", "block", "unblock", "rest", "rest", "shut", "drop", "remove"}

// member is a connection of a model run.
type member struct {
	*peer
	story  *story
	joined []bool
	ended  bool // shut or removed
	rest   string
}

// TestModel plays random series of joins, leaves, deliveries, removals, losses and slow readers, on one
// or several shards, and holds what every connection reads against the story that it must be.
func TestModel(t *testing.T) {
	for range 10 { // the rare interleavings need more than rapid's hundred
		rapid.Check(t, func(r *rapid.T) { modelRun(t, r) })
	}
}

func modelRun(t *testing.T, r *rapid.T) {
	shards := rapid.SampledFrom([]int{1, 1, 2}).Draw(r, "shards")
	queue := rapid.SampledFrom([]int{200, 1 << 20}).Draw(r, "queue")
	conns := rapid.IntRange(1, 5).Draw(r, "conns")
	topics := rapid.IntRange(1, 3).Draw(r, "topics")
	steps := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) step {
		return step{rapid.SampledFrom(deeds).Draw(r, "do"), rapid.IntRange(0, conns-1).Draw(r, "c"),
			rapid.IntRange(0, topics-1).Draw(r, "t"), rapid.IntRange(0, 60).Draw(r, "n")}
	}), 1, 80).Draw(r, "steps")
	var err error
	synctest.Test(t, func(t *testing.T) { err = play(Config{Shards: shards, Queue: queue}, conns, topics, steps) })
	if err != nil {
		r.Fatal(err)
	}
}

// run is the state of a model run.
type run struct {
	pool    *Pool
	members []*member
	topics  []*channel
	owed    atomic.Int64 // calls of then that have not come
}

func play(cfg Config, conns, topics int, steps []step) error {
	g := &run{pool: New(cfg)}
	defer g.pool.Close()
	for i := range topics {
		policy := Disconnect
		if i > 0 {
			policy = Resync
		}
		g.topics = append(g.topics, newChannel(g.pool, i, policy))
	}
	for range conns {
		g.members = append(g.members, g.open())
	}
	for i, s := range steps {
		g.do(s)
		if s.Do == "rest" {
			synctest.Wait()
			if err := g.check(false); err != nil {
				return fmt.Errorf("after step %d: %w", i, err)
			}
		}
	}
	for _, m := range g.members {
		m.block(false)
	}
	for _, ch := range g.topics {
		ch.flush()
	}
	synctest.Wait()
	if err := g.check(true); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	for _, m := range g.members {
		m.Remove(g.owe())
	}
	synctest.Wait()
	return g.left()
}

func (g *run) open() *member {
	m := &member{story: newStory(), joined: make([]bool, len(g.topics))}
	m.story.slow = g.pool.cfg.Queue < 1<<20 // even a reader that reads may be too slow for so little
	o := &owner{}
	if len(g.members)%3 == 2 {
		o.tail = func(dst []byte, _ *Topic, _ *Frame) []byte { return dst } // goes another way, and says nothing
	}
	m.peer = memPeerOf(g.pool, plain, o)
	o.onSlow = func() { m.Shut(rec(0, 'E', 0, 0), true) }
	o.onResync = func(t *Topic) {
		for _, ch := range g.topics {
			if ch.Topic == t {
				ch.at(func(at uint64) { m.Rejoin(t, at, rec(ch.index, 'R', at, 0)) })
			}
		}
	}
	return m
}

// owe is a then that must be called once.
func (g *run) owe() func() {
	g.owed.Add(1)
	return func() { g.owed.Add(-1) }
}

func (g *run) do(s step) {
	m, ch := g.members[s.C], g.topics[s.T]
	join := func() {
		ch.at(func(at uint64) { m.Join(ch.Topic, at, rec(s.T, 'J', at, 0), g.owe()) })
		m.joined[s.T] = true
	}
	leave := func() {
		ch.at(func(at uint64) {
			m.story.leave(s.T, at)
			m.Leave(ch.Topic, at, rec(s.T, 'L', at, 0), g.owe())
		})
		m.joined[s.T] = false
	}
	switch s.Do {
	case "join":
		if !m.joined[s.T] && !m.ended {
			join()
		}
	case "leave":
		if m.joined[s.T] {
			leave()
		}
	case "switch":
		if m.joined[s.T] && !m.ended {
			leave()
			join()
		}
	case "after":
		if m.joined[s.T] {
			ch.at(func(at uint64) { m.After(ch.Topic, at, rec(s.T, 'A', at, 0)) })
		}
	case "reply":
		m.Reply(rec(s.T, 'P', 0, s.N), g.owe())
	case "send":
		_ = m.Send(rec(s.T, 'S', 0, s.N))
	case "accept":
		for range 1 + s.N%3 {
			ch.accept(s.N, nil)
		}
	case "flush":
		ch.flush()
	case "instead":
		in := Override{Conn: m.Conn}
		if s.N%2 == 0 {
			in.Bytes, in.Count = rec(s.T, 'I', ch.accepted+1, s.N), 1
		} else {
			m.story.skip(s.T, ch.accepted+1)
		}
		ch.accept(s.N, []Override{in})
	case "lose":
		for _, at := range ch.lose() {
			for _, m := range g.members { // for those that leave before the loss
				m.story.skip(s.T, at)
			}
		}
	case "block":
		m.block(true)
	case "unblock":
		m.block(false)
	case "shut", "drop":
		m.ended = true
		m.Shut(rec(0, 'E', 0, s.N), s.Do == "drop")
	case "remove":
		m.ended = true
		m.Remove(g.owe())
	}
}

// check holds what has been read against the stories.
func (g *run) check(end bool) error {
	for i, m := range g.members {
		var err error
		if m.rest, err = m.story.tell(m.rest + m.take()); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if !end || m.ended || m.owner.slows() > 0 {
			continue
		}
		for _, ch := range g.topics {
			if err := m.story.caughtUp(ch.index, ch.accepted); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			if n := len(m.story.members[fmt.Sprint(ch.index)]); n > 1 || (n == 1) != m.joined[ch.index] {
				return fmt.Errorf("connection %d: %d memberships of topic %d, want %v", i, n, ch.index, m.joined[ch.index])
			}
		}
	}
	return nil
}

// left checks that everything has gone with the connections.
func (g *run) left() error {
	if st := g.pool.Stats(); st.Queued != 0 || st.Stalled != 0 || st.Backlog != 0 {
		return fmt.Errorf("gauges do not return to 0: %+v", st)
	}
	if n := g.owed.Load(); n != 0 {
		return fmt.Errorf("then: %d calls are missing", n)
	}
	for _, ch := range g.topics {
		for i := range ch.slots {
			sl := ch.slots[i].Load()
			if sl != nil && (sl.joined.Load() != 0 || len(sl.subs) != 0 || len(sl.waits) != 0) || ch.Takers(plain) != 0 {
				return fmt.Errorf("topic %d is not empty", ch.index)
			}
		}
	}
	for i, m := range g.members {
		if len(m.memberships)+len(m.lagging())+int(m.waits) != 0 {
			return fmt.Errorf("connection %d: memberships are left", i)
		}
	}
	return nil
}
