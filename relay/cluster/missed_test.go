package cluster_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/internal/mesh/fake"
)

// A link that begins anew brings what was missed, and not all that the channels hold; so does one to a new owner, and one from who has handed a channel over.
func TestMissedByALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var losing atomic.Bool
		var sent atomic.Int64
		m := &fake.Mesh{Lose: func(_, _ string, b []byte) bool {
			if losing.Load() && !json.Valid(b) {
				return true
			}
			if !json.Valid(b) {
				sent.Add(int64(len(b)))
			}
			return false
		}}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		for i := range 200 {
			if _, err := of.broker.Publish(channel, &broker.Publication{Op: broker.Set, Key: fmt.Sprint(i), Data: []byte(`"` + strings.Repeat("x", 1000) + `"`)}); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range nodes {
			n.join(channel, nil)
		}
		time.Sleep(time.Second)
		// less reports that readers were told so many changes and nothing else, and that the links carried little.
		less := func(what string, changes int) {
			t.Helper()
			for _, n := range nodes {
				told := n.told(channel)
				if len(told) != changes || strings.Contains(strings.Join(told, " "), "reset") {
					t.Errorf("%s: %s was told %q", what, n.name, told)
				}
			}
			if b := sent.Swap(0); b > 20_000 {
				t.Errorf("%s: %d bytes were sent", what, b)
			}
		}
		for _, n := range nodes {
			n.told(channel)
		}
		sent.Store(0)
		of.publish(channel, "0")
		time.Sleep(time.Second)
		less("it was published", 1)
		losing.Store(true)
		for i := range 3 {
			of.publish(channel, fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		losing.Store(false)
		time.Sleep(5 * time.Second)
		less("a link has begun anew", 3)
		if of.cluster.Stats().Restarts == 0 {
			t.Error("no link began anew")
		}

		to := others(nodes, of)[0]
		if err := of.cluster.Move(t.Context(), of.cluster.PartitionOf(channel), to.name); err != nil {
			t.Fatal(err)
		}
		moved := sent.Swap(0) // all of it went to the new owner, once
		to.publish(channel, "4")
		time.Sleep(3 * time.Second)
		less("it has moved", 1)
		if moved > 500_000 {
			t.Errorf("moving took %d bytes, of items and changes of 200 KB each", moved)
		}
	})
}

// What is published while the new owner of a partition takes it over waits there, and does not go back and forth.
func TestWaitForOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var from atomic.Value
		from.Store("")
		var frames atomic.Int64
		m := &fake.Mesh{Fate: func(string, string) []time.Duration { return []time.Duration{time.Millisecond} }, Lose: func(session, to string, b []byte) bool {
			if session == from.Load() && to != "" && !json.Valid(b) {
				frames.Add(1)
			}
			return false
		}}
		nodes := three(t, m)
		const channel = "room:1"
		of := owner(nodes, channel)
		to, third := others(nodes, of)[0], others(nodes, of)[1]
		of.publish(channel, "1")
		opens := make(chan struct{})
		to.holds.Store(&opens)
		if err := of.cluster.Move(t.Context(), of.cluster.PartitionOf(channel), to.name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		from.Store(third.session)
		positions := make(chan broker.Position)
		go func() {
			for range 3 {
				positions <- third.publish(channel, "2")
			}
		}()
		time.Sleep(100 * time.Millisecond)
		if n := frames.Load(); n == 0 || n > 3 {
			t.Errorf("%d frames were sent for a publication that waits", n)
		}
		close(opens)
		for i := range 3 {
			if at := <-positions; at.Seq != uint64(i+2) {
				t.Errorf("publication %d is at %v", i, at)
			}
		}
	})
}

// What is on its way to the owner of a partition while that hands it over to the very node that has sent it is made there, soon.
func TestMoveToThePublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := three(t, &fake.Mesh{Fate: func(string, string) []time.Duration { return []time.Duration{time.Millisecond} }})
		const channel = "room:1"
		of := owner(nodes, channel)
		to := others(nodes, of)[0]
		of.publish(channel, "1")
		opens := make(chan struct{})
		to.holds.Store(&opens)
		moved := make(chan error)
		go func() { moved <- of.cluster.Move(t.Context(), of.cluster.PartitionOf(channel), to.name) }()
		time.Sleep(500 * time.Microsecond) // it has begun
		begun := time.Now()
		time.AfterFunc(50*time.Millisecond, func() { close(opens) })
		if at := to.publish(channel, "2"); at.Seq != 2 || time.Since(begun) > time.Second {
			t.Errorf("published at %v after %v", at, time.Since(begun))
		}
		if err := <-moved; err != nil {
			t.Fatal(err)
		}
		if to.cluster.Elsewhere(channel) {
			t.Error("it has not moved")
		}
	})
}
