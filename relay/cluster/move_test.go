package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/internal/contain"
	"weir/internal/mesh/fake"
	"weir/relay/cluster"
)

// A node that leaves in order hands over what it owns while all publish: every channel goes on in its epoch, with its items and keys, and no reader is
// told anything but changes.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := three(t, &fake.Mesh{})
		slices.SortFunc(nodes, func(a, b *node) int { return b.cluster.Stats().Owned - a.cluster.Stats().Owned }) // by chance one may own nothing
		const channels = 24
		name := func(i int) string { return fmt.Sprint("room:", i) }
		first := make([]broker.Position, channels)
		for i := range channels {
			if i%2 == 0 {
				nodes[2].join(name(i), nil)
			}
			p := &broker.Publication{Op: broker.Set, Key: "item", Data: []byte("1"), IdempotencyKey: "k"}
			var err error
			if first[i], err = nodes[1].broker.Publish(name(i), p); err != nil {
				t.Fatal(err)
			}
			if _, err := nodes[0].broker.Publish(name(i), &broker.Publication{Op: broker.Set, Key: "ends", Data: []byte("1"), TTL: 20 * time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		owned := nodes[0].cluster.Stats().Owned
		var ended atomic.Bool
		var publishing sync.WaitGroup
		made := make([]atomic.Int64, channels)
		for _, n := range nodes {
			publishing.Go(func() {
				for i := 0; !ended.Load(); i++ {
					if _, err := n.broker.Publish(name(i%channels), &broker.Publication{Op: broker.Send, Data: []byte("2")}); err != nil {
						t.Errorf("%s: %s: %v", n.name, name(i%channels), err)
					}
					made[i%channels].Add(1)
					time.Sleep(time.Millisecond)
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		nodes[0].cluster.Drain(context.Background())
		time.Sleep(100 * time.Millisecond)
		ended.Store(true)
		publishing.Wait()
		if s := nodes[0].cluster.Stats(); owned == 0 || s.Owned != 0 || s.Moved != uint64(owned) {
			t.Errorf("it owned %d: %+v", owned, s)
		}
		_ = nodes[0].cluster.Close()
		time.Sleep(time.Second)
		for i := range channels {
			at, err := nodes[1].broker.Publish(name(i), &broker.Publication{Op: broker.Set, Key: "item", Data: []byte("1"), IdempotencyKey: "k"})
			if err != nil || at != first[i] {
				t.Errorf("%s: the key of %v is answered %v (%v)", name(i), first[i], at, err)
			}
			if i%2 == 0 {
				if told := nodes[2].told(name(i)); strings.Contains(strings.Join(told, " "), "reset") || len(told) != int(made[i].Load())+2 {
					t.Errorf("%s: %d told, %d made: %q", name(i), len(told), made[i].Load(), told[max(0, len(told)-3):])
				}
			}
			if r := nodes[2].join(name(i), &first[i]); !r.Recovered || r.Position.Epoch != first[i].Epoch {
				t.Errorf("%s: resumed %+v", name(i), r)
			}
		}
		time.Sleep(30 * time.Second)
		for i := range channels {
			if r := nodes[2].join(name(i), nil); string(r.State) != `{"items":{"item":1}}` {
				t.Errorf("%s: %s", name(i), r.State)
			}
		}
	})
}

// A partition that is taken over while its owner tries to hand it over is followed there: what the owner has put back is not its own any more.
func TestTakenOverWhileMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mute atomic.Pointer[string] // session that nobody hears; nil: none
		m := &fake.Mesh{Lose: func(from, to string, _ []byte) bool {
			s := mute.Load()
			return s != nil && from == *s && to != ""
		}}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		left := others(nodes, of)
		of.join(channel, nil)
		of.publish(channel, "1")
		mute.Store(&of.session)
		if err := of.cluster.Move(context.Background(), of.cluster.PartitionOf(channel), left[0].name); err == nil {
			t.Fatal("it was moved to a node that does not hear of it")
		}
		if owner(left, channel) == nil {
			t.Fatal("nobody has taken it over meanwhile")
		}
		mute.Store(nil)
		time.Sleep(10 * time.Second)
		at := left[1].publish(channel, "2")
		time.Sleep(time.Second)
		if here, err := of.broker.At(channel); here != at {
			t.Errorf("the former owner is at %v (%v), the new one at %v", here, err, at)
		}
		if told := of.told(channel); len(told) == 0 || !strings.Contains(told[len(told)-1], `"data":2`) {
			t.Errorf("its reader was told %q", told)
		}
	})
}

// A node that joins gets its share when it has been there for a while, and what was moved by hand stays there.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &fake.Mesh{}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		at := of.publish(channel, "1")
		to := others(nodes, of)[0]
		p := of.cluster.PartitionOf(channel)
		if err := to.cluster.Move(context.Background(), p, of.name); !errors.Is(err, cluster.ErrNotOwner) && !errors.Is(err, cluster.ErrNoNode) {
			t.Errorf("a move by a node that does not own it: %v", err)
		}
		if err := of.cluster.Move(context.Background(), p, "nobody"); !errors.Is(err, cluster.ErrNoNode) {
			t.Errorf("a move to nobody: %v", err)
		}
		if err := of.cluster.Move(context.Background(), p, to.name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if owner(nodes, channel) != to {
			t.Error("it has not moved")
		}
		for _, asked := range []*node{to, of, others(nodes, to)[1]} { // whichever is asked, and the one that it is to go to, too
			for _, next := range []*node{asked, to} {
				if err := asked.cluster.MoveFrom(context.Background(), p, next.name); err != nil {
					t.Errorf("asked of %s, a move to %s: %v", asked.name, next.name, err)
				}
				time.Sleep(time.Second)
				if owner(nodes, channel) != next {
					t.Errorf("asked of %s, it has not moved to %s", asked.name, next.name)
				}
			}
		}
		for range 3 {
			nodes = append(nodes, start(t, m, fmt.Sprintf("node-%d", len(nodes)), nil))
		}
		time.Sleep(25 * time.Second)
		if n := nodes[3].cluster.Stats().Owned + nodes[4].cluster.Stats().Owned + nodes[5].cluster.Stats().Owned; n != 0 {
			t.Errorf("%d partitions have moved at once", n)
		}
		time.Sleep(60 * time.Second)
		if n := nodes[3].cluster.Stats().Owned + nodes[4].cluster.Stats().Owned + nodes[5].cluster.Stats().Owned; n == 0 {
			t.Error("new nodes own nothing")
		}
		if owner(nodes, channel) != to {
			t.Error("what was moved by hand has moved on")
		}
		if got := of.publish(channel, "2"); got.Epoch != at.Epoch || got.Seq != 2 {
			t.Errorf("at %v, and after all moves at %v", at, got)
		}
	})
}

// A move that the next owner does not take, or whose answer from the table is lost, loses nothing: it is undone, or done.
func TestMoveFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mode atomic.Value
		mode.Store("")
		var session atomic.Value
		session.Store("")
		var written atomic.Int64
		m := &fake.Mesh{
			Lose: func(_, to string, b []byte) bool {
				return mode.Load() == "deaf" && to != "" && to == session.Load() && len(b) > 0 && b[0] != '{'
			},
			Unsure: func(string) bool { return mode.Load() == "unsure" && written.Add(1)%2 == 0 },
		}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		at := of.publish(channel, "1")
		of.join(channel, nil)
		to, third := others(nodes, of)[0], others(nodes, of)[1]
		third.join(channel, nil)
		session.Store(to.session)
		mode.Store("deaf")
		if err := of.cluster.Move(context.Background(), of.cluster.PartitionOf(channel), to.name); err == nil {
			t.Error("it has moved to a node that is not reached")
		}
		if got := of.publish(channel, "2"); got.Epoch != at.Epoch || got.Seq != 2 || owner(nodes, channel) != of {
			t.Errorf("at %v, after a move that failed at %v", at, got)
		}
		time.Sleep(time.Second)
		if told := third.told(channel); len(told) != 1 || !strings.Contains(told[0], `"data":2`) {
			t.Errorf("after a move that failed, a reader at a third node was told %q", told)
		}
		mode.Store("unsure")
		time.Sleep(5 * time.Second)
		if err := of.cluster.Move(context.Background(), of.cluster.PartitionOf(channel), to.name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if got := of.publish(channel, "3"); got.Epoch != at.Epoch || got.Seq != 3 || owner(nodes, channel) != to {
			t.Errorf("at %v, after an unsure move at %v", at, got)
		}
		if told := of.told(channel); len(told) != 2 {
			t.Errorf("its reader was told %q", told)
		}
	})
}

// A node that leaves in order while others do not hear all it says, or while the table is away, hands over what it owns as soon as it can: nothing that it has
// acknowledged is lost, and no key forgotten.
func TestDrainPatiently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var losing atomic.Bool
		var count atomic.Int64
		m := &fake.Mesh{Lose: func(_, to string, b []byte) bool {
			return losing.Load() && to != "" && b[0] != '{' && count.Add(1)%2 == 0
		}}
		nodes := three(t, m)
		slices.SortFunc(nodes, func(a, b *node) int { return b.cluster.Stats().Owned - a.cluster.Stats().Owned })
		of, n := nodes[0], nodes[1]
		at := make(map[string]broker.Position)
		for i := range 50 {
			channel := fmt.Sprint("room:", i)
			var err error
			if at[channel], err = n.broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte("1"), IdempotencyKey: "k"}); err != nil {
				t.Fatal(err)
			}
		}
		losing.Store(true)
		m.Shut(true)
		time.AfterFunc(3*time.Second, func() { losing.Store(false) })
		time.AfterFunc(6*time.Second, func() { m.Shut(false) })
		owned := of.cluster.Stats().Owned
		<-of.cluster.HandOver()
		if s := of.cluster.Stats(); owned == 0 || s.Owned != 0 || s.Moved < uint64(owned) {
			t.Errorf("it owned %d: %+v", owned, s)
		}
		_ = of.cluster.Close()
		time.Sleep(time.Second)
		for channel, was := range at {
			got, err := n.broker.Publish(channel, &broker.Publication{Op: broker.Send, Data: []byte("1"), IdempotencyKey: "k"})
			if err != nil || got != was {
				t.Errorf("%s: published at %v, and with the same key at %v (%v)", channel, was, got, err)
			}
		}
	})
}

// A panic while a partition is handed over, or while what waited for it is made, loses no publication.
func TestPanicsInMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		thrown := map[string]int{"hand over": 1, "parked": 1}
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
		var frames atomic.Int64
		nodes := three(t, &fake.Mesh{Fate: func(_, _ string) []time.Duration { // late, and in order
			return []time.Duration{20*time.Millisecond + time.Duration(frames.Add(1))}
		}})
		const channel = "room:1"
		of := owner(nodes, channel)
		to := others(nodes, of)[0]
		var publishing sync.WaitGroup
		for range 20 {
			publishing.Go(func() { to.publish(channel, "1") })
			publishing.Go(func() { of.publish(channel, "1") })
			publishing.Go(func() {
				if err := of.cluster.Move(context.Background(), of.cluster.PartitionOf(channel), to.name); err != nil && !errors.Is(err, cluster.ErrNotOwner) {
					t.Error(err)
				}
			})
			time.Sleep(10 * time.Millisecond)
		}
		publishing.Wait()
		if at := to.publish(channel, "1"); at.Seq != 41 {
			t.Errorf("after 40 publications one is at %v", at)
		}
		<-to.cluster.HandOver() // which panics
		<-to.cluster.HandOver()
		if n := to.cluster.Stats().Owned; n != 0 {
			t.Errorf("it still owns %d", n)
		}
		time.Sleep(time.Second)
		if at := of.publish(channel, "1"); at.Seq != 42 {
			t.Errorf("after all moves at %v", at)
		}
	})
}
