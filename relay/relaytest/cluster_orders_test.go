package relaytest_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/relay/config"
	"weir/relay/relaytest"
)

// patient keeps peers that nobody reads.
func patient(c *config.Config) { c.Heartbeat, c.Pong = 30*time.Second, time.Minute }

// body is a decoded answer of a backend's request, which is to succeed.
func body(g *relaytest.Rig, method, path string, in any) map[string]any {
	g.Helper()
	status, out := g.Backend(method, path, in)
	if m, ok := out.(map[string]any); ok && status == 200 {
		return m
	}
	g.Fatalf("%s %s: %d %v", method, path, status, out)
	return nil
}

// A user or a connection is disconnected, and a channel taken away, on whatever node it is and whichever is asked; a node that is not heard does
// it when it is.
func TestOrdersToNodes(t *testing.T) {
	n := relaytest.Cluster(t, 3, patient, nil)
	a, b, c := n.Rigs[0], n.Rigs[1], n.Rigs[2]
	u1, u2 := b.WS("u", "/ws"), c.WS("u", "/ws")
	if m := body(a, "POST", "/v1/disconnect", map[string]any{"userId": "u", "reason": "out"}); m["disconnected"] != 2.0 || m["nodes"] != 3.0 || m["silent"] != nil {
		t.Errorf("disconnect: %v", m)
	}
	if x, y := u1.Closed(), u2.Closed(); x != 4003 || y != 4003 {
		t.Errorf("closed with %d and %d", x, y)
	}
	v := b.WS("v", "/ws")
	id := v.Type("connected")["connectionId"]
	if m := body(c, "POST", "/v1/disconnect", map[string]any{"connectionId": id}); m["disconnected"] != 1.0 {
		t.Errorf("disconnect of one: %v", m)
	}
	v.Closed()
	w := enter(b, "w", "room:1", "room:2")
	if m := body(a, "POST", "/v1/unsubscribe", map[string]any{"userId": "w", "channel": "room:1", "reason": "no"}); m["unsubscribed"] != 1.0 {
		t.Errorf("unsubscribe: %v", m)
	}
	if m := w.Type("unsubscribed"); m["channel"] != "room:1" {
		t.Errorf("told %v", m)
	}

	// A node that is cut off: what was there before is ended when it is back, and what has begun since is not.
	x1, x2 := c.WS("x", "/ws"), enter(c, "y", "room:1", "room:2")
	n.Cut(2)
	relaytest.Until(t, "the node is not heard", func() bool {
		m := body(a, "POST", "/v1/unsubscribe", map[string]any{"userId": "nobody", "channel": "room:1"})
		return fmt.Sprint(m["silent"]) == "[node-2]" && m["nodes"] == 2.0
	})
	body(a, "POST", "/v1/disconnect", map[string]any{"userId": "x"})
	body(b, "POST", "/v1/unsubscribe", map[string]any{"userId": "y", "channel": "room:2"})
	<-time.After(10 * time.Millisecond) // a session's time of opening has milliseconds
	after := c.WS("x", "/ws")
	n.Heal()
	if code := x1.Closed(); code != 4003 {
		t.Errorf("closed with %d", code)
	}
	if m := x2.Type("unsubscribed"); m["channel"] != "room:2" {
		t.Errorf("told %v", m)
	}
	after.Send(relaytest.Message{"type": "ping", "id": 5})
	after.Type("pong")
}

// A ticket opens one connection, on any node.
func TestTicketsOfNodes(t *testing.T) {
	n := relaytest.Cluster(t, 3, patient, nil)
	for i := range 6 {
		ticket := body(n.Rigs[i%3], "POST", "/v1/tickets", map[string]any{"userId": "u", "roles": []string{"r"}})["ticket"].(string)
		var let atomic.Int64
		var all sync.WaitGroup
		for k := range 6 {
			all.Go(func() {
				p, status := n.Rigs[k%3].Dial("", "/ws?ticket="+ticket)
				switch {
				case p != nil && p.Type("connected")["userId"] == "u":
					let.Add(1)
				case p != nil || status != 401:
					t.Errorf("refused with %d", status)
				}
			})
		}
		all.Wait()
		if let.Load() != 1 {
			t.Errorf("a ticket has opened %d connections", let.Load())
		}
	}
	if p, status := n.Rigs[0].Dial("", "/ws?ticket=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA.node-9"); p != nil || status != 401 {
		t.Errorf("a ticket of a node that there is not: %d", status)
	}
}

// A user has as many connections as allowed, on all nodes together: the newest beyond are ended.
func TestUserLimitOfNodes(t *testing.T) {
	n := relaytest.Cluster(t, 3, func(c *config.Config) {
		patient(c)
		c.Limit.PerUser = 3
	}, nil)
	open := func() (ids []string) {
		for _, c := range body(n.Rigs[1], "GET", "/v1/connections?user=u", nil)["connections"].([]any) {
			ids = append(ids, c.(map[string]any)["connectionId"].(string))
		}
		return ids
	}
	var peers []*relaytest.Peer
	for i := range 3 {
		peers = append(peers, n.Rigs[i].WS("u", "/ws"))
	}
	relaytest.Until(t, "all are listed", func() bool { return len(open()) == 3 })
	before := open()
	for i := range 3 {
		if code := n.Rigs[i].WS("u", "/ws").Closed(); code != 4029 {
			t.Errorf("one too many was closed with %d", code)
		}
	}
	relaytest.Until(t, "the first ones are left", func() bool { return slices.Equal(open(), before) })
	peers[0].Close()
	relaytest.Until(t, "one is gone", func() bool { return len(open()) == 2 })
	p := n.Rigs[2].WS("u", "/ws")
	p.Send(relaytest.Message{"type": "ping", "id": 5})
	p.Type("pong")
	relaytest.Until(t, "there is room", func() bool { return len(open()) == 3 })
}

// Lists are of all nodes: connections, in pages, and channels with their subscribers.
func TestListsOfNodes(t *testing.T) {
	n := relaytest.Cluster(t, 3, patient, nil)
	var want []string
	for i := range 9 {
		p := enter(n.Rigs[i%3], fmt.Sprint("u", i%2), "room:"+fmt.Sprint(i%4))
		_ = p
		want = append(want, fmt.Sprint("u", i%2, " node-", i%3, " room:", i%4))
	}
	slices.Sort(want)
	for _, g := range n.Rigs {
		var got []string
		after := ""
		for {
			m := body(g, "GET", "/v1/connections?limit=2&after="+after, nil)
			for _, c := range m["connections"].([]any) {
				c := c.(map[string]any)
				after = c["connectionId"].(string)
				channels := c["channels"].([]any)
				got = append(got, fmt.Sprint(c["userId"], " ", c["node"], " ", channels[len(channels)-1]))
			}
			if m["more"] != true {
				break
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("connections %q, want %q", got, want)
		}
		if m := body(g, "GET", "/v1/connections?channel=room:3", nil); len(m["connections"].([]any)) != 2 {
			t.Errorf("of a channel: %v", m)
		}
		var counts []string
		for _, c := range body(g, "GET", "/v1/channels?prefix=room:", nil)["channels"].([]any) {
			c := c.(map[string]any)
			counts = append(counts, fmt.Sprint(c["channel"], " ", c["subscribers"]))
		}
		if fmt.Sprint(counts) != "[room:0 3 room:1 2 room:2 2 room:3 2]" {
			t.Errorf("channels %v", counts)
		}
	}
}

// A user's own channel, and an event stream, are fed from whichever node publishes; a stream goes on at another node from where it was.
func TestStreamsOfNodes(t *testing.T) {
	n := relaytest.Cluster(t, 3, patient, nil)
	a, b, c := n.Rigs[0], n.Rigs[1], n.Rigs[2]
	p := c.WS("u", "/ws")
	p.Type("connected")
	publish := func(g *relaytest.Rig, channel string, data int) {
		t.Helper()
		body(g, "POST", "/v1/publish", map[string]any{"channel": channel, "data": data})
	}
	for i, g := range n.Rigs {
		publish(g, "user:u", i)
		if m := p.Until(func(m relaytest.Message) bool { return m["op"] == "send" }); m["data"] != float64(i) {
			t.Errorf("told %v", m)
		}
	}
	token := "Authorization: Bearer " + a.Token("s")
	s, status := b.Follow("/sse?channel=room:1", token)
	if s == nil {
		t.Fatal(status)
	}
	next := func(data string) {
		t.Helper()
		for {
			e := s.Next()
			if e.Type == "resync" {
				t.Errorf("%s: %s", e.Type, e.Data)
			}
			if strings.Contains(e.Data, `"data":`+data) {
				return
			}
		}
	}
	publish(a, "room:1", 101)
	next("101")
	id := s.LastID
	publish(b, "room:1", 102)
	if s, status = c.Follow("/sse?channel=room:1", token, "Last-Event-ID: "+id); s == nil {
		t.Fatal(status)
	}
	next("102")
	publish(c, "room:1", 103)
	next("103")
}

// When the owner of a channel is lost, a client that knows of forks is told of the new epoch without a snapshot, and others get one. Both go on without
// a loss, and resume with the new position.
func TestForks(t *testing.T) {
	n := relaytest.Cluster(t, 3, patient, nil)
	b := n.Rigs[1]
	type reader struct {
		*relaytest.Peer
		forks bool
	}
	readers := make(map[string][]reader)
	channels := []string{}
	for i := range 12 {
		channels = append(channels, fmt.Sprint("room:", i))
	}
	for _, channel := range channels {
		body(b, "POST", "/v1/publish", map[string]any{"channel": channel, "op": "set", "group": "g", "key": "k", "data": 1})
		for _, path := range []string{"/ws", "/ws?features=fork", "/ws?features=other,fork"} {
			p := b.WS("u", path)
			p.Send(relaytest.Message{"type": "subscribe", "id": 1, "channel": channel})
			p.Type("subscribed")
			readers[channel] = append(readers[channel], reader{p, path != "/ws"})
		}
	}
	n.Cut(0)
	forked := 0
	for _, channel := range channels {
		relaytest.Until(t, "it has an owner again", func() bool {
			status, _ := b.Backend("POST", "/v1/publish", map[string]any{"channel": channel, "data": 2})
			return status == 200
		})
		for _, r := range readers[channel] {
			for {
				m := r.Next()
				if m["type"] == "resync" { // of the user's own channel, too, to which nothing was published
					_, snapshot := m["state"].(map[string]any)
					if m["lost"] != false || snapshot == r.forks || (m["recovered"] == true) != r.forks || m["position"] == nil {
						t.Errorf("a client that knows of forks: %t: %v", r.forks, m)
					}
					if m["channel"] == channel {
						forked++
					}
				}
				if m["data"] == 2.0 {
					break
				}
			}
		}
	}
	if forked == 0 || forked%3 != 0 {
		t.Errorf("told of %d forks", forked)
	}
}
