package analytics_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/analytics"
)

// three starts three nodes that count.
func three(t *testing.T, prepare func(c *config.Config)) *relaytest.Nodes {
	t.Helper()
	return relaytest.Cluster(t, 3, func(c *config.Config) {
		c.Heartbeat = time.Minute
		if prepare != nil {
			prepare(c)
		}
	}, func() []relay.System { return []relay.System{analytics.New()} })
}

// reaches waits until a metric has so many events on a node, and returns how often it was seen beyond.
func reaches(g *relaytest.Rig, metric string, want float64) {
	g.Helper()
	relaytest.Until(g, fmt.Sprintf("%s is %v", metric, want), func() bool {
		count, _ := glance(g).counter(metric)
		if count > want {
			g.Fatalf("%s is %v: more than the %v that were emitted", metric, count, want)
		}
		return count == want
	})
}

// Each node counts what comes to it, and a dashboard of any node has the sums of all, live and later, its history, too, and each node's own figures beside those of all together.
func TestNodesCountAsOne(t *testing.T) {
	n := three(t, nil)
	var boards []*board
	for _, g := range n.Rigs {
		boards = append(boards, watch(g))
	}
	for i := range 30 {
		emit(n.Rigs[i%3], "user.action", fmt.Sprintf(`{"name":"login","value":%d}`, i))
	}
	for i, b := range boards {
		total, sum := b.counter("user.action/login")
		for total < 30 {
			m := b.update("user.action/login")
			total, sum = total+m["count"].(float64), sum+m["value"].(float64)
		}
		if total != 30 || sum != 435 {
			t.Errorf("a dashboard of node %d saw %v events, of %v in sum", i, total, sum)
		}
		figures := data(b.Until(func(m relaytest.Message) bool {
			return m["type"] == "nodes" && len(data(m)["nodes"].(map[string]any)) == 3
		}))["nodes"].(map[string]any)
		for node := range 3 {
			if of, _ := figures[fmt.Sprint("node-", node)].(map[string]any); of["weir.memory"] == nil || of["weir.published"] == nil {
				t.Errorf("node %d's own figures: %v", node, figures)
			}
		}
	}
	for i, g := range n.Rigs {
		p := g.WS("ann", "/ws")
		p.Send(relaytest.Message{"type": "subscribe", "id": 1, "channel": "room:1"})
		p.Type("subscribed")
		for _, g := range n.Rigs { // that nodes hear of a channel makes them no subscribers of it
			_, out := g.Backend("GET", "/v1/channels", "")
			subscribers := make(map[any]any)
			for _, c := range out.(map[string]any)["channels"].([]any) {
				subscribers[c.(map[string]any)["channel"]] = c.(map[string]any)["subscribers"]
			}
			if subscribers["analytics:state"] != 0.0 || subscribers["room:1"] != float64(i+1) {
				t.Errorf("with %d subscribers of one channel: %v", i+1, subscribers)
			}
		}
		reaches(g, "user.action/login", 30)
		if past := history(g, "user.action/login"); past != 30 {
			t.Errorf("in the history there are %v events", past)
		}
	}
}

// A node that joins has what was counted before it came, and goes on as the others do.
func TestNodeThatJoins(t *testing.T) {
	n := three(t, nil)
	for i := range 12 {
		emit(n.Rigs[i%3], "user.action", `{"name":"login"}`)
	}
	for _, g := range n.Rigs {
		reaches(g, "user.action/login", 12)
	}
	relaytest.Until(t, "the totals are stored", func() bool {
		_, out := n.Rigs[0].Backend("GET", "/v1/channels/analytics:state", "")
		return strings.Contains(fmt.Sprint(out), "user.action/login")
	})
	g := n.Join(func(c *config.Config) { c.Heartbeat = time.Minute }, func() []relay.System { return []relay.System{analytics.New()} })
	reaches(g, "user.action/login", 12)
	relaytest.Until(t, "it has the history", func() bool { return history(g, "user.action/login") == 12 })
	emit(g, "user.action", `{"name":"login"}`)
	for _, g := range n.Rigs {
		reaches(g, "user.action/login", 13)
		if past := history(g, "user.action/login"); past != 13 {
			t.Errorf("in the history there are %v events", past)
		}
	}
}

// The owner of what is counted is lost, and moved: what the nodes have counted is counted once, and by all.
func TestCountingGoesOn(t *testing.T) {
	n := three(t, nil)
	n.Move("analytics:state", 0)
	sent := 0
	some := func(nodes ...int) {
		for range 50 {
			for _, i := range nodes {
				emit(n.Rigs[i], "api.request", "null")
				sent++
			}
		}
	}
	some(0, 1, 2)
	for _, g := range n.Rigs {
		reaches(g, "api.request", float64(sent))
	}
	for move := range 6 { // while events come
		some(0, 1, 2)
		n.Move("analytics:state", (move+1)%3)
	}
	for _, g := range n.Rigs {
		reaches(g, "api.request", float64(sent))
	}
	n.Move("analytics:state", 0)
	n.Move("event:api.request", 1) // that it is counted does not depend on it, but the answer to who emits it does
	some(0, 1, 2)
	n.Cut(0) // what it counts now, alone, is taken back
	some(1, 2)
	for _, g := range n.Rigs[1:] { // what it has counted and not told is missing
		relaytest.Until(t, "the others are counted", func() bool {
			count, _ := glance(g).counter("api.request")
			return count >= float64(sent-50)
		})
	}
	some(1)
	n.Heal()
	some(1, 2)
	for _, g := range n.Rigs {
		reaches(g, "api.request", float64(sent))
	}
}

// An alert that only all nodes together give reason for is raised, and cleared, once, by one of them; the dashboards of all are told.
func TestAlertOfNodes(t *testing.T) {
	n := three(t, func(c *config.Config) {
		config.Of[analytics.Config](c).Alerts = []analytics.Alert{{Name: "busy", Metric: "system.event", Of: "count", Window: 3 * time.Second, Threshold: new(25.0), Clear: new(5.0)}}
	})
	var boards []*board
	for _, g := range n.Rigs {
		boards = append(boards, watch(g))
	}
	for i := range 30 {
		emit(n.Rigs[i%3], "system.event", "null")
	}
	for i, b := range boards {
		for _, state := range []string{"raised", "cleared"} {
			if m := data(b.Type("alert")); m["state"] != state || m["name"] != "busy" {
				t.Errorf("a dashboard of node %d was told %v, not that it is %s", i, m, state)
			}
		}
	}
	raised := 0.0
	for _, g := range n.Rigs {
		if g.Gauge("weir_analytics_alerts_raised") != 0 {
			t.Error("it is still raised somewhere")
		}
		raised += g.Gauge("weir_analytics_alerts_total")
	}
	if raised != 1 {
		t.Errorf("it was raised %v times", raised)
	}
}

// history is how many events of a metric a node has in the last minutes.
func history(g *relaytest.Rig, metric string) (sum float64) {
	g.Helper()
	resp, err := http.Get(g.Admin + "/analytics/history?span=120&step=1&metric=" + metric)
	if err != nil {
		g.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var h struct {
		Metrics map[string]struct{ Count []float64 }
	}
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		g.Fatal(err)
	}
	for _, n := range h.Metrics[metric].Count {
		sum += n
	}
	return sum
}
