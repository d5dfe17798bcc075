package motia_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/motia"
)

// nodesOf starts three nodes, whose wall clocks are ahead by so much.
func nodesOf(t *testing.T, ahead ...time.Duration) (*relaytest.Nodes, []*rig) {
	t.Helper()
	started := 0
	n := relaytest.Cluster(t, 3, func(c *config.Config) {
		prepare(c, nil)
		if started < len(ahead) {
			d := ahead[started]
			c.Clock = func() time.Time { return time.Now().Add(d) }
		}
		started++
	}, func() []relay.System { return []relay.System{motia.New()} })
	var rigs []*rig
	for _, g := range n.Rigs {
		rigs = append(rigs, &rig{Rig: g})
	}
	return n, rigs
}

// TestNodes: groups and items are followed and filled on any node, and what is new and what was there is told apart on each.
func TestNodes(t *testing.T) {
	_, g := nodesOf(t)
	for i := range 9 { // of all owners
		group := fmt.Sprint("room:", i)
		channel := "stream:chat:" + group
		head := "chat " + group
		g[i%3].publish(channel, "b", `{"n":1}`)
		g[(i+1)%3].publish(channel, "a", `{"n":2}`)
		var groups, items []*client
		for k := range g {
			c := g[k].connect("ann")
			c.join("chat", group, "")
			c.want(head + " <nil> map[data:[map[id:b n:1] map[id:a n:2]] type:sync]")
			groups = append(groups, c)
			c = g[k].connect("bob")
			c.join("chat", group, "a")
			c.want(head + " a map[data:map[id:a n:2] type:sync]")
			items = append(items, c)
		}
		told := func(list []*client, text string) {
			t.Helper()
			for _, c := range list {
				c.want(head + text)
			}
		}
		all := append(slices.Clone(groups), items...)
		g[i%3].publish(channel, "c", `{"n":3}`)
		told(groups, " c map[data:map[id:c n:3] type:create]")
		g[(i+1)%3].publish(channel, "a", `{"n":4}`)
		told(all, " a map[data:map[id:a n:4] type:update]")
		g[(i+2)%3].post(`{"channel":"` + channel + `","key":"a","op":"delete"}`)
		told(all, " a map[data:map[id:a] type:delete]")
		g[i%3].publish(channel, "a", `{"n":5}`)
		told(all, " a map[data:map[id:a n:5] type:create]")
		g[(i+1)%3].post(`{"channel":"` + channel + `","op":"send","data":{"type":"typing","data":"ann"}}`)
		told(groups, " <nil> map[event:map[data:ann type:typing] type:event]")
		g[(i+2)%3].post(`{"channel":"` + channel + `","key":"a","op":"send","data":{"type":"seen","data":1}}`)
		told(all, " a map[event:map[data:1 type:seen] type:event]")
		for _, c := range all {
			c.Close()
		}
	}
}

// TestClocksOfNodes: a client that comes back to a node whose wall clock is behind drops nothing.
func TestClocksOfNodes(t *testing.T) {
	_, g := nodesOf(t, 0, 20*time.Minute, 10*time.Minute)
	g[0].publish(room, "a", `{"n":0}`)
	var last map[string]float64
	for i, k := range []int{1, 0, 2, 1, 0} {
		c := g[k].connect("ann")
		if last != nil {
			c.last = last
		}
		c.join("chat", "room:1", "a")
		c.want(fmt.Sprintf("chat room:1 a map[data:map[id:a n:%d] type:sync]", i))
		g[2].publish(room, "a", fmt.Sprintf(`{"n":%d}`, i+1))
		c.want(fmt.Sprintf("chat room:1 a map[data:map[id:a n:%d] type:update]", i+1))
		last = c.last
		c.Close()
	}
}

// TestLostNode: when the node that owns a stream is not reached, clients of the others go on, and those that join meanwhile come back until another one has it.
func TestLostNode(t *testing.T) {
	n, g := nodesOf(t)
	var follow []*client
	for i := range 12 { // of all owners
		channel, group := fmt.Sprint("stream:chat:", i), fmt.Sprint(i)
		g[1].publish(channel, "a", `{"n":1}`)
		c := g[1].connect("ann")
		c.join("chat", group, "")
		c.want("chat " + group + " <nil> map[data:[map[id:a n:1]] type:sync]")
		follow = append(follow, c)
	}
	n.Cut(0)
	for i, c := range follow {
		channel, group := fmt.Sprint("stream:chat:", i), fmt.Sprint(i)
		relaytest.Until(t, "the stream has an owner", func() bool {
			status, _ := g[2].Backend("POST", "/v1/publish", fmt.Sprintf(`{"channel":%q,"key":"a","data":{"n":2}}`, channel))
			return status == http.StatusOK
		})
		c.want("chat " + group + " a map[data:map[id:a n:2] type:update]")
		other := g[2].connect("bob")
		other.join("chat", group, "")
		other.want("chat " + group + " <nil> map[data:[map[id:a n:2]] type:sync]")
	}
	relaytest.Until(t, "the lost node knows that it is", func() bool { return g[0].Gauge("weir_cluster_isolated") == 1 })
	c := g[0].connect("carol")
	c.join("chat", "new", "")
	if code := c.Closed(); code != 1013 {
		t.Errorf("closed with %d", code)
	}
	n.Heal()
}
