package presence

import (
	"encoding/json"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/broker"
	"weir/relay/cluster"
)

// node is what a node says of a user.
func node(session string, connections int, more ...func(p *presentPart)) cluster.Part {
	p := presentPart{Connections: connections, Joined: time.Now().UnixNano()}
	for _, f := range more {
		f(&p)
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return cluster.Part{Session: session, Value: b}
}

// onCrowd is onStage with what several nodes say.
func onCrowd(t *testing.T, f func(s *stage, c *crowd)) {
	onStage(t, func(s *stage) {
		s.p.crowd = &crowd{presence: s.p}
		f(s, s.p.crowd)
	})
}

func every(string) bool { return true }

// A user whose node is lost and who comes back in time on another one is no news, whether the channel's owner was lost with it or not.
func TestMovesBetweenNodes(t *testing.T) {
	onCrowd(t, func(s *stage, c *crowd) {
		var members []string
		s.p.OnMember(func(_, user string, joined bool) {
			members = append(members, user+map[bool]string{true: "+", false: "-"}[joined])
		})
		first := node("a", 1)
		c.Merge("c", "u", []cluster.Part{first}, cluster.Why{})
		c.Merge("c", "v", []cluster.Part{first}, cluster.Why{})
		c.Merge("c", "u", nil, cluster.Why{Abrupt: true})
		c.Merge("c", "v", nil, cluster.Why{Abrupt: true})
		time.Sleep(presenceGrace - time.Second)
		c.Merge("c", "u", []cluster.Part{node("b", 1)}, cluster.Why{})
		time.Sleep(presenceGrace)
		s.told("set u, set v, delete v")
		if s.p.Users.Load() != 1 || s.p.Joins.Load() != 2 || s.p.Leaves.Load() != 1 {
			t.Errorf("%d users, %d joins, %d leaves", s.p.Users.Load(), s.p.Joins.Load(), s.p.Leaves.Load())
		}

		// Another owner, which has the presence channel, and one that has not.
		c.Lost(every)
		if s.p.Users.Load() != 0 {
			t.Errorf("%d users are left", s.p.Users.Load())
		}
		c.Opened(every)
		time.Sleep(presenceGrace - time.Second)
		c.Merge("c", "u", []cluster.Part{node("b", 1)}, cluster.Why{Known: true})
		time.Sleep(presenceGrace)
		s.told("set u, set v, delete v")
		c.Lost(every)
		c.Opened(every)
		time.Sleep(2 * presenceGrace)
		s.told("set u, set v, delete v, delete u")
		c.Merge("c", "w", []cluster.Part{node("b", 1)}, cluster.Why{Known: true})
		s.told("set u, set v, delete v, delete u, set w")
		if len(members) != 4 || members[0] != "u+" || members[3] != "u-" {
			t.Errorf("members: %v", members) // w had been told of before
		}
	})
}

// What was said last of a user counts, whichever node says it and whether it still has them.
func TestSaidOnTwoNodes(t *testing.T) {
	onCrowd(t, func(s *stage, c *crowd) {
		a := node("a", 1, func(p *presentPart) { p.Name, p.Issued, p.Status, p.StatusAt = "Old", 1, "away", 5 })
		b := node("b", 2, func(p *presentPart) {
			p.Name, p.Issued, p.Status, p.StatusAt, p.Metadata, p.MetadataAt, p.Alone = "New", 2, "busy", 4, json.RawMessage(`{"x":1}`), 1, 1
		})
		for range 2 { // in either order
			c.Merge("c", "u", []cluster.Part{a, b}, cluster.Why{})
			c.Merge("c", "u", []cluster.Part{b, a}, cluster.Why{})
		}
		c.Merge("c", "u", []cluster.Part{b}, cluster.Why{})
		s.told("set u")
		var list struct {
			Users []struct {
				Name, Status string
				Metadata     map[string]int
				Connections  int
			}
		}
		if err := json.Unmarshal(append(s.p.AppendUsers([]byte(`{"a":0`), "c", false), '}'), &list); err != nil {
			t.Fatal(err)
		}
		if u := list.Users[0]; u.Name != "New" || u.Status != "away" || u.Metadata["x"] != 1 || u.Connections != 3 {
			t.Errorf("%+v", u)
		}
		c.Merge("c", "u", nil, cluster.Why{})
		s.told("set u, delete u")
	})
}

// What cannot be told while the node is cut off is told later.
func TestCrowdCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := new(awayCluster)
		away.away.Store(true)
		b, err := broker.New(broker.Config{Cluster: away, Policy: func(string) broker.Policy { return broker.Policy{HistoryTTL: -1} }})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		p := New(nil)
		p.Start(b)
		p.crowd = &crowd{presence: p}
		defer p.Close()
		p.crowd.Merge("c", "u", []cluster.Part{node("a", 1)}, cluster.Why{})
		time.Sleep(3 * time.Second)
		away.away.Store(false)
		time.Sleep(3 * time.Second)
		(&stage{p, b, t}).told("set u")
		away.away.Store(true)
		p.crowd.Merge("c", "u", nil, cluster.Why{})
		time.Sleep(3 * time.Second)
		away.away.Store(false)
		time.Sleep(3 * time.Second)
		(&stage{p, b, t}).told("set u, delete u")
	})
}

// awayCluster is a cluster that can be cut off.
type awayCluster struct{ away atomic.Bool }

// Elsewhere implements broker.Cluster.
func (c *awayCluster) Elsewhere(string) bool { return c.away.Load() }

// Publish implements broker.Cluster.
func (c *awayCluster) Publish(string, *broker.Publication) (broker.Receipt, error) {
	return broker.Receipt{}, cluster.ErrNoOwner
}

// Follow implements broker.Cluster.
func (c *awayCluster) Follow(string) (broker.Kept, bool, error) {
	return broker.Kept{}, false, cluster.ErrNoOwner
}

// Unfollow implements broker.Cluster.
func (c *awayCluster) Unfollow(string) {}
