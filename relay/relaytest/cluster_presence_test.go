package relaytest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/presence"
)

// halls are channels of all nodes: among so many each owns some.
func halls() (list []string) {
	for i := range 12 {
		list = append(list, fmt.Sprint("hall:", i))
	}
	return list
}

func presenceNodes(t *testing.T) *relaytest.Nodes {
	return relaytest.Cluster(t, 3, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.Presence = new(true)
		c.Namespaces["hall"], c.Heartbeat, c.Pong = ns, 30*time.Second, time.Minute // peers read when they are asked to
	}, func() []relay.System { return []relay.System{presence.New()} })
}

// present is who is in a channel, with how many connections, as a node says.
func present(g *relaytest.Rig, channel string) string {
	g.Helper()
	_, out := g.Backend("GET", "/v1/channels/"+channel+"/presence", nil)
	m, _ := out.(map[string]any)
	users, _ := m["users"].([]any)
	var list []string
	for _, u := range users {
		u, _ := u.(map[string]any)
		list = append(list, fmt.Sprint(u["id"], u["connections"]))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

// enter subscribes a user to channels, as soon as they have an owner.
func enter(g *relaytest.Rig, user string, channels ...string) *relaytest.Peer {
	g.Helper()
	p := g.WS(user, "/ws")
	for _, channel := range channels {
		relaytest.Until(g, "the channel has an owner", func() bool {
			p.Send(relaytest.Message{"type": "subscribe", "id": 1, "channel": channel})
			return p.Until(func(m relaytest.Message) bool { return m["id"] == 1.0 })["type"] == "subscribed"
		})
	}
	return p
}

// told is the changes of presence that a peer is told until one is about the user "end".
func told(p *relaytest.Peer) (list []string) {
	p.Helper()
	for {
		m := p.Until(func(m relaytest.Message) bool {
			return m["type"] == "channel_update" || m["type"] == "resync" && m["lost"] == true
		})
		if m["type"] == "resync" {
			p.Fatalf("a loss: %v", m)
		}
		if m["key"] == "end" {
			return list
		}
		list = append(list, fmt.Sprint(m["op"], " ", m["key"]))
	}
}

// Who is in a channel is the same on every node: a user counts once, comes once and leaves once, whichever nodes their connections are on.
func TestPresenceOfNodes(t *testing.T) {
	n := presenceNodes(t)
	a, b, c := n.Rigs[0], n.Rigs[1], n.Rigs[2]
	for _, hall := range halls() {
		var watchers []*relaytest.Peer
		for _, g := range n.Rigs {
			watchers = append(watchers, enter(g, "watcher", "presence:"+hall))
		}
		u1 := enter(a, "u", hall)
		relaytest.Until(t, "the user is there", func() bool { return present(b, hall) == "u1" }) // or what b says may come first, and then that they have been there for longer
		u2 := enter(b, "u", hall)
		v := enter(c, "v", hall)
		for _, g := range n.Rigs {
			relaytest.Until(t, "all are there", func() bool { return present(g, hall) == "u2 v1" })
			_, out := g.Backend("GET", "/v1/channels/"+hall+"/presence?count", nil)
			if got := out.(map[string]any)["count"]; got != 2.0 {
				t.Errorf("%s counts %v users", hall, got)
			}
		}
		v.Send(relaytest.Message{"type": "presence", "id": 7, "channel": hall})
		if m := v.Type("presence"); m["count"] != 2.0 {
			t.Errorf("a client is told %v", m)
		}
		u1.Close()
		relaytest.Until(t, "one connection is gone", func() bool { return present(c, hall) == "u1 v1" })
		u2.Close()
		relaytest.Until(t, "the user is gone", func() bool { return present(a, hall) == "v1" })
		v.Close()
		relaytest.Until(t, "everybody is gone", func() bool { return present(a, hall) == "" })
		end := enter(b, "end", hall)
		for _, w := range watchers {
			if got := fmt.Sprint(told(w)); got != "[set u set v delete u delete v]" && got != "[set v set u delete u delete v]" {
				t.Errorf("%s: a watcher was told %s", hall, got)
			}
			w.Close()
		}
		end.Close()
	}
}

// Users of a node that is not heard any more leave after a while, but for those whom another node has; if it is heard again they are back.
func TestPresenceOfLostNode(t *testing.T) {
	n := presenceNodes(t)
	a, b, c := n.Rigs[0], n.Rigs[1], n.Rigs[2]
	watchers := make(map[string]*relaytest.Peer)
	for _, hall := range halls() {
		enter(c, "stays", hall)
		enter(a, "both", hall)
		enter(b, "both", hall)
		enter(a, "gone", hall)
		relaytest.Until(t, "all are there", func() bool { return present(b, hall) == "both2 gone1 stays1" })
		watchers[hall] = enter(b, "watcher", "presence:"+hall)
	}
	n.Cut(0)
	for _, hall := range halls() {
		relaytest.Until(t, "who was there only is gone", func() bool { return present(b, hall) == "both1 stays1" })
		if got := present(c, hall); got != "both1 stays1" {
			t.Errorf("%s: another node says %s", hall, got)
		}
	}
	n.Heal()
	for _, hall := range halls() {
		relaytest.Until(t, "the node's users are back", func() bool { return present(c, hall) == "both2 gone1 stays1" })
		relaytest.Until(t, "it knows", func() bool { return present(a, hall) == "both2 gone1 stays1" })
		enter(c, "end", hall)
		if got := fmt.Sprint(told(watchers[hall])); got != "[delete gone set gone]" {
			t.Errorf("%s: a watcher was told %s", hall, got)
		}
	}
}

// What a client says of itself on one node is shown by all, and stays when its node's connection ends.
func TestAttendanceOfNodes(t *testing.T) {
	n := presenceNodes(t)
	a, b := n.Rigs[0], n.Rigs[1]
	for _, hall := range halls()[:4] {
		enter(b, "u", hall)
		p := a.WS("u", "/ws")
		p.Send(relaytest.Message{"type": "event", "id": 1, "topic": "presence.join", "data": map[string]any{"channel": hall, "status": "away", "metadata": map[string]any{"x": 1}}})
		p.Until(func(m relaytest.Message) bool { return m["id"] == 1.0 })
		shown := func(g *relaytest.Rig) string {
			_, out := g.Backend("GET", "/v1/channels/"+hall+"/presence", nil)
			users, _ := out.(map[string]any)["users"].([]any)
			if len(users) != 1 {
				return fmt.Sprint(users)
			}
			u := users[0].(map[string]any)
			return fmt.Sprintln(u["status"], u["metadata"], u["connections"])
		}
		for _, g := range n.Rigs {
			relaytest.Until(t, "the status is shown", func() bool { return shown(g) == "away map[x:1] 2\n" })
		}
		p.Send(relaytest.Message{"type": "event", "id": 2, "topic": "presence.leave", "data": map[string]any{"channel": hall}})
		p.Until(func(m relaytest.Message) bool { return m["id"] == 2.0 })
		relaytest.Until(t, "the attendance is over", func() bool { return shown(n.Rigs[2]) == "away map[x:1] 1\n" })
	}
}
