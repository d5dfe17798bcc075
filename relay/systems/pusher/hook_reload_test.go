package pusher_test

import (
	"sync"
	"testing"
	"time"

	"weir/internal/contain"
	"weir/relay/relaytest"
	"weir/relay/systems/pusher"
)

// hookedApp is an app with webhooks that has nobody told of who has left for a minute.
func hookedApp(url string) pusher.App {
	return pusher.App{
		ID: "1", Keys: []pusher.Key{{Key: appKey, Secret: appSecret}}, Feature: pusher.Feature{Leave: time.Minute},
		Webhooks: []pusher.Webhook{{URL: url, AllowInsecure: true, Events: []string{"channel_occupied", "channel_vacated", "member_added", "member_removed"}}},
	}
}

// leaves has a member of presence-x come and go, and a subscriber of y.
func leaves(t *testing.T, g *rig, r *receiver) {
	t.Helper()
	a := g.connect(t)
	a.joined("presence-x", `{"user_id":"a"}`)
	r.want(`{"channel":"presence-x","name":"member_added","user_id":"a"}`)
	r.want(`{"channel":"presence-x","name":"channel_occupied"}`)
	a.joined("y", "")
	r.want(`{"channel":"y","name":"channel_occupied"}`)
	a.Close()
	connections(t, g, "0")
}

func connections(t *testing.T, g *rig, n string) {
	t.Helper()
	relaytest.Until(t, "there are "+n+" connections", func() bool {
		_, out := g.call("GET", "/apps/1/connections", "", "")
		return out == `{"connections":`+n+`}`
	})
}

// left takes what webhooks are told when they have left: in the order of each channel, once.
func left(t *testing.T, r *receiver) {
	t.Helper()
	var of []string
	for range 3 {
		e := r.next()
		if e["channel"] == "presence-x" {
			of = append(of, e["name"].(string))
		} else if e["channel"] != "y" || e["name"] != "channel_vacated" {
			t.Error(e)
		}
	}
	if len(of) != 2 || of[0] != "member_removed" || of[1] != "channel_vacated" {
		t.Error(of)
	}
}

// TestWebhooksOverReload reloads while webhooks are still to be told of who has left: that stays, and a return is no news. What is told
// when the app goes is told once.
func TestWebhooksOverReload(t *testing.T) {
	r := receive(t)
	one := hookedApp(r.URL)
	g := start(t, func(a *pusher.App) { *a = one })
	leaves(t, g, r)
	more := one
	more.Limit.Members = 7
	g.reload(more)
	b := g.connect(t)
	b.joined("presence-x", `{"user_id":"a"}`)
	b.joined("y", "")
	b.Close()
	connections(t, g, "0")
	g.reload(one)
	other := pusher.App{ID: "2", Namespace: "two", Keys: []pusher.Key{{Key: "second", Secret: appSecret}}}
	g.reload(other) // the app is gone
	left(t, r)      // and nobody was told of the return, nor is anything told twice
	g.reload(one)
	c := g.connect(t)
	c.joined("presence-x", `{"user_id":"a"}`)
	r.want(`{"channel":"presence-x","name":"member_added","user_id":"a"}`)
	r.want(`{"channel":"presence-x","name":"channel_occupied"}`)
	renamed := one
	renamed.Name = "renamed"
	g.reload(renamed) // which is another app: its clients come back to it
	c.want("pusher:error", "")
	if code := c.Closed(); code != 4200 {
		t.Error(code)
	}
	r.want(`{"channel":"presence-x","name":"member_removed","user_id":"a"}`)
	r.want(`{"channel":"presence-x","name":"channel_vacated"}`)
}

// TestWebhooksAfterRestart ends the relay while webhooks are still to be told of who has left: they are told before the end, whatever panics.
func TestWebhooksAfterRestart(t *testing.T) {
	var once sync.Once
	contain.Throw(func(where string) {
		if where == "end of a webhook" {
			once.Do(func() { panic("thrown by the test") })
		}
	})
	t.Cleanup(func() { contain.Throw(nil) })
	r := receive(t)
	g := start(t, func(a *pusher.App) { *a = hookedApp(r.URL) })
	leaves(t, g, r)
	g.Stop()
	left(t, r)
	select {
	case e := <-r.events:
		t.Error("told twice:", e)
	default:
	}
}

// TestWebhookMoves changes the address of a webhook while an event waits: it goes to the one for which it was meant, later ones to the new
// one.
func TestWebhookMoves(t *testing.T) {
	r, other := receive(t), receive(t)
	r.fail.Store(1)
	one := hookedApp(r.URL)
	g := start(t, func(a *pusher.App) { *a = one })
	a := g.connect(t)
	a.joined("x", "")
	relaytest.Until(t, "an attempt has failed", func() bool { return r.fail.Load() < 1 })
	moved := one
	moved.Webhooks = []pusher.Webhook{one.Webhooks[0]}
	moved.Webhooks[0].URL = other.URL
	g.reload(moved)
	a.joined("y", "")
	other.want(`{"channel":"y","name":"channel_occupied"}`)
	r.want(`{"channel":"x","name":"channel_occupied"}`)
}
