package pusher_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"weir/relay/relaytest"
	"weir/relay/systems/pusher"
)

// receiver receives webhooks.
type receiver struct {
	*httptest.Server
	t      *testing.T
	events chan map[string]any
	fail   atomic.Int32 // so many requests fail
	sizes  chan int     // events of each request
}

func receive(t *testing.T) *receiver {
	r := &receiver{t: t, events: make(chan map[string]any, 1000), sizes: make(chan int, 1000)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		if got := req.Header.Get("X-Pusher-Signature"); req.Header.Get("X-Pusher-Key") != appKey || appKey+":"+got != sign(string(body)) || req.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v: not signed as it should be", req.Header)
		}
		if r.fail.Add(-1) >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var m struct {
			Time   int64 `json:"time_ms"`
			Events []map[string]any
		}
		if err := json.Unmarshal(body, &m); err != nil || time.Since(time.UnixMilli(m.Time)) > time.Hour {
			t.Errorf("%s", body)
		}
		r.sizes <- len(m.Events)
		for _, e := range m.Events {
			r.events <- e
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// next is the next event.
func (r *receiver) next() map[string]any {
	r.t.Helper()
	select {
	case e := <-r.events:
		return e
	case <-time.After(relaytest.Patience):
		r.t.Fatal("no webhook came")
		return nil
	}
}

// want is next for an event, as JSON.
func (r *receiver) want(event string) {
	r.t.Helper()
	if got, _ := json.Marshal(r.next()); string(got) != event {
		r.t.Fatalf("%s, want %s", got, event)
	}
}

func (c *client) signIn(data string) {
	c.send("pusher:signin", map[string]string{"auth": sign(c.id, "", "user", "", data), "user_data": data})
}

// TestWebhooks tells of each kind of event, in the order of the channel, and of what has ended after a while.
func TestWebhooks(t *testing.T) {
	r, other := receive(t), receive(t)
	r.fail.Store(1)
	g := start(t, func(a *pusher.App) {
		a.Feature = pusher.Feature{Leave: 50 * time.Millisecond, Counts: true}
		a.Webhooks = []pusher.Webhook{
			{URL: r.URL, AllowInsecure: true, Headers: []string{"X-Shop: 7"}},
			{URL: other.URL, AllowInsecure: true, Events: []string{"channel_occupied"}, StartsWith: "presence-", EndsWith: "y", Batch: 10},
		}
	})
	a := g.connect(t)
	a.joined("cache-x", "")
	r.want(`{"channel":"cache-x","name":"channel_occupied"}`) // at the second attempt
	r.want(`{"channel":"cache-x","name":"cache_miss"}`)
	r.want(`{"channel":"cache-x","name":"subscription_count","subscription_count":1}`)
	b := g.connect(t)
	b.joined("cache-x", "") // which it has been told of
	r.want(`{"channel":"cache-x","name":"subscription_count","subscription_count":2}`)
	b.Close()
	r.want(`{"channel":"cache-x","name":"subscription_count","subscription_count":1}`)
	a.Close()
	r.want(`{"channel":"cache-x","name":"subscription_count","subscription_count":0}`)
	r.want(`{"channel":"cache-x","name":"channel_vacated"}`)

	c := g.connect(t)
	c.joined("presence-y", `{"user_id":7}`)
	r.want(`{"channel":"presence-y","name":"member_added","user_id":"7"}`)
	r.want(`{"channel":"presence-y","name":"channel_occupied"}`)
	other.want(`{"channel":"presence-y","name":"channel_occupied"}`)
	c.Send(`{"event":"client-e","channel":"presence-y","data":{"a":1}}`)
	r.want(fmt.Sprintf(`{"channel":"presence-y","data":"{\"a\":1}","event":"client-e","name":"client_event","socket_id":%q,"user_id":"7"}`, c.id))
	c.Close()
	r.want(`{"channel":"presence-y","name":"member_removed","user_id":"7"}`)
	r.want(`{"channel":"presence-y","name":"channel_vacated"}`)
}

// TestReturn has a member and a channel come back before anybody is told that they had gone.
func TestReturn(t *testing.T) {
	r := receive(t)
	g := start(t, func(a *pusher.App) {
		a.Feature.Leave = time.Minute
		a.Webhooks = []pusher.Webhook{{URL: r.URL, AllowInsecure: true}}
	})
	watcher, a := g.connect(t), g.connect(t)
	watcher.joined("presence-x", `{"user_id":"w"}`)
	a.joined("presence-x", `{"user_id":"a","user_info":1}`)
	watcher.want("pusher_internal:member_added", "presence-x")
	for _, want := range []string{`{"channel":"presence-x","name":"member_added","user_id":"w"}`, `{"channel":"presence-x","name":"channel_occupied"}`, `{"channel":"presence-x","name":"member_added","user_id":"a"}`} {
		r.want(want)
	}
	a.Drop() // breaks off
	relaytest.Until(t, "it has ended", func() bool {
		_, out := g.call("GET", "/apps/1/connections", "", "")
		return out == `{"connections":1}`
	})
	b := g.connect(t)
	if got := b.joined("presence-x", `{"user_id":"a","user_info":2}`); !strings.Contains(got, `"a":1`) {
		t.Error(got)
	}
	b.send("pusher:unsubscribe", map[string]string{"channel": "presence-x"})
	watcher.want("pusher_internal:member_removed", "presence-x") // neither removed nor added before
	b.joined("presence-x", `{"user_id":"a","user_info":3}`)
	watcher.data("pusher_internal:member_added", "presence-x", `{"user_id":"a","user_info":3}`)
	b.Send(`{"event":"client-e","channel":"presence-x","data":1}`)
	if e := r.next(); e["name"] != "client_event" {
		t.Error("webhooks are told of a user who has come back:", e)
	}
}
