package durable_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/internal/mesh"
	"weir/internal/mesh/fake"
	"weir/relay/cluster/durable"
)

// process is one of a cluster, as far as it keeps durable channels.
type process struct {
	*durable.Durable
	broker *broker.Broker
	peers  map[string]*process // by session

	mu       sync.Mutex
	mine, up map[int]bool // partitions that it owns, and those that are open; guarded by mu
	done     sync.WaitGroup
}

func (p *process) Owns(partition int) (mine, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mine[partition], p.up[partition]
}

func (p *process) set(partition int, mine, open bool) {
	p.mu.Lock()
	p.mine[partition], p.up[partition] = mine, open
	p.mu.Unlock()
	if !mine {
		p.Lose(partition)
	}
}

func (p *process) Ready() bool                    { return true }
func (p *process) Alive(session string) bool      { return p.peers[session] != nil }
func (p *process) Names(f func(name string) bool) { p.broker.Names(f) }
func (p *process) Served(name string) bool        { return p.broker.Promote(name) == nil }
func (p *process) Lost(name string)               { p.broker.Demote(name) }

// rows hands what the table has to a process.
type rows struct{ p *process }

func (rows) Frame([]byte)     {}
func (rows) Announced([]byte) {}
func (rows) Loaded()          {}

func (r rows) Row(key string, value []byte, revision uint64) { r.p.Row(key, value, revision) }

// join starts a process with partitions 0 to 3; channel "n:..." is of partition n.
func join(t *testing.T, m *fake.Mesh, peers map[string]*process, name string) *process {
	t.Helper()
	p := &process{peers: peers, mine: make(map[int]bool), up: make(map[int]bool)}
	policy := func(string) broker.Policy {
		return broker.Policy{Durable: true, History: 100, HistoryTTL: -1, HistoryBytes: -1}
	}
	p.Durable = durable.New(durable.Config{Node: name, Session: name + "-1", Partitions: 4, Partition: func(channel string) int { return int(channel[0] - '0') }, Policy: policy,
		Owner: p, Log: slog.New(slog.DiscardHandler), Done: &p.done})
	node, err := m.Open(name+"-1", rows{p})
	if err != nil {
		t.Fatal(err)
	}
	p.Join(node)
	if p.broker, err = broker.New(broker.Config{Policy: policy, Store: p.Store()}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	peers[name+"-1"] = p
	p.Start(ctx)
	t.Cleanup(func() {
		cancel()
		_ = p.broker.Close()
		p.Close()
		_ = node.Close()
		p.done.Wait()
	})
	return p
}

var _ mesh.Handler = rows{}

// own has a process own partitions, and waits until it serves them.
func (p *process) own(t *testing.T, partitions ...int) {
	t.Helper()
	for _, n := range partitions {
		p.set(n, true, true)
	}
	for _, n := range partitions {
		for tried := 0; p.Behind(n); tried++ {
			if tried == 100 {
				t.Fatalf("partition %d is not served: %v", n, p.Untaken())
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

// give hands a partition over to another process.
func (p *process) give(t *testing.T, partition int, to *process) {
	t.Helper()
	p.set(partition, true, false)
	time.Sleep(time.Second) // it looks many times
	if err := p.Give(t.Context(), partition); err != nil {
		t.Fatal(err)
	}
	p.set(partition, false, false)
	to.own(t, partition)
}

// publish publishes, and returns where that is.
func (p *process) publish(t *testing.T, channel string) broker.Position {
	t.Helper()
	at, err := p.broker.Publish(channel, &broker.Publication{Op: broker.Set, Key: "k", Data: []byte("1")})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// A partition that is handed over takes no other one of the same log along, whatever looks at it meanwhile, and goes on in its epoch.
func TestHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, peers := &fake.Mesh{}, make(map[string]*process)
		a, b := join(t, m, peers, "a"), join(t, m, peers, "b")
		a.own(t, 0, 1)
		given, stays := a.publish(t, "0:x"), a.publish(t, "1:x")
		a.give(t, 0, b)
		if at := b.publish(t, "0:x"); at.Epoch != given.Epoch || at.Seq != given.Seq+1 {
			t.Errorf("it was at %v, and is at %v after it was handed over", given, at)
		}
		if at := a.publish(t, "1:x"); at.Epoch != stays.Epoch || at.Seq != stays.Seq+1 || a.Store().Stats().Fenced != 0 {
			t.Errorf("another partition was at %v, and is at %v: %+v", stays, at, a.Store().Stats())
		}
	})
}

// One that was not taken yet, since the log of who had it cannot be read, takes none along either.
func TestHandedOverUntaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var absent atomic.Bool
		m, peers := &fake.Mesh{Absent: func(session string) bool { return absent.Load() && session == "a-1" }}, make(map[string]*process)
		a, b, lost := join(t, m, peers, "a"), join(t, m, peers, "b"), join(t, m, peers, "lost")
		a.own(t, 1)
		lost.own(t, 0)
		before, stays := lost.publish(t, "0:x"), a.publish(t, "1:x")
		m.Stop("lost-1", true)
		defer m.Stop("lost-1", false)
		absent.Store(true)
		a.set(0, true, true)
		time.Sleep(time.Second)
		if !a.Behind(0) || a.Untaken() == nil {
			t.Fatal("a partition was taken though its log cannot be read")
		}
		a.give(t, 0, b)
		absent.Store(false)
		if at := b.publish(t, "0:x"); at.Epoch == before.Epoch || at.Seq != before.Seq+1 {
			t.Errorf("it was at %v of a process that was lost, and is at %v", before, at)
		}
		if at := a.publish(t, "1:x"); at.Epoch != stays.Epoch || a.Store().Stats().Fenced != 0 {
			t.Errorf("another partition was at %v, and is at %v: %+v", stays, at, a.Store().Stats())
		}
	})
}

// One that cannot be handed over, as the table does not answer, goes on in its epoch: all that was taken is in the log. So it does when it is handed over after a process that was
// lost: that is known by then.
func TestNotHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var unsure atomic.Bool
		m, peers := &fake.Mesh{Unsure: func(string) bool { return unsure.Swap(false) }}, make(map[string]*process)
		a, b := join(t, m, peers, "a"), join(t, m, peers, "b")
		a.own(t, 0)
		first := a.publish(t, "0:x")
		for i, fail := range []func(bool){m.Shut, unsure.Store} { // it is not written, and it is
			a.set(0, true, false)
			fail(true)
			if err := a.Give(t.Context(), 0); err == nil {
				t.Fatal("what is not known to be written was taken as written")
			}
			fail(false)
			a.own(t, 0)
			if at := a.publish(t, "0:x"); at.Epoch != first.Epoch || at.Seq != first.Seq+1+uint64(i) {
				t.Errorf("it was at %v, and is at %v after it was to be handed over", first, at)
			}
		}
		m.Stop("a-1", true)
		defer m.Stop("a-1", false)
		b.own(t, 0)
		forked := b.publish(t, "0:x")
		if forked.Epoch == first.Epoch || forked.Seq != first.Seq+3 {
			t.Errorf("it was at %v of a process that was lost, and is at %v", first, forked)
		}
		c := join(t, m, peers, "c")
		b.set(0, true, false)
		if err := b.Give(t.Context(), 0); err != nil { // before the log of who was lost is not needed any more
			t.Fatal(err)
		}
		b.set(0, false, false)
		c.own(t, 0)
		if at := c.publish(t, "0:x"); at.Epoch != forked.Epoch || at.Seq != forked.Seq+1 {
			t.Errorf("it was at %v, and is at %v after it was handed over", forked, at)
		}
	})
}

// at is where who joins a channel finds it.
func (p *process) at(t *testing.T, channel string) (at broker.Position) {
	t.Helper()
	c, err := p.broker.Join(channel, broker.JoinRequest{}, func(_ broker.Subscriber, r broker.Reply) { at = r.Position })
	if err != nil {
		t.Fatal(err)
	}
	c.Leave()
	return at
}

// A channel that has never had anything stays in its epoch when it is handed over, and not when its process is lost, which may have told of something. The epoch of one that was dropped
// does not come back.
func TestUnwrittenChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, peers := &fake.Mesh{}, make(map[string]*process)
		a, b, c := join(t, m, peers, "a"), join(t, m, peers, "b"), join(t, m, peers, "c")
		a.own(t, 0)
		first, dropped, other := a.at(t, "0:x"), a.at(t, "0:y"), a.at(t, "0:z")
		if first.Seq > 0 || first.Epoch == dropped.Epoch || first.Epoch == other.Epoch || first.Epoch == "" {
			t.Fatalf("channels begin at %v, %v and %v", first, dropped, other)
		}
		if at := a.publish(t, "0:y"); at.Epoch != dropped.Epoch {
			t.Errorf("the first change of %v is at %v", dropped, at)
		}
		if _, err := a.broker.Drop("0:y"); err != nil {
			t.Fatal(err)
		}
		a.give(t, 0, b)
		if at := b.at(t, "0:x"); at != first {
			t.Errorf("it was at %v, and is at %v after it was handed over", first, at)
		}
		if at := b.publish(t, "0:z"); at.Epoch != other.Epoch || at.Seq != 1 {
			t.Errorf("the first change of %v is at %v", other, at)
		}
		if at := b.at(t, "0:y"); at.Epoch == dropped.Epoch {
			t.Errorf("a channel that was dropped is at %v again", at)
		}
		time.Sleep(time.Minute) // what there was is on the shelf
		b.give(t, 0, a)
		if at := a.at(t, "0:y"); at.Epoch == dropped.Epoch {
			t.Errorf("a channel that was dropped is at %v again", at)
		}
		m.Stop("a-1", true)
		defer m.Stop("a-1", false)
		c.own(t, 0)
		if at := c.at(t, "0:x"); at.Epoch == first.Epoch {
			t.Errorf("it is at %v as before, and may have been at more", at)
		}
	})
}

// slowly is a mesh in which a process, that of the session a-1, waits for each read as long as that is so.
func slowly(slow *atomic.Bool) *fake.Mesh {
	return &fake.Mesh{Absent: func(session string) bool {
		if session == "a-1" && slow.Load() {
			time.Sleep(3 * time.Second)
		}
		return false
	}}
}

// One that is served is handed over at once, while it takes long to read what there is of another one.
func TestHandedOverMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		m, peers := slowly(&slow), make(map[string]*process)
		a, b, lost := join(t, m, peers, "a"), join(t, m, peers, "b"), join(t, m, peers, "lost")
		a.own(t, 1)
		lost.own(t, 0)
		lost.publish(t, "0:x")
		m.Stop("lost-1", true)
		defer m.Stop("lost-1", false)
		slow.Store(true)
		a.set(0, true, true)
		time.Sleep(time.Second)
		begun := time.Now()
		a.set(1, true, false)
		if err := a.Give(t.Context(), 1); err != nil || time.Since(begun) > time.Second {
			t.Errorf("it took %v: %v", time.Since(begun), err)
		}
		slow.Store(false)
		a.set(1, false, false)
		b.own(t, 1)
		time.Sleep(10 * time.Second)
		if a.Behind(0) {
			t.Errorf("the other one is not served: %v", a.Untaken())
		}
	})
}

// One that another process has had, and changed, while it took long to take it is not served with what was read before that.
func TestTakenElsewhereMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		m, peers := slowly(&slow), make(map[string]*process)
		a, b, lost := join(t, m, peers, "a"), join(t, m, peers, "b"), join(t, m, peers, "lost")
		a.own(t, 1)
		lost.own(t, 0)
		lost.publish(t, "0:x")
		m.Stop("lost-1", true)
		defer m.Stop("lost-1", false)
		slow.Store(true)
		a.set(0, true, true)
		time.Sleep(time.Second)
		a.set(0, false, false)
		b.own(t, 0)
		at := b.publish(t, "0:x")
		b.set(0, true, false)
		if err := b.Give(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		b.set(0, false, false)
		slow.Store(false)
		a.set(0, true, true)
		time.Sleep(20 * time.Second) // what it began before has ended
		if now := a.at(t, "0:x"); at.Seq != 2 || now.Seq != at.Seq {
			t.Errorf("it was at %v elsewhere, and is at %v", at, now)
		}
	})
}

// What a process wrote without an answer, before another one had the partition meanwhile, belongs to its first tenure, though it finds out only in its second one.
func TestUnansweredInTheTenureBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var unsure, away atomic.Bool
		m := &fake.Mesh{
			Unsure: func(session string) bool { return session == "a-1" && unsure.Swap(false) && !away.Swap(true) },
			Lose:   func(from, to string, _ []byte) bool { return from == "a-1" && to == "" && away.Load() },
		}
		peers := make(map[string]*process)
		a, b := join(t, m, peers, "a"), join(t, m, peers, "b")
		a.own(t, 0)
		a.publish(t, "0:x")
		unsure.Store(true)
		if _, err := a.broker.Submit("0:x", &broker.Publication{Op: broker.Set, Key: "k", Data: []byte("2")}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2500 * time.Millisecond) // it waits for a second from now on, and tries again
		b.own(t, 0)
		last := b.publish(t, "0:x")
		time.Sleep(time.Minute) // what there was is on the shelf, and the table has forgotten that a had it
		a.set(0, false, false)
		b.set(0, true, false)
		if err := b.Give(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		b.set(0, false, false)
		away.Store(false)
		m.Heal()
		a.own(t, 2) // which it never had
		a.set(0, true, true)
		time.Sleep(10 * time.Second)
		if kept, _, err := a.Store().Load("0:x", "fresh"); err != nil || kept.Position != last || last.Seq != 3 { // the broker of this test has it in memory yet
			t.Errorf("it was at %v elsewhere, and is at %v: %v", last, kept.Position, err)
		}
	})
}
