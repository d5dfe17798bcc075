package hooks_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/contain"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/hooks"
)

// nodes starts three relays of one cluster that ask b.
func nodes(t testing.TB, b *backend) *relaytest.Nodes {
	t.Helper()
	return relaytest.Cluster(t, 3, configured(b, func(c *config.Config, _ *hooks.Config) {
		c.Heartbeat, c.Pong = 30*time.Second, time.Minute // peers that nobody reads stay
	}), func() []relay.System { return []relay.System{hooks.New()} })
}

// Each node asks about its own clients, and what the backend says of a publication holds on whichever node its channel is.
func TestQuestionsOfNodes(t *testing.T) {
	b := newBackend(t, routes(`,"channels":{"room:*":["subscribe","publish"]},"context":7`, map[string]func(q *question) (int, string){
		"/subscribe": func(q *question) (int, string) {
			return 200, fmt.Sprintf(`{"allow":%t,"data":1}`, q.body["userId"] != "eve")
		},
		"/publish": func(q *question) (int, string) {
			return 200, fmt.Sprintf(`{"allow":true,"data":"by %s"}`, q.body["userId"])
		},
		"/call": func(q *question) (int, string) { return 200, fmt.Sprintf(`{"of":%q}`, q.body["connectionId"]) },
	}))
	n := nodes(t, b)
	var readers []*relaytest.Peer
	for i, g := range n.Rigs {
		user := fmt.Sprint("u", i)
		p, m := connect(g, user, "/ws")
		for k := range 6 {
			if m := ask(p, fmt.Sprint("s", k), fmt.Sprintf(`"type":"subscribe","channel":"asked:%d"`, k)); m["type"] != "subscribed" || m["data"] != 1.0 {
				t.Errorf("%v", m)
			}
		}
		if m2 := ask(p, "c", `"type":"call","method":"m"`); fmt.Sprint(m2["data"]) != fmt.Sprint(relaytest.Message{"of": m["connectionId"]}) {
			t.Errorf("%v of connection %v", m2, m["connectionId"])
		}
		readers = append(readers, p)
	}
	eve, _ := connect(n.Rigs[2], "eve", "/ws")
	if m := ask(eve, "s", `"type":"subscribe","channel":"asked:1"`); m["code"] != "forbidden" {
		t.Errorf("%v", m)
	}
	for k := range 6 { // of which every node owns some
		readers[k%3].Send(fmt.Sprintf(`{"id":"p","type":"publish","channel":"asked:%d","data":"x"}`, k))
		for _, p := range readers {
			m := p.Until(func(m relaytest.Message) bool { return m["op"] == "send" && m["channel"] == fmt.Sprint("asked:", k) })
			if m["data"] != fmt.Sprint("by u", k%3) {
				t.Errorf("%v", m)
			}
		}
	}
	count := make(map[string]int)
	for _, q := range slices.Concat(b.questions("/weir/subscribe"), b.questions("/weir/publish"), b.questions("/weir/call")) {
		count[q.path]++
	}
	if fmt.Sprint(count) != "map[/weir/call:3 /weir/publish:6 /weir/subscribe:19]" {
		t.Errorf("asked %v", count)
	}
	for _, g := range n.Rigs {
		_, out := g.Backend("GET", "/v1/hooks", nil)
		m, _ := out.(map[string]any)
		if m["nodes"] != 3.0 || m["silent"] != nil || !strings.Contains(fmt.Sprint(m["hooks"]), "hook:subscribe questions:map[allowed:18 busy:0 failed:0 open:0 refused:1]") {
			t.Errorf("%v", out)
		}
	}
}

// resumed reports whether a ticket lets a client without a cookie in.
func resumed(g *relaytest.Rig, ticket string) bool {
	g.Helper()
	p, status, _ := dial(g, "/ws?resume="+ticket)
	if p != nil {
		p.Close()
	} else if status != 401 {
		g.Errorf("refused with %d", status)
	}
	return p != nil
}

// A resume ticket holds on every node, and once on all of them.
func TestResumeOnNodes(t *testing.T) {
	b := newBackend(t, users(""))
	n := nodes(t, b)
	ready(t, n.Rigs...)
	for i := range 12 {
		_, m := connect(n.Rigs[i%3], "ann", "/ws")
		var let atomic.Int64
		var all sync.WaitGroup
		for k := range 6 {
			all.Go(func() {
				if resumed(n.Rigs[k%3], m["resume"].(string)) {
					let.Add(1)
				}
			})
		}
		all.Wait()
		if let.Load() != 1 {
			t.Fatalf("a ticket has opened %d sessions", let.Load())
		}
	}
}

// ready waits until tickets are taken by nodes: one that starts asks the others first.
func ready(t testing.TB, nodes ...*relaytest.Rig) {
	t.Helper()
	for _, g := range nodes {
		in := 0
		relaytest.Until(t, "tickets are taken", func() bool {
			p, m := connect(g, "somebody", "/ws")
			defer p.Drop() // a user may have so many connections
			if in++; !resumed(g, m["resume"].(string)) {
				in = 0
			}
			return in == 12 // of many parts
		})
	}
}

// What was used and what was revoked is known when the node that decided is lost.
func TestResumeAfterLoss(t *testing.T) {
	b := newBackend(t, users(""))
	n := nodes(t, b)
	ready(t, n.Rigs...)
	var used, revoked, good []string
	for i := range 24 {
		_, m := connect(n.Rigs[i%3], "ann", "/ws")
		used = append(used, m["resume"].(string))
		if !resumed(n.Rigs[1+i%2], used[i]) {
			t.Error("a ticket is refused")
		}
		_, m = connect(n.Rigs[i%3], "bob", "/ws")
		revoked = append(revoked, m["resume"].(string))
		_, m = connect(n.Rigs[i%3], "eve", "/ws")
		good = append(good, m["resume"].(string))
	}
	status, out := n.Rigs[0].Backend("POST", "/v1/revoke", `{"userId":"bob"}`)
	if m, _ := out.(map[string]any); status != 200 || m["asked"] != 24.0 || m["nodes"] != 3.0 || m["silent"] != nil {
		t.Errorf("%d %v", status, out)
	}
	n.Cut(0)
	relaytest.Until(t, "others have taken over", func() bool {
		for i := range 24 {
			if status, _ := n.Rigs[1].Backend("POST", "/v1/publish", fmt.Sprintf(`{"channel":"room:%d","data":1}`, i)); status != 200 {
				return false
			}
		}
		return true
	})
	ready(t, n.Rigs[1:]...)
	for i := range 24 {
		g := n.Rigs[2-i%2]
		if resumed(g, used[i]) {
			t.Error("a ticket was used twice")
		}
		if resumed(g, revoked[i]) {
			t.Error("a revoked ticket holds")
		}
		if !resumed(g, good[i]) {
			t.Error("a good ticket is refused")
		}
	}
}

// A revocation ends sessions on all nodes, and those of a node that is not heard when it is.
func TestRevokeOnNodes(t *testing.T) {
	b := newBackend(t, users(""))
	n := nodes(t, b)
	ready(t, n.Rigs...)
	open := func(user string) (list []*relaytest.Peer, ticket string) {
		for _, g := range n.Rigs {
			p, m := connect(g, user, "/ws")
			list, ticket = append(list, p), m["resume"].(string)
		}
		return list, ticket
	}
	ann, _ := open("ann")
	bob, ticket := open("bob")
	_, other := connect(n.Rigs[2], "bob", "/ws")
	b.answer(func(q *question) (int, string) {
		if s := q.cookie("session"); s == "ann" || s == "bob" {
			return 401, ""
		}
		return users("")(q)
	})
	n.Rigs[1].Backend("POST", "/v1/revoke", `{"userId":"ann"}`)
	for _, p := range ann {
		if code := p.Closed(); code != 4001 {
			t.Errorf("closed with %d", code)
		}
	}
	n.Cut(2)
	relaytest.Until(t, "the node is not heard", func() bool {
		_, out := n.Rigs[0].Backend("POST", "/v1/revoke", `{"userId":"nobody"}`)
		m, _ := out.(map[string]any)
		return fmt.Sprint(m["silent"]) == "[node-2]" && m["nodes"] == 2.0
	})
	n.Rigs[0].Backend("POST", "/v1/revoke", `{"userId":"bob"}`)
	for _, p := range bob[:2] {
		if code := p.Closed(); code != 4001 {
			t.Errorf("closed with %d", code)
		}
	}
	relaytest.Until(t, "the node knows that it is cut off", func() bool {
		resp, err := http.Get(n.Rigs[2].Admin + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode != 200
	})
	if resumed(n.Rigs[2], other["resume"].(string)) { // it cannot know, and asks
		t.Error("a node that is cut off takes a ticket")
	}
	n.Heal()
	if code := bob[2].Closed(); code != 4001 {
		t.Errorf("closed with %d", code)
	}
	ready(t, n.Rigs[2])
	if resumed(n.Rigs[2], ticket) {
		t.Error("a revoked ticket holds")
	}
}

// A panic while a node asks the others costs nothing: it asks again.
func TestPanicOfNodes(t *testing.T) {
	var thrown atomic.Bool
	contain.Throw(func(where string) {
		if where == "tickets of nodes" && !thrown.Swap(true) {
			panic("thrown")
		}
	})
	defer contain.Throw(nil)
	n := nodes(t, newBackend(t, users("")))
	ready(t, n.Rigs...)
	if !thrown.Load() {
		t.Error("nothing was thrown")
	}
}
