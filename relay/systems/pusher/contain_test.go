package pusher_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"weir/internal/contain"
	"weir/relay/relaytest"
	"weir/relay/systems/pusher"
)

// TestPanics throws a panic at each timer, once: what it is for is done all the same, a moment later.
func TestPanics(t *testing.T) {
	var mu sync.Mutex
	left := []string{"pusher sign-in", "pusher member", "pusher channel", "pusher count", "pusher user"}
	contain.Throw(func(where string) {
		mu.Lock()
		defer mu.Unlock()
		if i := slices.Index(left, where); i >= 0 {
			left = slices.Delete(left, i, i+1)
			panic("thrown by the test at " + where)
		}
	})
	t.Cleanup(func() { contain.Throw(nil) })
	hooks := receive(t)
	g := start(t, func(a *pusher.App) {
		a.Feature = pusher.Feature{Leave: time.Millisecond, SignIn: 500 * time.Millisecond, Counts: true}
		a.Webhooks = []pusher.Webhook{{URL: hooks.URL, AllowInsecure: true, Events: []string{"channel_vacated"}}}
	})
	a, b, silent := g.connect(t), g.connect(t), g.connect(t)
	a.joined("presence-x", `{"user_id":1}`)
	b.joined("presence-x", `{"user_id":2}`)
	a.want("pusher_internal:member_added", "presence-x")
	a.signIn(`{"id":"ann","watchlist":["bob"]}`)
	a.want("pusher:signin_success", "")
	a.want("pusher_internal:watchlist_events", "")
	b.signIn(`{"id":"bob"}`)
	a.want("pusher_internal:watchlist_events", "")
	b.Drop()
	seen := map[any]bool{}
	for len(seen) < 2 {
		seen[a.Next()["event"]] = true
	}
	if !seen["pusher_internal:member_removed"] || !seen["pusher_internal:watchlist_events"] {
		t.Error(seen)
	}
	silent.want("pusher:error", "")
	if code := silent.Closed(); code != 4009 {
		t.Error(code)
	}
	crowd := make([]*client, 102)
	for i := range crowd {
		crowd[i] = g.connect(t)
		crowd[i].subscribe("private-crowd", "")
	}
	relaytest.Until(t, "the count of the crowd comes later", func() bool {
		return crowd[0].Next()["data"] == `{"subscription_count":102}`
	})
	a.Close()
	for {
		if e := hooks.next(); e["name"] == "channel_vacated" && e["channel"] == "presence-x" {
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(left) > 0 {
		t.Errorf("nobody has come to %q", left)
	}
}
