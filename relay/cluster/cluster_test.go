package cluster_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/internal/contain"
	"weir/internal/mesh"
	"weir/internal/mesh/fake"
	"weir/relay/cluster"
)

// partitions are so many that no node is likely to own none.
const partitions = 32

// node is a process of the test.
type node struct {
	testing.TB
	name, session string
	cluster       *cluster.Cluster
	broker        *broker.Broker
	panics        atomic.Int64
	holds         atomic.Pointer[chan struct{}] // channels are made when it is closed; nil: at once

	mu   sync.Mutex
	seen map[string][]string // by channel: what a reader was told
}

// opener notes the session of a node.
type opener struct {
	*fake.Mesh
	node *node
}

// Open implements mesh.Opener.
func (o opener) Open(session string, h mesh.Handler) (mesh.Node, error) {
	o.node.session = session
	return o.Mesh.Open(session, h)
}

// reader is a subscriber that notes what it is told.
type reader struct {
	node    *node
	channel string
}

func (r reader) note(text string) {
	r.node.mu.Lock()
	defer r.node.mu.Unlock()
	r.node.seen[r.channel] = append(r.node.seen[r.channel], text)
}

// Apply implements broker.Subscriber.
func (r reader) Apply(c *broker.Change) { r.note(string(c.Encoded)) }

// Reset implements broker.Subscriber.
func (r reader) Reset(p broker.Reply) {
	r.note(fmt.Sprintf("reset %d lost=%t", p.Position.Seq, p.Lost))
}

// told is what the reader of a channel was told, and forgets it.
func (n *node) told(channel string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.seen[channel]
	delete(n.seen, channel)
	return list
}

func start(t testing.TB, m *fake.Mesh, name string, calls map[string]cluster.Handler) *node {
	t.Helper()
	return startWith(t, m, name, cluster.Handlers{Calls: calls})
}

func startWith(t testing.TB, m *fake.Mesh, name string, handlers cluster.Handlers) *node {
	t.Helper()
	return startAs(t, m, name, handlers, func(*cluster.Config) {})
}

// startAs is startWith with another configuration.
func startAs(t testing.TB, m *fake.Mesh, name string, handlers cluster.Handlers, prepare func(c *cluster.Config)) *node {
	t.Helper()
	n := &node{TB: t, name: name, seen: make(map[string][]string)}
	hook := func(string, any) { n.panics.Add(1) }
	var err error
	config := cluster.Config{Node: name, Partitions: partitions, Opener: opener{m, n}, Log: slog.New(slog.DiscardHandler), Panic: hook}
	prepare(&config)
	n.cluster, err = cluster.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	b := broker.Config{Cluster: n.cluster, Panic: hook, Subscriber: func(c *broker.Channel) broker.Subscriber { return reader{n, c.Name()} }}
	b.Policy = func(string) (p broker.Policy) {
		if holds := n.holds.Load(); holds != nil {
			<-*holds
		}
		return p
	}
	if config.Durable != nil {
		b.Policy, b.Store = config.Durable.Policy, n.cluster.Kept().Store()
	}
	n.broker, err = broker.New(b)
	if err != nil {
		t.Fatal(err)
	}
	n.cluster.Start(n.broker, handlers)
	t.Cleanup(func() {
		_ = n.cluster.Close()
		_ = n.broker.Close()
	})
	return n
}

// join has a reader follow a channel, and returns the position and what it was told.
func (n *node) join(channel string, from *broker.Position) (r broker.Reply) {
	n.Helper()
	if _, err := n.broker.Join(channel, broker.JoinRequest{From: from}, func(_ broker.Subscriber, got broker.Reply) { r = got }); err != nil {
		n.Fatalf("%s joins %s: %v", n.name, channel, err)
	}
	return r
}

func (n *node) publish(channel, data string) broker.Position {
	n.Helper()
	at, err := n.broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte(data)})
	if err != nil {
		n.Fatalf("%s publishes to %s: %v", n.name, channel, err)
	}
	return at
}

// owner is the node that owns a channel.
func owner(nodes []*node, channel string) *node {
	for _, n := range nodes {
		if !n.cluster.Elsewhere(channel) {
			return n
		}
	}
	return nil
}

// others are the nodes but one.
func others(nodes []*node, but *node) (list []*node) {
	for _, n := range nodes {
		if n != but {
			list = append(list, n)
		}
	}
	return list
}

// three starts three nodes, and waits until each partition has its owner.
func three(t testing.TB, m *fake.Mesh) []*node {
	t.Helper()
	var list []*node
	for i := range 3 {
		list = append(list, start(t, m, fmt.Sprintf("node-%d", i), nil))
	}
	time.Sleep(4 * time.Second)
	for _, n := range list {
		if why := n.cluster.Trouble(); why != "" {
			t.Fatalf("%s: %s", n.name, why)
		}
	}
	return list
}

// A publication on any node reaches the readers on every node once, in one order, and positions of one node hold on the others.
func TestOneOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := three(t, &fake.Mesh{})
		const channel = "room:1"
		var first broker.Position
		for _, n := range nodes {
			n.join(channel, nil)
		}
		for i := range 10 {
			at := nodes[i%3].publish(channel, fmt.Sprint(i))
			if i == 0 {
				first = at
			}
			if at.Seq != uint64(i+1) || at.Epoch != first.Epoch {
				t.Errorf("publication %d is at %v, the first one at %v", i, at, first)
			}
		}
		synctest.Wait()
		time.Sleep(time.Second)
		want := strings.Join(nodes[0].told(channel), "\n")
		if strings.Count(want, "\n") != 9 || strings.Contains(want, "reset") {
			t.Errorf("a reader was told\n%s", want)
		}
		for _, n := range nodes[1:] {
			if got := strings.Join(n.told(channel), "\n"); got != want {
				t.Errorf("%s was told\n%s\nand another reader\n%s", n.name, got, want)
			}
		}
		for _, n := range nodes {
			if r := n.join(channel, &first); !r.Recovered || strings.Count(string(r.Changes), `"seq"`) != 9 {
				t.Errorf("%s resumes: %+v", n.name, r)
			}
		}
	})
}

// What the owner refuses is refused elsewhere with the same error, and an idempotency key counts wherever it comes.
func TestRefusalsElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := three(t, &fake.Mesh{})
		const channel = "room:1"
		of := owner(nodes, channel)
		n := others(nodes, of)[0]
		p := &broker.Publication{Op: broker.Send, Data: []byte("1"), IdempotencyKey: "k"}
		a, err := n.broker.Publish(channel, p)
		b, again := of.broker.Publish(channel, p)
		if err != nil || again != nil || a != b {
			t.Errorf("the same key: %v %v, %v %v", a, err, b, again)
		}
		if _, err := n.broker.Publish(channel, &broker.Publication{Op: broker.Set}); err == nil {
			t.Error("a set without a key")
		}
		at, err := n.broker.Publish(channel, &broker.Publication{Op: broker.Set, Key: "gone", Data: []byte("1"), TTL: time.Second})
		n.join(channel, nil)
		time.Sleep(3 * time.Second)
		told := n.told(channel)
		if err != nil || len(told) != 1 || !strings.Contains(told[0], `"cause":"expired"`) || at.Seq != 2 {
			t.Errorf("an item that ends was told as %q (%v)", told, err)
		}
	})
}

// When the owner of a channel is gone, another node goes on with what any node has of it: readers miss nothing, and positions from before hold.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Value
		dead.Store("nobody")
		m := &fake.Mesh{Lose: func(from, to string, _ []byte) bool { return from == dead.Load() || to == dead.Load() }}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		of.join(channel, nil)
		left := others(nodes, of)
		left[0].join(channel, nil) // one of them has it, whoever takes over
		before := left[1].publish(channel, "1")
		left[1].publish(channel, "2")
		time.Sleep(time.Second)
		left[0].told(channel)

		dead.Store(of.session)
		begun := time.Now()
		for owner(left, channel) == nil {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(begun); took > 3*time.Second {
			t.Errorf("the takeover took %v", took)
		}
		var at broker.Position
		for { // one of them may not have been told of its new owner yet
			var err error
			if at, err = left[1].broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte("3")}); err == nil {
				break
			}
			if time.Since(begun) > 4*time.Second {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if at.Seq != 3 || at.Epoch == before.Epoch {
			t.Errorf("the next publication is at %v, before the takeover it was %v", at, before)
		}
		time.Sleep(time.Second)
		told := left[0].told(channel)
		if len(told) != 2 || told[0] != "reset 2 lost=false" || !strings.Contains(told[1], `"data":3`) {
			t.Errorf("the reader was told %q", told)
		}
		for _, n := range left {
			if r := n.join(channel, &before); !r.Recovered || strings.Count(string(r.Changes), `"seq"`) != 2 {
				t.Errorf("%s resumes: %+v", n.name, r)
			}
		}
		if r := left[0].join(channel, &broker.Position{Epoch: before.Epoch, Seq: 3}); r.Recovered || !r.Lost {
			t.Errorf("a reader that has seen what is lost resumes: %+v", r)
		}

		// The old owner comes back, and finds that it is none any more.
		if _, err := of.broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte("9")}); err == nil {
			t.Error("a node that hears nobody has made a publication")
		}
		of.told(channel)
		dead.Store("nobody")
		m.Heal()
		time.Sleep(5 * time.Second)
		if got := of.publish(channel, "4"); got.Epoch != at.Epoch || got.Seq != 4 {
			t.Errorf("the old owner's publication is at %v", got)
		}
		time.Sleep(time.Second)
		if told := of.told(channel); len(told) < 2 || !strings.HasPrefix(told[0], "reset") || !strings.Contains(told[len(told)-1], `"data":4`) {
			t.Errorf("the old owner's reader was told %q", told)
		}
	})
}

// Whatever frames are lost, readers get every change once and in order, or are told.
func TestLostFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var count atomic.Int64
		var losing atomic.Bool
		m := &fake.Mesh{Lose: func(_, _ string, b []byte) bool { return losing.Load() && !json.Valid(b) && count.Add(1)%7 == 0 }}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		readers := others(nodes, of)
		for _, n := range readers {
			n.join(channel, nil)
		}
		losing.Store(true)
		for i := range 200 {
			of.publish(channel, fmt.Sprint(i))
			time.Sleep(20 * time.Millisecond)
		}
		losing.Store(false)
		time.Sleep(5 * time.Second)
		for _, n := range readers {
			last := 0
			for _, text := range n.told(channel) {
				var change struct{ Seq int }
				if json.Unmarshal([]byte(text), &change) != nil {
					t.Errorf("%s was told %q: all that it missed is in the log", n.name, text)
					continue
				}
				if change.Seq != last+1 {
					t.Fatalf("%s was told %d after %d", n.name, change.Seq, last)
				}
				last = change.Seq
			}
			if last != 200 {
				t.Errorf("%s was told up to %d of 200", n.name, last)
			}
		}
		if of.cluster.Stats().Restarts == 0 {
			t.Error("no link began anew")
		}
	})
}

// A panic costs what was being worked on, and the cluster goes on.
func TestPanicsInTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		thrown := map[string]int{"cluster clock": 2, "cluster table": 2, "cluster balance": 2, "cluster link": 2, "cluster call": 1, "takeover": 3, "cluster parts": 1, "notices": 1}
		contain.Throw(func(where string) {
			mu.Lock()
			left := thrown[where]
			thrown[where]--
			mu.Unlock()
			if left > 0 {
				panic("thrown at " + where)
			}
		})
		defer contain.Throw(nil)
		m := &fake.Mesh{}
		var nodes []*node
		var acted atomic.Int64
		echo := map[string]cluster.Handler{"echo": func(b []byte) ([]byte, error) { return b, nil }}
		for i := range 3 {
			h := cluster.Handlers{Calls: echo, Actors: map[string]cluster.Actor{"act": func([]byte, time.Time) []byte { acted.Add(1); return nil }}}
			nodes = append(nodes, startWith(t, m, fmt.Sprintf("node-%d", i), h))
		}
		time.Sleep(10 * time.Second)
		nodes[0].join("room:1", nil)
		for _, n := range nodes {
			n.publish("room:1", "1")
		}
		time.Sleep(time.Second)
		if told := nodes[0].told("room:1"); len(told) != 3 {
			t.Errorf("the reader was told %q", told)
		}
		answers, silent := nodes[0].cluster.CallAll(t.Context(), "echo", []byte("a"))
		if len(answers)+len(silent) != 2 {
			t.Errorf("answers %q, silent %q", answers, silent)
		}
		if answers, silent = nodes[0].cluster.CallAll(t.Context(), "echo", []byte("b")); len(answers) != 2 || len(silent) != 0 {
			t.Errorf("afterwards: answers %q, silent %q", answers, silent)
		}
		mu.Lock()
		thrown["cluster call"] = 2
		mu.Unlock()
		nodes[0].cluster.Notify("act", nil, true) // the others ask for it, since their calls have panicked
		time.Sleep(10 * time.Second)
		if acted.Load() != 3 || thrown["notices"] > 0 {
			t.Errorf("%d nodes have acted on a notice", acted.Load())
		}
		panics := int64(0)
		for _, n := range nodes {
			panics += n.panics.Load()
		}
		if panics < 7 {
			t.Errorf("only %d panics", panics)
		}
	})
}

// Without the table nothing moves, and what is owned goes on.
func TestTableAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &fake.Mesh{}
		nodes := three(t, m)
		m.Shut(true)
		time.Sleep(20 * time.Second)
		for i, n := range nodes {
			if at := n.publish("room:1", "1"); at.Seq != uint64(i+1) {
				t.Errorf("%s: %v", n.name, at)
			}
		}
	})
}

// A node that was stopped serves nothing before it knows what has happened meanwhile: its own clients get nothing made in a term that is over.
func TestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &fake.Mesh{}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		of.join(channel, nil)
		before := of.publish(channel, "1")
		left := others(nodes, of)
		m.Stop(of.session, true)
		time.Sleep(10 * time.Second)
		at := left[0].publish(channel, "2")
		if _, err := of.broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte("9")}); err == nil {
			t.Error("a node that was stopped has made a publication")
		}
		if _, err := of.broker.Join("another:1", broker.JoinRequest{}, nil); err == nil && !of.cluster.Elsewhere("another:1") {
			t.Error("it lets clients follow what it owned")
		}
		m.Stop(of.session, false)
		time.Sleep(3 * time.Second)
		if got := of.publish(channel, "3"); got.Epoch != at.Epoch || got.Epoch == before.Epoch || got.Seq != at.Seq+1 {
			t.Errorf("after %v and %v its publication is at %v", before, at, got)
		}
	})
}

// A node that hears nobody takes nothing over from those who hear each other, and they take over what it owns. One that is alone, since all others are gone,
// takes over all.
func TestDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deaf atomic.Value
		deaf.Store("")
		m := &fake.Mesh{Lose: func(_, to string, _ []byte) bool { return to != "" && to == deaf.Load() }}
		nodes := three(t, m)
		deaf.Store(nodes[0].session)
		time.Sleep(10 * time.Second)
		if s := nodes[0].cluster.Stats(); !s.Isolated || s.Owned != 0 {
			t.Errorf("the deaf node: %+v", s)
		}
		if a, b := nodes[1].cluster.Stats(), nodes[2].cluster.Stats(); a.Owned+b.Owned != partitions {
			t.Errorf("the others: %+v, %+v", a, b)
		}
		deaf.Store("")
		time.Sleep(5 * time.Second)
		if why := nodes[0].cluster.Trouble(); why != "" {
			t.Error("it hears again: " + why)
		}
		for _, n := range nodes[1:] {
			m.Stop(n.session, true)
		}
		time.Sleep(20 * time.Second)
		if s := nodes[0].cluster.Stats(); s.Isolated || s.Owned != partitions {
			t.Errorf("the last node: %+v", s)
		}
		for _, n := range nodes[1:] {
			m.Stop(n.session, false)
		}
	})
}

// A replica that has missed frames has the idempotency keys of what it missed, too.
func TestKeysOfWhatWasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var losing atomic.Bool
		var dead atomic.Value
		dead.Store("")
		m := &fake.Mesh{Lose: func(from, to string, b []byte) bool {
			return losing.Load() && !json.Valid(b) || dead.Load() != "" && (from == dead.Load() || to == dead.Load())
		}}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		left := others(nodes, of)
		for _, n := range left {
			n.join(channel, nil)
		}
		of.publish(channel, "1")
		time.Sleep(time.Second)
		losing.Store(true)
		p := &broker.Publication{Op: broker.Send, Data: []byte("2"), IdempotencyKey: "k"}
		at, err := of.broker.Publish(channel, p)
		time.Sleep(time.Second)
		losing.Store(false)
		time.Sleep(3 * time.Second)
		dead.Store(of.session)
		time.Sleep(6 * time.Second)
		again, err2 := left[0].broker.Publish(channel, p)
		if err != nil || err2 != nil || again.Seq != at.Seq {
			t.Errorf("at first at %v (%v), after the takeover at %v (%v)", at, err, again, err2)
		}
	})
}

// Whoever has seen a change on one node resumes on another one that has not got it yet.
func TestResumeAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Value
		slow.Store("")
		m := &fake.Mesh{Lose: func(_, to string, b []byte) bool { return to != "" && to == slow.Load() && !json.Valid(b) }}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		n := others(nodes, of)[0]
		n.join(channel, nil)
		of.publish(channel, "1")
		time.Sleep(time.Second)
		slow.Store(n.session)
		at := of.publish(channel, "2")
		time.Sleep(100 * time.Millisecond)
		slow.Store("")
		if n.broker.Knows(channel, at) {
			t.Fatal("the replica has it")
		}
		n.cluster.Refresh(channel)
		if r := n.join(channel, &at); !r.Recovered {
			t.Errorf("resumed: %+v", r)
		}
	})
}
