package relay

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/presence"
)

func TestPresence(t *testing.T) {
	g := open(t)
	watcher := g.client("watcher")
	watcher.subscribe("presence:held:1", "")
	named := func(name string) func(*auth.Claims) {
		return func(c *auth.Claims) { c.Name, c.Avatar = name, "/"+name+".png" }
	}
	before := time.Now().UnixMilli()
	one := g.client("u1", named("One"))
	one.subscribe("held:1", "")
	h := watcher.hear()
	prefix := `{"type":"channel_update","channel":"presence:held:1","seq":1,"op":"set","group":"users","key":"u1","data":` +
		`{"id":"u1","name":"One","avatar":"/One.png","status":"online","joinedAt":`
	if !strings.HasPrefix(h.raw, prefix) {
		t.Fatal(h.raw)
	}
	again, two := g.client("u1", named("One")), g.client("u|2")
	again.subscribe("held:1", "")
	two.subscribe("held:1", "")
	if h := watcher.hear(); h.Key != "u=7C2" || h.Seq != 2 { // the second connection of u1 is no news
		t.Fatal(h.raw)
	}
	h = two.ask(`{"type":"presence","id":"p","channel":"held:1"}`)
	if h.Count != 2 || len(h.Users) != 2 || string(h.ID) != `"p"` || h.Channel != "held:1" {
		t.Fatal(h.raw)
	}
	first, second := h.Users[0], h.Users[1]
	if first.JoinedAt < before || first.JoinedAt > time.Now().UnixMilli() {
		t.Errorf("joined at %d", first.JoinedAt)
	}
	first.JoinedAt, second.JoinedAt = 0, 0
	if first != (userHeard{"u1", "One", "/One.png", "online", 0, 2}) || second != (userHeard{"u|2", "", "", "online", 0, 1}) {
		t.Errorf("users %+v %+v", first, second)
	}
	two.say(`{"type":"presence","id":1,"channel":"held:1","count":true}`)
	two.exactly(`{"type":"presence","id":1,"channel":"held:1","count":2}`)
	two.say(`{"type":"presence","id":2,"channel":"empty"}`)
	two.exactly(`{"type":"presence","id":2,"channel":"empty","users":[],"count":0}`)
	if a := g.api(200, "GET", "/v1/channels/held:1/presence?count", ""); a.body != `{"channel":"held:1","count":2}` {
		t.Error(a.body)
	}
	if a := g.api(200, "GET", "/v1/channels/held:1/presence", ""); len(heardIn(t, []byte(a.body)).Users) != 2 {
		t.Error(a.body)
	}

	again.leave() // the user is still there
	if h := two.ask(`{"type":"presence","channel":"held:1"}`); h.Users[0].Connections != 1 {
		t.Error(h.raw)
	}
	one.leave()
	watcher.exactly(`{"type":"channel_update","channel":"presence:held:1","seq":3,"op":"delete","group":"users","key":"u1"}`)
	two.ask(`{"type":"unsubscribe","channel":"held:1"}`)
	watcher.exactly(`{"type":"channel_update","channel":"presence:held:1","seq":4,"op":"delete","group":"users","key":"u=7C2"}`)
	if h := two.ask(`{"type":"presence","channel":"held:1","count":true}`); h.Count != 0 {
		t.Error(h.raw)
	}
	g.api(404, "GET", "/v1/channels/held:1", "") // its own log holds none of this
	watcher.quiet()
}

// What is shown of a user is what their newest token says, on whichever connection it comes.
func TestPresenceShowsTheNewestToken(t *testing.T) {
	g := open(t)
	watcher := g.client("watcher")
	watcher.subscribe("presence:held:1", "")
	at := time.Now().Add(-time.Minute)
	says := func(name string, seconds int) func(*auth.Claims) {
		return func(c *auth.Claims) {
			c.Name, c.Avatar, c.IssuedAt = name, "/"+name+".png", at.Add(time.Duration(seconds)*time.Second)
		}
	}
	come := func(name string, seconds int) *client {
		t.Helper()
		c := g.client("u1", says(name, seconds))
		c.subscribe("held:1", "")
		return c
	}
	shows := func(name string) {
		t.Helper()
		if h := watcher.hear(); h.Op != "set" || !strings.Contains(h.raw, `"name":"`+name+`","avatar":"/`+name+`.png"`) {
			t.Fatal(h.raw)
		}
	}
	first := come("Old", 1)
	shows("Old")
	tab := come("New", 2)
	shows("New")
	late := come("Old", 1)  // a tab that comes back with what it was given long ago
	same := come("Same", 2) // issued in the same second, and shown later
	shows("Same")
	claims := auth.Claims{Sub: "u1"}
	says("Newest", 3)(&claims)
	first.ask(`{"type":"refresh","id":1,"token":%q}`, mintClaims(g, claims))
	shows("Newest")
	for _, c := range []*client{first, tab, same} {
		c.leave()
	}
	if h := watcher.ask(`{"type":"presence","channel":"held:1"}`); len(h.Users) != 1 || h.Users[0].Name != "Newest" {
		t.Fatal("the older token that is left is shown", h.raw)
	}
	says("Older", 2)(&claims)
	late.ask(`{"type":"refresh","id":1,"token":%q}`, mintClaims(g, claims))
	come("Reloaded", 4) // the first news again
	shows("Reloaded")
}

// However the relay ends a subscription or a connection, its user leaves: at once if it is not expected
// back.
func TestPresenceOfThoseWhoAreEnded(t *testing.T) {
	g := open(t)
	watcher := g.client("watcher")
	watcher.subscribe("presence:a", "")
	for name, end := range map[string]func(c *client){
		"disconnected": func(c *client) { g.api(200, "POST", "/v1/disconnect", `{"userId":"u1"}`) },
		"unsubscribed": func(c *client) { g.api(200, "POST", "/v1/unsubscribe", `{"channel":"a","userId":"u1"}`) },
		"done":         func(c *client) { c.leave() },
	} {
		c := g.client("u1")
		c.subscribe("a", "")
		if h := watcher.hear(); h.Op != "set" {
			t.Fatal(h.raw)
		}
		end(c)
		if h := watcher.hear(); h.Op != "delete" || h.Key != "u1" {
			t.Errorf("%s: %s", name, h.raw)
		}
	}
	for name, end := range map[string]func(c *client){ // these may come back
		"broken off": func(c *client) { _ = c.nc.Close() },
		"going away": func(c *client) { c.raw(clientFrame(fin|wire.OpClose, []byte{0x03, 0xe9})); _ = c.ended() },
		"too slow":   func(c *client) { c.session().Slow() },
		"expired":    func(c *client) { c.session().End(wire.CloseUnauthorized, "") },
	} {
		c := g.client("u2 " + name)
		c.subscribe("a", "")
		watcher.hear()
		end(c)
		_ = c.nc.Close()
		c.gone()
		h := watcher.ask(`{"type":"presence","channel":"a"}`)
		found := 0
		for _, u := range h.Users {
			if u.ID == "u2 "+name {
				found++
			}
			if u.ID == "u2 "+name && u.Connections != 0 {
				t.Errorf("%s: %+v", name, u)
			}
		}
		if found != 1 {
			t.Errorf("%s: %s", name, h.raw)
		}
		back := g.client("u2 " + name) // which is no news
		back.subscribe("a", "")
	}
	watcher.quiet()
}

// Who is in a channel is told to those who may follow it; not by every namespace, and never of guests.
func TestPresencePolicy(t *testing.T) {
	off := false
	g := open(t, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.Presence = &off
		c.Namespaces["nobody"] = ns
		ns.Presence, ns.Subscribe = nil, config.Public
		c.Namespaces["lobby"] = ns
		c.Auth.Anonymous = true
	})
	granted, ungranted := g.client("u1", may("closed:1", "subscribe", "presence")), g.client("u2", may("closed:1", "subscribe"))
	granted.subscribe("closed:1", "")
	ungranted.subscribe("closed:1", "")
	if h := granted.subscribe("presence:closed:1", ""); len(h.State["users"]) != 2 {
		t.Error(h.raw)
	}
	ungranted.refused("forbidden", `{"type":"subscribe","id":"x","channel":"presence:closed:1"}`)
	ungranted.refused("forbidden", `{"type":"presence","id":"x","channel":"closed:1"}`)
	granted.refused("forbidden", `{"type":"publish","id":"x","channel":"presence:closed:1","data":1}`)
	granted.refused("forbidden", `{"type":"subscribe","id":"x","channel":"presence:closed:2"}`)
	granted.refused("forbidden", `{"type":"subscribe","id":"x","channel":"presence:presence:closed:1"}`)
	granted.refused("forbidden", `{"type":"subscribe","id":"x","channel":"presence:"}`)

	granted.subscribe("nobody:1", "")
	if h := granted.ask(`{"type":"presence","channel":"nobody:1"}`); h.Count != 0 {
		t.Error(h.raw)
	}
	guest := &client{wsPeer: g.wsOn(g.dial(), "/ws"), rig: g}
	guest.subscribe("lobby:1", "")
	guest.refused("forbidden", `{"type":"subscribe","id":"x","channel":"a"}`)
	guest.refused("forbidden", `{"type":"subscribe","id":"x","channel":"user:"}`)
	if h := guest.ask(`{"type":"presence","channel":"lobby:1"}`); h.Count != 0 {
		t.Error(h.raw)
	}
	if h := granted.ask(`{"type":"presence","channel":"presence:closed:1"}`); h.Type != "error" && h.Count != 0 {
		t.Error(h.raw) // a presence channel has none of its own
	}
}

// A channel whose presence channel would have too long a name has users and tells nobody.
func TestPresenceOfALongName(t *testing.T) {
	g := open(t)
	long := strings.Repeat("c", 255)
	c := g.client("u1")
	c.subscribe(long, "")
	if h := c.ask(`{"type":"presence","channel":"%s"}`, long); h.Count != 1 {
		t.Error(h.raw)
	}
	if got := presence.Channel(long); got != "" {
		t.Error(got)
	}
	if list := g.channels("presence:", "", 0); len(list) != 0 {
		t.Error(fmt.Sprint(list))
	}
}

// However many there are, a late joiner gets the full set.
func TestPresenceOfACrowd(t *testing.T) {
	g := open(t)
	const crowd = 20000
	for i := range crowd {
		if err := (&host{relay: g.relay}).Enter("hall:1", "", &auth.Identity{User: fmt.Sprint("m", i), Name: "Somebody"}, presence.Attendance{}); err != nil {
			t.Fatal(i, err)
		}
	}
	reply, ok := g.relay.hub.Broker.Read("presence:hall:1", nil)
	if n := strings.Count(string(reply.State), `"joinedAt"`); !ok || n != crowd {
		t.Error("told", n)
	}
	if a := g.api(200, "GET", "/v1/channels/hall:1/presence?count", ""); a.body != `{"channel":"hall:1","count":20000}` {
		t.Error(a.body)
	}
	if h := g.client("u1").subscribe("presence:hall:1", ""); len(h.State["users"]) != crowd {
		t.Error(len(h.State["users"]))
	}
}
