package relaytest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"

	"weir/relay/config"
	"weir/relay/relaytest"
)

// figures is what a node's dashboard is told.
type figures struct {
	Relay struct {
		Node       string
		Data       string
		Replicated bool
	}
	From   int64
	Series map[string][]*float64
	Top    []struct {
		Channel     string
		Subscribers int
	}
	Nodes []struct {
		Node, State, Version string
		Owned                int
		Last                 map[string]*float64
	}
}

func (f *figures) last(name string) float64 {
	if s := f.Series[name]; len(s) > 0 && s[len(s)-1] != nil {
		return *s[len(s)-1]
	}
	return -1
}

// get reads from the admin listener.
func get(g *relaytest.Rig, path string, into any) {
	g.Helper()
	resp, err := http.Get(g.Admin + path)
	if err != nil {
		g.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err := json.Unmarshal(b, into); err != nil || resp.StatusCode != 200 {
		g.Fatalf("%s: %s: %v: %s", path, resp.Status, err, b)
	}
}

// The dashboard of any node has the figures of all, each node among them, and says which one is not heard.
func TestFiguresOfNodes(t *testing.T) {
	n := relaytest.Cluster(t, 3, patient, nil)
	for i := range 6 {
		enter(n.Rigs[i%3], fmt.Sprint("u", i), "room:1", "room:2")
	}
	whole := func(g *relaytest.Rig, node string, connections float64) bool {
		var f figures
		get(g, "/figures?after=0", &f)
		owned := 0
		for _, x := range f.Nodes {
			owned += x.Owned
			if there := connections == 6 || x.Node != "node-2"; there != (x.State == "ready") || there && (x.Version == "" || x.Last["sessions/ws"] == nil || *x.Last["sessions/ws"] != 2) {
				return false
			}
		}
		if f.Relay.Node != node || len(f.Nodes) != 3 {
			t.Errorf("%+v", f)
		}
		return f.last("sessions/ws") == connections && f.last("subscriptions") >= 2*connections && (owned == 64 || connections < 6) && f.last("channels") >= 0
	}
	for i, g := range n.Rigs {
		relaytest.Until(t, "all are counted", func() bool { return whole(g, fmt.Sprint("node-", i), 6) })
		var f struct {
			Count     int
			Followers []any
		}
		if get(g, "/followers?channel=room:1", &f); f.Count != 6 || len(f.Followers) != 6 {
			t.Errorf("%+v", f)
		}
	}
	published, last := 0.0, int64(0)
	relaytest.Until(t, "what is published on all nodes is counted once", func() bool {
		if last == 0 {
			for i, g := range n.Rigs {
				body(g, "POST", "/v1/publish", map[string]any{"channel": fmt.Sprint("room:", i), "data": 1})
			}
		}
		var f figures
		get(n.Rigs[1], fmt.Sprint("/figures?after=", last), &f)
		for i, v := range f.Series["published"] {
			if last = f.From + int64(i); v != nil {
				published += *v
			}
		}
		return published >= 3
	})
	if published != 3 {
		t.Errorf("published %v", published)
	}
	n.Cut(2)
	relaytest.Until(t, "one is not heard", func() bool { return whole(n.Rigs[0], "node-0", 4) })
}

// The dashboard is told where durable channels are: in the log of the cluster, if it has any, and not in the memory of the node.
func TestFiguresOfDurable(t *testing.T) {
	for _, durable := range []bool{false, true} {
		n := relaytest.Cluster(t, 1, func(c *config.Config) {
			c.Namespaces = map[string]config.Namespace{"room": {Durable: durable}}
			c.Cluster.NATS = []string{"nats://127.0.0.1:1"} // which nobody dials
		}, nil)
		var f figures
		if get(n.Rigs[0], "/figures?after=0", &f); f.Relay.Replicated != durable || f.Relay.Data != "" {
			t.Errorf("durable: %v: %+v", durable, f.Relay)
		}
	}
}
