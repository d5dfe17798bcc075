package cluster_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/internal/mesh/fake"
	"weir/relay/cluster"
	"weir/relay/cluster/durable"
	"weir/relay/problem"
)

// keptPolicy has channels of disk be durable, and those of safe, too, that are told when they are safe.
func keptPolicy(channel string) broker.Policy {
	safe := strings.HasPrefix(channel, "safe:")
	return broker.Policy{Durable: safe || strings.HasPrefix(channel, "disk:"), AfterDisk: safe, History: 10_000, HistoryTTL: -1}
}

// keptNodes are three nodes with durable channels, some of which are dead.
type keptNodes struct {
	*testing.T
	mesh  *fake.Mesh
	nodes []*node
	dead  sync.Map // by session
}

func threeKept(t *testing.T) *keptNodes {
	t.Helper()
	return threeKeptOn(t, &fake.Mesh{})
}

func threeKeptOn(t *testing.T, m *fake.Mesh) *keptNodes {
	t.Helper()
	k := &keptNodes{T: t, mesh: m}
	k.mesh.Lose = func(from, to string, _ []byte) bool {
		_, a := k.dead.Load(from)
		_, b := k.dead.Load(to)
		return a || b
	}
	for i := range 3 {
		k.start(fmt.Sprint("node-", i))
	}
	k.settled()
	return k
}

// start starts a node.
func (k *keptNodes) start(name string) *node {
	k.Helper()
	n := startKept(k.T, k.mesh, name)
	k.nodes = append(k.nodes, n)
	return n
}

// kill has a node reach nobody, and nobody reach it.
func (k *keptNodes) kill(n *node) {
	k.dead.Store(n.session, true)
	k.nodes = others(k.nodes, n)
}

// settled waits until each partition has its owner, who serves its durable channels.
func (k *keptNodes) settled() {
	k.Helper()
	wait(k.T, "all partitions are served", func() bool {
		served := 0
		for _, n := range k.nodes {
			if n.cluster.Trouble() != "" {
				return false
			}
			served += n.cluster.Kept().Store().Stats().Served
		}
		return served == partitions
	})
}

// acked are the publications of a channel that were acknowledged, by their place.
type acked struct {
	mu   sync.Mutex
	list map[string]map[uint64]string
}

func (a *acked) add(channel string, at broker.Position, data string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.list == nil {
		a.list = make(map[string]map[uint64]string)
	}
	if a.list[channel] == nil {
		a.list[channel] = make(map[uint64]string)
	}
	a.list[channel][at.Seq] = data
}

// there holds that all of it is where it was.
func (a *acked) there(k *keptNodes) {
	k.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for channel, want := range a.list {
		of := owner(k.nodes, channel)
		if of == nil {
			k.Fatalf("%s has no owner", channel)
		}
		if err := of.broker.Load(channel); err != nil {
			k.Fatal(err)
		}
		b, _, _, _ := of.broker.History(channel, 0, 10_000)
		var list []struct {
			Seq  uint64
			Data json.RawMessage
		}
		if err := json.Unmarshal(b, &list); err != nil {
			k.Fatalf("%s: %.100s: %v", channel, b, err)
		}
		has := make(map[uint64]string)
		for _, one := range list {
			has[one.Seq] = string(one.Data)
		}
		for seq, data := range want {
			if has[seq] != data {
				k.Errorf("%s has lost what was acknowledged at %d: %s; it has %q among %d", channel, seq, data, has[seq], len(has))
				break
			}
		}
	}
}

// What was acknowledged on any node is there after its owner was killed, paused or restarted in order, while others publish on.
func TestDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := threeKept(t)
		var a acked
		var ended atomic.Bool
		var publishing sync.WaitGroup
		var failed, made atomic.Int64
		var live atomic.Pointer[[]*node] // to which is published
		serve := func() {
			k.settled()
			list := slices.Clone(k.nodes)
			live.Store(&list)
		}
		serve()
		for i := range 6 {
			publishing.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(i)))
				for n := 0; !ended.Load(); n++ {
					channel := fmt.Sprintf("%s:%d", []string{"disk", "safe"}[n%2], random.IntN(20))
					data := fmt.Sprintf(`"%d/%d"`, i, n)
					at, err := (*live.Load())[random.IntN(len(*live.Load()))].broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte(data)})
					if err != nil {
						failed.Add(1)
						if e := problem.Of(err); e.Status != 503 {
							t.Errorf("%s: %v", channel, err)
						}
						time.Sleep(100 * time.Millisecond)
						continue
					}
					made.Add(1)
					a.add(channel, at, data)
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		time.Sleep(2 * time.Second)
		if failed.Load() > 0 {
			t.Errorf("%d publications failed while nothing did", failed.Load())
		}
		dead := k.nodes[0]
		k.nodes[1].join("disk:1", nil)
		k.kill(dead)
		time.Sleep(10 * time.Second)
		if failed.Load() == 0 {
			t.Error("no publication has failed, and nothing was tried")
		}
		serve()
		k.start("node-0b")
		serve()
		time.Sleep(5 * time.Second)
		before := failed.Load()
		time.Sleep(40 * time.Second) // it gets its share
		k.settled()
		if n := k.nodes[2].cluster.Stats().Owned; n == 0 {
			t.Error("it has no share")
		}
		leaves := k.nodes[0]
		<-leaves.cluster.HandOver()
		time.Sleep(time.Second)
		if n := failed.Load() - before; n > 0 {
			t.Errorf("%d publications failed while partitions moved in order", n)
		}
		k.mesh.Stop(k.nodes[1].session, true) // it is taken for dead, and comes back
		time.Sleep(8 * time.Second)
		k.mesh.Stop(k.nodes[1].session, false)
		time.Sleep(20 * time.Second)
		ended.Store(true)
		publishing.Wait()
		k.settled()
		if made.Load() < 1000 {
			t.Errorf("%d publications were made", made.Load())
		}
		a.there(k)
		for _, n := range k.nodes {
			if n.panics.Load() > 0 {
				t.Errorf("%s: %d panics", n.name, n.panics.Load())
			}
		}
	})
}

// Nodes are killed one after the other while servers that have just started do not know of what they have, and others that were replaced tell what was there before: what was acknowledged
// is there.
func TestDurableAfterStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random, mu := rand.New(rand.NewPCG(1, 2)), sync.Mutex{}
		draw := func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			return random.IntN(n)
		}
		var starts atomic.Bool // servers do, all the time
		k := threeKeptOn(t, &fake.Mesh{
			Absent: func(string) bool { return starts.Load() && draw(3) == 0 },
			Stale: func(string) time.Duration {
				if !starts.Load() {
					return 0
				}
				return time.Duration(draw(3)*draw(20)) * time.Second
			},
			Behind: func(string) time.Duration {
				if !starts.Load() {
					return 0
				}
				return time.Duration(draw(5)) * time.Second
			},
		})
		starts.Store(true)
		var a acked
		for round := range 8 {
			for i := range 90 {
				channel, data := fmt.Sprintf("%s:%d", []string{"disk", "safe"}[i%2], i%30), fmt.Sprintf(`"%d/%d"`, round, i)
				at, err := k.nodes[i%3].broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte(data)})
				for err != nil { // a channel that is not in memory is read until a majority has said what it has
					if e := problem.Of(err); e.Status != 503 {
						t.Fatalf("%s: %v", channel, err)
					}
					time.Sleep(100 * time.Millisecond)
					at, err = k.nodes[i%3].broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte(data)})
				}
				a.add(channel, at, data)
			}
			time.Sleep(time.Duration(draw(4)) * time.Second) // until some of it is on the shelf
			k.kill(k.nodes[0])
			k.start(fmt.Sprint("node-", round%3))
			k.settled()
		}
		starts.Store(false)
		a.there(k)
	})
}

// While the servers do not keep anything, durable publications are refused and others go on; afterwards all go on.
func TestDurableWithoutQuorum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := threeKept(t)
		n := k.nodes[0]
		var a acked
		a.add("disk:1", n.publish("disk:1", `"1"`), `"1"`)
		k.mesh.Shut(true)
		for _, channel := range []string{"disk:1", "disk:2", "disk:3", "safe:4"} {
			_, err := n.broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte("1")})
			if e := problem.Of(err); err == nil || e.Status != 503 {
				t.Errorf("%s: %v", channel, err)
			}
		}
		for i := range 20 {
			n.publish(fmt.Sprint("room:", i), "1")
		}
		time.Sleep(30 * time.Second)
		n.publish("room:1", "1")
		k.mesh.Shut(false)
		time.Sleep(5 * time.Second)
		for i := range 20 {
			channel := fmt.Sprint("disk:", i)
			a.add(channel, n.publish(channel, `"2"`), `"2"`)
		}
		a.there(k)
	})
}

// A log that is full refuses what is to be safe, and takes it again when the oldest of it has gone to the shelf.
func TestDurableFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := threeKept(t)
		var a acked
		refused := 0
		k.mesh.SetRoom(200 << 10)
		for i := range 3000 {
			channel, data := fmt.Sprint("disk:", i%30), fmt.Sprintf(`"%d%s"`, i, strings.Repeat("x", 1000))
			at, err := k.nodes[i%3].broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte(data)})
			if err != nil {
				if refused++; problem.Of(err).Code != "storage" {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
				continue
			}
			a.add(channel, at, data)
		}
		if refused == 0 || refused > 1000 {
			t.Errorf("%d of 3000 were refused", refused)
		}
		a.there(k)
	})
}

// All nodes are restarted at once: what was acknowledged is there, in another epoch which readers are told of.
func TestDurableRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := threeKept(t)
		var a acked
		var first broker.Position
		for i := range 100 {
			channel, data := fmt.Sprint("disk:", i%10), fmt.Sprint(i)
			at := k.nodes[i%3].publish(channel, data)
			if i == 0 {
				first = at
			}
			a.add(channel, at, data)
		}
		for range 3 {
			k.kill(k.nodes[0])
		}
		for i := range 3 {
			k.start(fmt.Sprint("node-", i))
		}
		k.settled()
		a.there(k)
		if r := k.nodes[0].join("disk:0", &first); !r.Recovered || strings.Count(string(r.Changes), `"seq"`) != 9 {
			t.Errorf("a reader resumes at %v: %+v", first, r)
		}
	})
}

// A partition with durable channels that moves in order keeps epoch and positions, and readers notice nothing.
func TestDurableMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := threeKept(t)
		const channel = "safe:1"
		of := owner(k.nodes, channel)
		reader := others(k.nodes, of)[0]
		to := others(k.nodes, of)[1]
		reader.join(channel, nil)
		of.join(channel, nil)
		first := reader.publish(channel, "1")
		if err := of.cluster.Move(context.Background(), of.cluster.PartitionOf(channel), to.name); err != nil {
			t.Fatal(err)
		}
		k.settled()
		time.Sleep(time.Second)
		if at := reader.publish(channel, "2"); at.Epoch != first.Epoch || at.Seq != 2 {
			t.Errorf("after the move at %v, before at %v", at, first)
		}
		time.Sleep(time.Second)
		for _, n := range []*node{reader, of} {
			if told := n.told(channel); len(told) != 2 || strings.Contains(strings.Join(told, ""), "reset") {
				t.Errorf("%s was told %q", n.name, told)
			}
		}
		if to.cluster.Kept().Store().Stats().Fenced+of.cluster.Kept().Store().Stats().Fenced > 0 {
			t.Error("somebody was fenced")
		}
	})
}

func startKept(t *testing.T, m *fake.Mesh, name string) *node {
	t.Helper()
	return startAs(t, m, name, cluster.Handlers{}, func(c *cluster.Config) { c.Durable = &durable.Options{Policy: keptPolicy} })
}
