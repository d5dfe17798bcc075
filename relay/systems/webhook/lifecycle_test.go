package webhook_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
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

// A reload tells nothing twice and forgets nothing: neither a channel that is about to be told empty, nor what waits for an endpoint that
// does not answer.
func TestLifecycleOverReload(t *testing.T) {
	heard, status := recorder(t)
	g := heard.start(t, "")
	status.Store(503)
	p := g.WS("ann", "/ws")
	p.Send(`{"type":"subscribe","id":1,"channel":"room:1"}`)
	p.Type("subscribed")
	p.Close()
	relaytest.Until(t, "a failed attempt", func() bool { return heard.failed.Load() > 0 })
	for range 3 {
		g.Reload(nil)
	}
	status.Store(204)
	heard.wait(t, map[string]string{
		"connection": "connection.opened connection.closed",
		"room:1":     "channel.occupied member.joined member.left channel.vacated",
	})
}

// A restart ends connections, memberships and channels, and tells so at once: also what was about to be told, and what waits for an
// endpoint that does not answer, if there is a data directory. Clients that come back are told of anew.
func TestLifecycleOverRestart(t *testing.T) {
	heard, status := recorder(t)
	data := t.TempDir()
	g := heard.start(t, data)
	status.Store(503)
	left := g.WS("bob", "/ws")
	left.Send(`{"type":"subscribe","id":1,"channel":"room:2"}`)
	left.Type("subscribed")
	left.Drop() // the channel is empty, and bob has not left yet
	p := g.WS("ann", "/ws")
	p.Send(`{"type":"subscribe","id":1,"channel":"room:1"}`)
	p.Type("subscribed")
	relaytest.Until(t, "a failed attempt", func() bool { return heard.failed.Load() > 0 })
	g.Stop()
	status.Store(204)
	heard.start(t, data)
	over := "channel.occupied member.joined member.left channel.vacated"
	heard.wait(t, map[string]string{"connection": "connection.opened connection.closed", "room:1": over, "room:2": over})
}

// heard is what an endpoint has accepted.
type heard struct {
	*httptest.Server
	failed atomic.Int32
	mu     sync.Mutex
	types  map[string][]string // by channel, or connection
	ids    map[string]bool
}

// recorder is an endpoint that answers with a status.
func recorder(t *testing.T) (*heard, *atomic.Int32) {
	status := new(atomic.Int32)
	status.Store(204)
	h := &heard{types: make(map[string][]string), ids: make(map[string]bool)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e struct {
			ID, Type string
			Data     struct{ Channel, ConnectionID string }
		}
		if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
			t.Error(err)
		}
		code := int(status.Load())
		h.mu.Lock()
		defer h.mu.Unlock()
		if code >= 500 {
			h.failed.Add(1)
		} else if !h.ids[e.ID] {
			h.ids[e.ID] = true
			about := e.Data.Channel
			if about == "" {
				about = e.Data.ConnectionID
			}
			h.types[about] = append(h.types[about], e.Type)
		}
		w.WriteHeader(code)
	}))
	t.Cleanup(h.Close)
	return h, status
}

func (h *heard) start(t *testing.T, data string) *relaytest.Rig {
	w := webhook.Webhook{Name: "app", URL: h.URL, Topics: []string{"connection.*", "channel.*", "member.*"}, Secrets: []string{secret}, AllowInsecure: true}
	return relaytest.Start(t, func(c *config.Config) { c.Data, *config.Of[webhook.Config](c) = data, webhook.Config{w} }, webhook.New())
}

// wait waits until what was heard of each is what is wanted, and no more. Those of a channel's members and of the channel itself come in
// any order among each other.
func (h *heard) wait(t *testing.T, want map[string]string) {
	t.Helper()
	var got map[string]string
	relaytest.Until(t, fmt.Sprint("all of ", want), func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		got = make(map[string]string)
		n := 0
		for about, list := range h.types {
			if n += len(list); strings.HasPrefix(about, "room:") {
				list = slices.Clone(list)
				slices.SortStableFunc(list, func(a, b string) int { return strings.Compare(order(a), order(b)) })
			} else {
				about = "connection"
			}
			got[about] = strings.Join(list, " ")
		}
		return maps.Equal(got, want)
	})
}

// order is that in which the kinds of events are compared.
func order(kind string) string {
	return map[string]string{"channel.occupied": "1", "member.joined": "2", "member.left": "3", "channel.vacated": "4"}[kind]
}
