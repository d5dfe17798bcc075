package mercure_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"weir/internal/contain"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/mercure"
)

// nodesOf starts a hub of three nodes.
func nodesOf(t *testing.T, change ...func(*config.Config, *mercure.Config)) (*relaytest.Nodes, []rig) {
	t.Helper()
	n := relaytest.ClusterOf(t, 3, func(c *config.Config) {
		prepare(c, change...)
		own := config.Of[mercure.Config](c)
		own.URL = "https://hub.example" + path
	}, mercure.Module())
	var rigs []rig
	for _, g := range n.Rigs {
		rigs = append(rigs, rig{g})
	}
	return n, rigs
}

// own has a node own the hub's log from now on.
func (g rig) own(name string) {
	g.Helper()
	relaytest.Until(g, name+" owns the log", func() bool {
		answer, err := http.Post(g.Admin+"/cluster/move", "application/json", strings.NewReader(`{"channel":"mercure:updates","node":"`+name+`"}`))
		if err != nil {
			g.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
}

// TestNodesOfAHub: what is published on one node reaches subscribers of all, public and private, by text, template and pattern.
func TestNodesOfAHub(t *testing.T) {
	_, g := nodesOf(t)
	type reader struct {
		*relaytest.Stream
		private bool
	}
	var readers []reader
	for i := range g {
		for _, q := range []string{"topic=https://e.com/1", query("topic", "https://e.com/{id}"), query("match", "https://e.com/1"), query("match_urlpattern", "https://e.com/:id"), "topic=*"} {
			readers = append(readers, reader{g[i].follow(q), false}, reader{g[i].follow(q, bearer(token(nil, []string{"users/1"}))), true})
		}
	}
	for i := range g {
		id := g[i].publish("topic", "https://e.com/1", "data", fmt.Sprint("from ", i), "type", "t")
		secret := g[i].publish("topic", "https://e.com/1", "topic", "users/1", "private", "on", "data", fmt.Sprint("secret of ", i), "id", fmt.Sprint("secret-", i))
		g[i].publish("topic", "https://other.com/1", "data", "")
		for _, r := range readers {
			if e := r.Next(); e.ID != id || e.Type != "t" || e.Data != fmt.Sprint("from ", i) {
				t.Fatalf("%+v", e)
			}
			if r.private {
				if e := r.Next(); e.ID != secret || e.Data != fmt.Sprint("secret of ", i) {
					t.Fatalf("%+v", e)
				}
			}
		}
		for k, r := range readers {
			if k%10 >= 8 { // all topics
				if e := r.Next(); e.Data != "" || e.ID == "" {
					t.Fatalf("%+v", e)
				}
			}
		}
	}
}

// TestResumeOnAnotherNode: a client goes on at once on another node from what it has had on the first one, whichever that is, and ids that are not kept are
// told from those that are.
func TestResumeOnAnotherNode(t *testing.T) {
	_, g := nodesOf(t)
	all := bearer(token(nil, []string{"*"}))
	for i := range 30 {
		from, to := g[i%3], g[(i+1+i/3%2)%3]
		from.publish("topic", "a", "data", fmt.Sprint("before ", i))
		last := from.publish("topic", "a", "private", "on", "data", fmt.Sprint(i))
		s := to.follow("topic=a", all, "Last-Event-ID: "+last) // which it may not have yet
		if got := s.Header.Get("Last-Event-ID"); got != last {
			t.Fatalf("%d: told %s, want %s", i, got, last)
		}
		from.publish("topic", "a", "data", fmt.Sprint("after ", i))
		expect(t, s, fmt.Sprint("after ", i))
		s.Drop()
	}
	s := g[2].follow("topic=a&lastEventID=earliest", all)
	for i := range 30 {
		expect(t, s, fmt.Sprint("before ", i), fmt.Sprint(i), fmt.Sprint("after ", i))
	}
	g[0].publish("topic", "a", "id", "public", "data", "public")
	g[1].publish("topic", "a", "id", "hidden", "private", "on", "data", "hidden")
	expect(t, s, "public", "hidden")
	for i := range g {
		relaytest.Until(t, "the newest one that it may read is told", func() bool {
			s := g[i].follow("topic=a&lastEventID=lost")
			defer s.Drop()
			return s.Header.Get("Last-Event-ID") == "public"
		})
	}
}

// TestNativePublishOnNodes: what a backend publishes with an idempotency key on two nodes is there once.
func TestNativePublishOnNodes(t *testing.T) {
	_, g := nodesOf(t)
	var list []*relaytest.Stream
	for i := range g {
		list = append(list, g[i].follow("topic=a"))
	}
	for round := range 5 {
		for i := range g {
			body := fmt.Sprintf(`{"channel":"mercure:updates","data":{"topics":["a"],"data":"native %d"},"idempotencyKey":"k%d"}`, round, round)
			if status, out := g[i].Backend("POST", "/v1/publish", body); status != 200 {
				t.Fatal(status, out)
			}
		}
	}
	g[0].publish("topic", "a", "data", "end")
	for _, s := range list {
		expect(t, s, "native 0", "native 1", "native 2", "native 3", "native 4", "end")
	}
	if status, out := g[1].Backend("POST", "/v1/publish", `{"channel":"mercure:updates","data":"text"}`); status != 400 {
		t.Fatal(status, out)
	}
}

// subscriptions is what a node says of the active subscriptions: their subscribers' payloads by id, and the last id.
func (g rig) subscriptions(watch string) (list map[string]any, last string) {
	g.Helper()
	status, _, body := g.request("GET", path+"/subscriptions", "", bearer(watch))
	var out struct {
		LastEventID   string
		Subscriptions []struct {
			Subscriber, Topic string
			Payload           any
		}
	}
	if err := json.Unmarshal([]byte(body), &out); status != 200 || err != nil {
		g.Fatal(status, body, err)
	}
	list = make(map[string]any)
	for _, s := range out.Subscriptions {
		list[s.Topic+" "+s.Subscriber] = s.Payload
	}
	return list, out.LastEventID
}

// TestSubscriptionsOfNodes: documents and events about active subscriptions are those of all nodes, and each begins and ends once.
func TestSubscriptionsOfNodes(t *testing.T) {
	_, g := nodesOf(t)
	watch := token(nil, []string{path + "/subscriptions{/topic}{/subscriber}", path + "/subscriptions/{topic}/{subscriber}"})
	var events []*relaytest.Stream
	for i := range g {
		events = append(events, g[i].follow(query("topic", path+"/subscriptions/room/{subscriber}"), bearer(watch)))
	}
	for i := range g {
		payload := token(nil, nil, map[string]any{"mercure": map[string]any{"payload": map[string]any{"n": i}}})
		s := g[i].follow("topic=room", bearer(payload))
		id := ""
		for k, e := range events {
			var d struct {
				ID, Subscriber string
				Active         bool
				Payload        struct{ N int }
			}
			if err := json.Unmarshal([]byte(e.Next().Data), &d); err != nil || !d.Active || d.Payload.N != i {
				t.Fatal(d, err)
			}
			id = d.ID
			if list, _ := g[k].subscriptions(watch); list["room "+d.Subscriber] == nil || len(list) != 4 {
				t.Fatalf("node %d says %v", k, list)
			}
			if status, _, body := g[k].request("GET", id, "", bearer(watch)); status != 200 || !strings.Contains(body, d.Subscriber) {
				t.Fatal(status, body)
			}
		}
		_, last := g[(i+1)%3].subscriptions(watch)
		s.Drop()
		for _, e := range events {
			if got := e.Next(); !strings.Contains(got.Data, `"active": false`) {
				t.Fatal(got)
			}
		}
		for k := range g {
			if status, _, _ := g[k].request("GET", id, "", bearer(watch)); status != http.StatusNotFound {
				t.Fatal(k, status)
			}
		}
		back := g[(i+2)%3].follow(query("topic", path+"/subscriptions/room/{subscriber}"), bearer(watch), "Last-Event-ID: "+last)
		if got := back.Next(); back.Header.Get("Last-Event-ID") != last || !strings.Contains(got.Data, `"active": false`) {
			t.Fatal(got)
		}
		back.Drop()
		relaytest.Until(t, "the watchers are left", func() bool { list, _ := g[i].subscriptions(watch); return len(list) == 3 })
	}
	ofHub := func(_ object, c jwt.MapClaims) { c["aud"] = "https://hub.example" + path }
	modern := g[0].modern([]object{grantOf([]string{"subscribe"}, object{"n": 1}, object{"match": "m-1"}), grantOf([]string{"subscribe"}, object{"n": 2}, object{"match": "m-2"})}, ofHub)
	g[0].follow("match=m-1&match=m-2", bearer(modern))
	see := g[1].modern([]object{grantOf([]string{"subscribe"}, nil, object{"match": path + "/subscriptions/exact"})}, ofHub)
	if status, _, body := g[1].request("GET", path+"/subscriptions/exact", "", bearer(see)); status != 200 || !strings.Contains(body, `"match":"m-1"`) || !strings.Contains(body, `"payload":{"n":2}`) {
		t.Fatal(status, body)
	}
}

// TestLostOwnerOfAHub: when the node that has the log is not reached, another one goes on with it. Streams of the others stay, those of the lost node are no longer
// listed, and it is one of them again when it is back.
func TestLostOwnerOfAHub(t *testing.T) {
	n, g := nodesOf(t)
	watch := token(nil, []string{path + "/subscriptions{/topic}{/subscriber}", path + "/subscriptions/{topic}/{subscriber}"})
	g[2].own("node-0")
	a, b, c := g[0], g[1], g[2]
	onLost := a.follow("topic=a")
	stays := b.follow("topic=a")
	events := c.follow(query("topic", path+"/subscriptions/a/{subscriber}"), bearer(watch))
	a.publish("topic", "a", "id", "1", "data", "1")
	expect(t, onLost, "1")
	expect(t, stays, "1")
	n.Cut(0)
	relaytest.Until(t, "another node has the log", func() bool {
		status, _, _ := b.post("topic=a&id=2&data=2", bearer(anyone))
		return status == 200
	})
	expect(t, stays, "2")
	expect(t, c.follow("topic=a", "Last-Event-ID: 1"), "2")
	gone := events.Next()
	for strings.Contains(gone.Data, `"active": true`) { // that of the line above
		gone = events.Next()
	}
	relaytest.Until(t, "those of the lost node are listed no more", func() bool { list, _ := b.subscriptions(watch); return len(list) == 3 })
	if status, _, _ := a.post("topic=a&data=x", bearer(anyone)); status != 503 {
		t.Error("the node that is cut off has taken an update:", status)
	}
	n.Heal()
	relaytest.Until(t, "it is one of them again", func() bool { list, _ := a.subscriptions(watch); return len(list) == 4 })
	expect(t, onLost, "2") // it has missed nothing
	relaytest.Until(t, "it takes updates", func() bool {
		status, _, _ := a.post("topic=a&id=3&data=3", bearer(anyone))
		return status == 200
	})
	expect(t, onLost, "3")
	expect(t, stays, "3")
	expect(t, a.follow("topic=a", "Last-Event-ID: 2"), "3")
}

// TestMovedLogOfAHub: nobody notices that another node has the log from now on.
func TestMovedLogOfAHub(t *testing.T) {
	_, g := nodesOf(t)
	s := g[1].follow("topic=a")
	last := ""
	for i := range 9 {
		g[0].own(fmt.Sprint("node-", i%3))
		last = g[2].publish("topic", "a", "data", fmt.Sprint(i))
		expect(t, s, fmt.Sprint(i))
		other := g[i%3].follow("topic=a", "Last-Event-ID: "+last)
		if got := other.Header.Get("Last-Event-ID"); got != last {
			t.Fatal(got, last)
		}
		other.Drop()
	}
}

// TestPanicsOfNodes: a change over which a node has panicked is missed by nobody; the same where subscriptions are looked at anew.
func TestPanicsOfNodes(t *testing.T) {
	thrown := map[string]*atomic.Int64{"listener": {}, "change for a listener": {}, "mercure subscriptions": {}}
	contain.Throw(func(where string) {
		if n := thrown[where]; n != nil && n.Add(1) == 1 {
			panic("thrown by the test")
		}
	})
	t.Cleanup(func() { contain.Throw(nil) })
	_, g := nodesOf(t, func(_ *config.Config, c *mercure.Config) { c.Subscriptions = false })
	g[0].publish("topic", "a", "id", "1", "data", "1")
	g[0].publish("topic", "a", "id", "2", "data", "2")
	for i := range g {
		relaytest.Until(t, "the update is there", func() bool {
			s := g[i].follow("topic=a", "Last-Event-ID: 1")
			defer s.Drop()
			return s.Header.Get("Last-Event-ID") == "1" && s.Next().ID == "2"
		})
	}
	relaytest.Until(t, "all is gone on with", func() bool {
		for _, n := range thrown {
			if n.Load() < 2 {
				return false
			}
		}
		return true
	})
}
