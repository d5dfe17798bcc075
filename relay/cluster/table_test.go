package cluster_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/internal/contain"
	"weir/internal/mesh/fake"
)

// A process that was not heard for so long that it was replaced, and does not reach the table when it is heard again, learns from the others that it was. It does not go on beside the
// new owner, and serves what it still owns.
func TestReplacedWithoutTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mute, noTable atomic.Pointer[string] // the session of which that is so; "": of all
		of := func(p *atomic.Pointer[string], session string) bool {
			s := p.Load()
			return s != nil && (*s == "" || *s == session)
		}
		m := &fake.Mesh{Lose: func(from, to string, _ []byte) bool {
			if to == "" {
				return of(&noTable, from)
			}
			return of(&mute, from)
		}}
		nodes := three(t, m)
		var threw atomic.Bool
		contain.Throw(func(where string) {
			if where == "cluster rows" && threw.CompareAndSwap(false, true) {
				panic("the first time that it is asked")
			}
		})
		defer contain.Throw(nil)
		const channel = "room:1"
		before := owner(nodes, channel)
		left := others(nodes, before)
		before.publish(channel, "1")

		mute.Store(&before.session)
		noTable.Store(&before.session)
		wait(t, "another one has taken over", func() bool { return owner(left, channel) != nil })
		all := ""
		noTable.Store(&all)
		mute.Store(nil)
		time.Sleep(10 * time.Second) // the table stays away
		if owner([]*node{before}, channel) != nil {
			t.Error("the one that was replaced serves the channel, too")
		}
		at := before.publish(channel, "2")
		if again := left[0].publish(channel, "3"); again != (broker.Position{Epoch: at.Epoch, Seq: at.Seq + 1}) {
			t.Errorf("one publishes at %v, then the other one at %v", at, again)
		}
		if !threw.Load() {
			t.Error("no node was asked for its rows")
		}
		for _, n := range nodes {
			if why := n.cluster.Trouble(); why != "" {
				t.Errorf("%s: %s", n.name, why)
			}
		}
	})
}
