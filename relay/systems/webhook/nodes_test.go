package webhook_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/webhook"
)

// nodes starts three relays of one cluster with the endpoint of h.
func (h *heard) nodes(t *testing.T) *relaytest.Nodes {
	t.Helper()
	w := webhook.Webhook{Name: "app", URL: h.URL, Topics: []string{"channel.*", "member.*", "t"}, Secrets: []string{secret}, AllowInsecure: true, Retry: time.Second}
	return relaytest.Cluster(t, 3, func(c *config.Config) {
		c.Heartbeat, c.Pong = 30*time.Second, time.Minute // peers that nobody reads stay
		*config.Of[webhook.Config](c) = webhook.Config{w}
	}, func() []relay.System { return []relay.System{webhook.New()} })
}

const wholeLife = "channel.occupied member.joined member.left channel.vacated"

// What happens is told once, by whichever node: of channels when the first on all nodes has come and when the last has gone.
func TestLifecycleOfNodes(t *testing.T) {
	heard, _ := recorder(t)
	n := heard.nodes(t)
	want := make(map[string]string)
	var first []*relaytest.Peer
	for i := range 6 { // of which every node owns some
		channel := fmt.Sprint("room:", i)
		want[channel] = "channel.occupied member.joined"
		for k, g := range n.Rigs {
			p := g.WS("ann", "/ws")
			p.Send(fmt.Sprintf(`{"type":"subscribe","id":1,"channel":%q}`, channel))
			p.Until(func(m relaytest.Message) bool { return m["id"] == 1.0 })
			if k == 0 {
				first = append(first, p)
			} else {
				defer p.Close()
			}
		}
	}
	heard.wait(t, want)
	for _, p := range first {
		p.Close() // there are others
	}
	relaytest.Until(t, "a node has nobody any more", func() bool {
		_, out := n.Rigs[0].Backend("GET", "/v1/connections", nil)
		return len(out.(map[string]any)["connections"].([]any)) == 12
	})
	heard.wait(t, want)
	n.Rigs[1].Backend("POST", "/v1/disconnect", `{"userId":"ann"}`)
	for channel := range want {
		want[channel] = wholeLife
	}
	heard.wait(t, want)
}

// The owner of channels is lost: who is left goes on being there without news, and it is told when they leave.
func TestLifecycleAfterLoss(t *testing.T) {
	heard, _ := recorder(t)
	n := heard.nodes(t)
	want := make(map[string]string)
	here := make(map[string]*relaytest.Peer)
	for i := range 12 {
		channel := fmt.Sprint("room:", i)
		p := n.Rigs[1].WS("ann", "/ws")
		p.Send(fmt.Sprintf(`{"type":"subscribe","id":1,"channel":%q}`, channel))
		p.Until(func(m relaytest.Message) bool { return m["id"] == 1.0 })
		here[channel], want[channel] = p, "channel.occupied member.joined"
	}
	heard.wait(t, want)
	<-time.After(3200 * time.Millisecond) // of what happens shortly before the loss it is not known whether it was told
	n.Cut(0)
	for channel := range here {
		relaytest.Until(t, "it has an owner", func() bool {
			status, _ := n.Rigs[2].Backend("POST", "/v1/publish", fmt.Sprintf(`{"channel":%q,"data":1}`, channel))
			return status == 200
		})
	}
	heard.wait(t, want)
	for channel, p := range here {
		p.Send(fmt.Sprintf(`{"type":"unsubscribe","id":2,"channel":%q}`, channel))
		want[channel] = wholeLife
	}
	heard.wait(t, want)
}

// What waits for an endpoint, and its dead letters, are listed and sent again whichever node has them, and go to another one when theirs ends.
func TestQueuesOfNodes(t *testing.T) {
	heard, status := recorder(t)
	n := heard.nodes(t)
	status.Store(503)
	for i, g := range n.Rigs {
		g.Backend("POST", "/v1/events", fmt.Sprintf(`{"topic":"t","key":"k","data":{"channel":"room:%d"}}`, i))
	}
	list := func(want string) {
		t.Helper()
		relaytest.Until(t, want, func() bool {
			_, out := n.Rigs[1].Backend("GET", "/v1/webhooks", nil)
			return strings.Contains(fmt.Sprint(out), want)
		})
	}
	list("waiting:0")
	list("dead:3")
	n.Rigs[0].Backend("POST", "/v1/events", `{"topic":"t","data":{"channel":"room:3"}}`) // it still waits when its node ends
	n.Rigs[0].Stop()
	list("dead:4")
	status.Store(204)
	_, out := n.Rigs[2].Backend("POST", "/v1/webhooks/app/replay", nil)
	if m, _ := out.(map[string]any); m["replayed"] != 4.0 || m["left"] != 0.0 {
		t.Errorf("%v", out)
	}
	heard.wait(t, map[string]string{"room:0": "t", "room:1": "t", "room:2": "t", "room:3": "t"})
	list("dead:0")
}
