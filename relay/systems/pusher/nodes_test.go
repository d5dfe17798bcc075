package pusher_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/relay"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/pusher"
)

// nodesOf starts an app on three nodes.
func nodesOf(t *testing.T, prepare func(*pusher.App)) (*relaytest.Nodes, []*rig) {
	t.Helper()
	n := relaytest.Cluster(t, 3, func(c *config.Config) {
		a := pusher.App{ID: "1", Keys: []pusher.Key{{Key: appKey, Secret: appSecret}}}
		prepare(&a)
		c.Known = []config.System{pusher.Module().System}
		c.Systems = []string{pusher.Name}
		c.Sections = []config.Section{&pusher.Config{Apps: []pusher.App{a}}}
		c.Heartbeat, c.Pong = 30*time.Second, time.Minute
		c.Clock = nil
	}, func() []relay.System { return []relay.System{pusher.New()} })
	var rigs []*rig
	for _, g := range n.Rigs {
		rigs = append(rigs, &rig{Rig: g})
	}
	return n, rigs
}

// asks asks a node by the HTTP API, until the answer is as wanted.
func asks(t *testing.T, g *rig, path, want string) {
	t.Helper()
	last := ""
	defer func() {
		if t.Failed() {
			t.Logf("last: %s", last)
		}
	}()
	relaytest.Until(t, path+" is "+want, func() bool {
		path, query, _ := strings.Cut(path, "?")
		_, last = g.call("GET", "/apps/1"+path, query, "")
		return last == want
	})
}

// An app is one on all nodes: members and counts, what the HTTP API says, the end of a user's connections, and webhooks, which are told once.
func TestNodes(t *testing.T) {
	r := receive(t)
	_, g := nodesOf(t, func(a *pusher.App) {
		a.Feature.Counts = true
		a.Feature.Leave = 100 * time.Millisecond
		a.Limit.Members = 3
		a.Webhooks = []pusher.Webhook{{URL: r.URL, AllowInsecure: true, Events: []string{"channel_occupied", "channel_vacated", "member_added", "member_removed"}}}
	})
	told := func(count int) string {
		t.Helper()
		var list []string
		for range count {
			e := r.next()
			list = append(list, strings.TrimSpace(fmt.Sprint(e["name"], " ", e["channel"], " ", e["user_id"])))
		}
		slices.Sort(list)
		return strings.Join(list, ", ")
	}
	for i := range 8 { // of all owners
		name := fmt.Sprint("presence-r", i)
		member := func(id string) string { return `{"user_id":"` + id + `","user_info":{"n":1}}` }
		a, b, c := g[0].connect(t), g[1].connect(t), g[2].connect(t)
		if got := a.joined(name, member("u")); !strings.Contains(got, `"count":1`) {
			t.Errorf("the first one is told %s", got)
		}
		if got := b.joined(name, member("v")); !strings.Contains(got, `"count":2`) || !strings.Contains(got, `"u"`) {
			t.Errorf("the second one is told %s", got)
		}
		a.want("pusher_internal:member_added", name)
		if got := c.joined(name, member("v")); !strings.Contains(got, `"count":2`) {
			t.Errorf("a connection of the same user is told %s", got)
		}
		if got, want := told(3), fmt.Sprintf("channel_occupied %[1]s <nil>, member_added %[1]s u, member_added %[1]s v", name); got != want {
			t.Errorf("webhooks were told %s, want %s", got, want)
		}
		for _, g := range g {
			asks(t, g, "/channels/"+name+"?info=user_count,subscription_count", `{"occupied":true,"subscription_count":3,"user_count":2}`)
			asks(t, g, "/channels?filter_by_prefix=presence-&info=user_count", `{"channels":{"`+name+`":{"user_count":2}}}`)
			asks(t, g, "/channels/"+name+"/users", `{"users":[{"id":"u"},{"id":"v"}]}`)
			asks(t, g, "/connections", `{"connections":3}`)
		}
		b.Close() // v is on another node still
		asks(t, g[0], "/channels/"+name+"?info=user_count,subscription_count", `{"occupied":true,"subscription_count":2,"user_count":2}`)
		c.Close()
		if m := a.want("pusher_internal:member_removed", name); !strings.Contains(m["data"].(string), `"v"`) {
			t.Errorf("told %v", m)
		}
		if got, want := told(1), fmt.Sprintf("member_removed %s v", name); got != want {
			t.Errorf("webhooks were told %s, want %s", got, want)
		}
		a.Close()
		if got, want := told(2), fmt.Sprintf("channel_vacated %[1]s <nil>, member_removed %[1]s u", name); got != want {
			t.Errorf("webhooks were told %s, want %s", got, want)
		}
		asks(t, g[1], "/channels?filter_by_prefix=presence-&info=user_count", `{"channels":{}}`)

		full := []*client{g[0].connect(t), g[1].connect(t), g[2].connect(t), g[i%3].connect(t)}
		for k, x := range full[:3] {
			x.joined(name, member(fmt.Sprint(k)))
		}
		full[3].subscribe(name, member("beyond"))
		if m := full[3].Next(); m["event"] != "pusher:error" && m["event"] != "pusher:subscription_error" {
			t.Errorf("one too many is told %v", m)
		}
		for _, x := range full {
			x.Close()
		}
		told(4 + 4) // all that has come, and gone again
	}

	// A count is told to the subscribers of all nodes, and a user's connections are ended on all.
	a, b := g[0].connect(t), g[1].connect(t)
	a.joined("news", "")
	a.data("pusher_internal:subscription_count", "news", `{"subscription_count":1}`)
	b.joined("news", "")
	a.data("pusher_internal:subscription_count", "news", `{"subscription_count":2}`)
	b.data("pusher_internal:subscription_count", "news", `{"subscription_count":2}`)
	for _, x := range []*client{a, b} {
		x.signIn(`{"id":"7"}`)
		x.want("pusher:signin_success", "")
	}
	if status, out := g[2].call("POST", "/apps/1/users/7/terminate_connections", "", "{}"); status != 200 {
		t.Fatal(status, out)
	}
	for _, x := range []*client{a, b} {
		if code := x.Closed(); code != 4009 {
			t.Errorf("closed with %d", code)
		}
	}
}

// Members of a node that is lost leave once, and those of others stay; nobody is told of those again.
func TestLostNode(t *testing.T) {
	r := receive(t)
	n, g := nodesOf(t, func(a *pusher.App) {
		a.Feature.Leave = 100 * time.Millisecond
		a.Webhooks = []pusher.Webhook{{URL: r.URL, AllowInsecure: true, Events: []string{"member_added", "member_removed"}}}
	})
	watchers := make(map[string]*client)
	want := make(map[string]int)
	for i := range 8 {
		name := fmt.Sprint("presence-r", i)
		g[0].connect(t).joined(name, `{"user_id":"lost"}`)
		g[2].connect(t).joined(name, `{"user_id":"other"}`)
		watchers[name] = g[1].connect(t)
		watchers[name].joined(name, `{"user_id":"watcher"}`)
		for _, id := range []string{"lost", "other", "watcher"} {
			want[fmt.Sprint("member_added ", name, " ", id)]++
		}
		want[fmt.Sprint("member_removed ", name, " lost")]++
	}
	n.Cut(0)
	for name, w := range watchers {
		if m := w.want("pusher_internal:member_removed", name); !strings.Contains(m["data"].(string), "lost") {
			t.Errorf("told %v", m)
		}
		asks(t, g[2], "/channels/"+name+"/users", `{"users":[{"id":"other"},{"id":"watcher"}]}`)
	}
	got := make(map[string]int)
	for range 8 * 4 {
		e := r.next()
		got[fmt.Sprint(e["name"], " ", e["channel"], " ", e["user_id"])]++
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("webhooks were told %v, want %v", got, want)
	}
	select {
	case e := <-r.events:
		t.Errorf("told %v, too", e)
	default:
	}
}
