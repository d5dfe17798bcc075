package webhook_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"weir/internal/contain"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/webhook"
)

// lifecycleOf starts a relay with an endpoint for topics, and returns what it is told: "type channel-or-code user".
func lifecycleOf(t *testing.T, change func(w *webhook.Webhook)) (*relaytest.Rig, func() string) {
	t.Helper()
	b := newBackend(t, nil)
	w := webhook.Webhook{Name: "app", URL: b.URL, Topics: []string{"connection.*", "channel.*", "member.*"}, Secrets: []string{secret, newSecret}, AllowInsecure: true}
	change(&w)
	g := relaytest.Start(t, func(c *config.Config) { *config.Of[webhook.Config](c) = webhook.Config{w} }, webhook.New())
	var left []string
	return g, func() string {
		if len(left) == 0 {
			body := b.next()
			var list []struct {
				Type string
				Data map[string]any
			}
			if !strings.HasPrefix(body, "[") {
				body = "[" + body + "]"
			}
			if err := json.Unmarshal([]byte(body), &list); err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				about := e.Data["channel"]
				if e.Type == "connection.closed" {
					about = fmt.Sprint(e.Data["code"], " ", e.Data["reason"])
					if s, ok := e.Data["seconds"].(float64); !ok || s < 0 {
						t.Errorf("%v", e.Data)
					}
				}
				left = append(left, fmt.Sprint(e.Type, " ", about, " ", e.Data["userId"]))
			}
		}
		first := left[0]
		left = left[1:]
		return first
	}
}

// A backend is told of connections, of channels that somebody follows, and of who is in them.
func TestLifecycle(t *testing.T) {
	g, next := lifecycleOf(t, func(*webhook.Webhook) {})
	want := func(list ...string) {
		t.Helper()
		var got []string
		for range list {
			got = append(got, next())
		}
		slices.Sort(got) // those of different keys come in any order
		slices.Sort(list)
		if !slices.Equal(got, list) {
			t.Errorf("%q, want %q", got, list)
		}
	}
	p := g.WS("ann", "/ws")
	want("connection.opened <nil> ann")
	p.Send(`{"type":"subscribe","id":1,"channel":"room:1"}`)
	want("channel.occupied room:1 <nil>", "member.joined room:1 ann")
	second := g.WS("ann", "/ws")
	want("connection.opened <nil> ann")
	second.Send(`{"type":"subscribe","id":1,"channel":"room:1"}`)
	second.Type("subscribed") // neither is news
	p.Close()
	want("connection.closed 1000 closed by the client ann")
	second.Drop()
	want("connection.closed 1006 connection lost ann", "channel.vacated room:1 <nil>", "member.left room:1 ann")
	p = g.WS("bob", "/ws")
	want("connection.opened <nil> bob")
	g.Backend("POST", "/v1/disconnect", `{"userId":"bob","reason":"banned"}`)
	if code := p.Closed(); code != 4003 {
		t.Error(code)
	}
	want("connection.closed 4003 banned bob")
}

// Somebody who comes back while a channel is about to be told empty is no news; other namespaces are nobody's business.
func TestVacancyIsCancelled(t *testing.T) {
	g, next := lifecycleOf(t, func(w *webhook.Webhook) { w.Topics, w.Namespaces = []string{"channel.*"}, []string{"room"} })
	p := g.WS("ann", "/ws")
	command := func(kind, channel string) {
		p.Send(fmt.Sprintf(`{"type":%q,"id":1,"channel":%q}`, kind, channel))
		p.Until(func(m relaytest.Message) bool { return m["id"] == 1.0 })
	}
	command("subscribe", "other:1")
	command("subscribe", "room:1")
	command("unsubscribe", "room:1")
	command("subscribe", "room:1")
	command("unsubscribe", "other:1")
	command("unsubscribe", "room:1")
	for _, want := range []string{"channel.occupied room:1 <nil>", "channel.vacated room:1 <nil>"} {
		if got := next(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// An endpoint for everything is for what is emitted: it hears of connections only if it names them. Nobody else may emit these.
func TestLifecycleIsAskedFor(t *testing.T) {
	g, next := lifecycleOf(t, func(w *webhook.Webhook) { w.Topics = []string{"*"} })
	p := g.WS("ann", "/ws")
	p.Send(`{"type":"subscribe","id":1,"channel":"room:1"}`)
	p.Type("subscribed")
	g.Backend("POST", "/v1/events", `{"topic":"t","data":{"channel":"x"}}`)
	if got := next(); got != "t x <nil>" {
		t.Error(got)
	}
	token := g.Token("eve", relaytest.Grant("event:*", "publish"))
	eve, _ := g.Dial(token, "/ws")
	eve.Send(`{"type":"event","id":1,"topic":"member.joined","data":{}}`)
	if m := eve.Type("error"); m["code"] != "forbidden" {
		t.Error(m)
	}
}

// A panic while events are turned around costs nothing that comes later.
func TestPanicOverLifecycle(t *testing.T) {
	var thrown atomic.Bool
	contain.Throw(func(where string) {
		if where == "lifecycle" && !thrown.Swap(true) {
			panic("thrown")
		}
	})
	defer contain.Throw(nil)
	g, next := lifecycleOf(t, func(w *webhook.Webhook) { w.Topics = []string{"connection.opened"} })
	g.WS("ann", "/ws")
	if got := next(); got != "connection.opened <nil> ann" || !thrown.Load() {
		t.Error(got)
	}
}
