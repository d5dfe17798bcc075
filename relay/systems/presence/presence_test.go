package presence_test

import (
	"fmt"
	"strings"
	"testing"

	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/presence"
)

func TestMain(m *testing.M) { relaytest.Main(m) }

type (
	message = relaytest.Message
	peer    = relaytest.Peer
)

// start is a relay in which "managed" has no presence of its own, and nobody may follow "closed".
func start(t testing.TB) *relaytest.Rig {
	t.Helper()
	return relaytest.Start(t, func(c *config.Config) {
		ns := c.Namespaces["default"]
		ns.Presence = new(bool)
		c.Namespaces["managed"] = ns
		ns.Subscribe = config.Backend
		c.Namespaces["closed"] = ns
		c.Limit.Subscriptions = 4
	}, presence.New())
}

func connect(g *relaytest.Rig, user string) *peer {
	g.Helper()
	p := g.WS(user, "/ws")
	p.Type("connected")
	return p
}

// emit emits a topic, and answers the answer.
func emit(p *peer, topic string, data any) message {
	p.Helper()
	p.Send(message{"type": "event", "id": topic, "topic": "presence." + topic, "data": data})
	return p.Until(func(m message) bool { return m["id"] == topic })
}

func ok(p *peer, topic string, data any) {
	p.Helper()
	if m := emit(p, topic, data); m["type"] != "ok" {
		p.Fatal(m)
	}
}

// watch follows who is in a channel, and answers who is there now.
func watch(g *relaytest.Rig, user, channel string) (*peer, message) {
	g.Helper()
	p := connect(g, user)
	p.Send(message{"type": "subscribe", "id": 1, "channel": "presence:" + channel})
	state, _ := p.Type("subscribed")["state"].(message)
	users, _ := state["users"].(message)
	return p, users
}

// news is the next change of who is there.
func news(p *peer) (op, user string, data message) {
	p.Helper()
	m := p.Type("channel_update")
	data, _ = m["data"].(message)
	return m["op"].(string), m["key"].(string), data
}

// users is who a backend hears is there.
func users(g *relaytest.Rig, channel string) map[string]message {
	g.Helper()
	_, out := g.Backend("GET", "/v1/channels/"+channel+"/presence", nil)
	list := make(map[string]message)
	for _, u := range out.(message)["users"].([]any) {
		list[u.(message)["id"].(string)] = u.(message)
	}
	return list
}

// Whoever has said that they are in a channel is shown there as their new token says.
func TestRefreshedName(t *testing.T) {
	g := start(t)
	p := connect(g, "ann")
	ok(p, "join", message{"channel": "managed:1"})
	watcher, _ := watch(g, "bob", "managed:1")
	p.Send(message{"type": "refresh", "id": 1, "token": g.Token("ann", func(c *auth.Claims) { c.Name, c.Avatar = "Anna", "/anna.png" })})
	p.Type("ok")
	if op, user, data := news(watcher); op != "set" || user != "ann" || data["name"] != "Anna" || data["avatar"] != "/anna.png" {
		t.Fatal(op, user, data)
	}
	// What a backend says of somebody without a name leaves the name.
	if status, body := g.Backend("POST", "/v1/events", message{"topic": "presence.join", "data": message{"channel": "managed:1", "userId": "ann", "status": "busy"}}); status != 202 {
		t.Fatal(status, body)
	}
	if _, _, data := news(watcher); data["name"] != "Anna" || data["status"] != "busy" {
		t.Fatal(data)
	}
}

// The row Presence.
func TestPresence(t *testing.T) {
	g := start(t)
	w, before := watch(g, "w", "managed:1")
	if len(before) != 0 {
		t.Error(before)
	}
	p, status := g.Dial(g.Token("u1", func(c *auth.Claims) { c.Name, c.Avatar = "One", "/1.png" }), "/ws")
	if p == nil {
		t.Fatal(status)
	}
	ok(p, "join", message{"channel": "managed:1"})
	op, user, d := news(w)
	if op != "set" || user != "u1" || d["id"] != "u1" || d["name"] != "One" || d["avatar"] != "/1.png" || d["status"] != "online" || d["joinedAt"] == nil {
		t.Error(op, user, d)
	}
	ok(p, "heartbeat", message{"channel": "managed:1"})
	u := users(g, "managed:1")["u1"]
	if u["lastSeen"].(float64) < u["joinedAt"].(float64) || u["connections"] != float64(1) {
		t.Error(u)
	}
	_, late := watch(g, "w2", "managed:1")
	if len(late) != 1 || late["u1"].(message)["name"] != "One" {
		t.Error("a late joiner gets", late)
	}
	ok(p, "leave", message{"channel": "managed:1"})
	if op, user, _ = news(w); op != "delete" || user != "u1" {
		t.Error(op, user)
	}
	if _, out := g.Backend("GET", "/v1/channels/managed:1/presence?count", nil); fmt.Sprint(out) != "map[channel:managed:1 count:0]" {
		t.Error(out)
	}
}

// Heartbeats are silent: neither those who watch nor backends hear of them, and n users cost n, not n squared.
func TestHeartbeatsAreSilent(t *testing.T) {
	g := start(t)
	w, _ := watch(g, "w", "managed:1")
	events, _ := g.Dial(g.Token("worker", relaytest.Grant("event:*", "subscribe")), "/ws")
	for _, topic := range []string{"join", "heartbeat", "leave"} {
		events.Send(message{"type": "subscribe", "id": topic, "channel": "event:presence." + topic})
		events.Type("subscribed")
	}
	p := connect(g, "u1")
	ok(p, "join", message{"channel": "managed:1", "status": "away"})
	for range 20 {
		ok(p, "heartbeat", message{"channel": "managed:1"})
		ok(p, "heartbeat", nil)
	}
	ok(p, "leave", message{"channel": "managed:1"})
	for _, want := range []string{"set", "delete"} {
		if op, _, _ := news(w); op != want {
			t.Error(op, want)
		}
	}
	got := map[string]bool{} // in any order: they are different channels
	for range 2 {
		m := events.Type("channel_update")
		got[fmt.Sprint(m["channel"])] = true
	}
	if !got["event:presence.join"] || !got["event:presence.leave"] {
		t.Error(got)
	}
}

// What changes about a user is told, and nothing else.
func TestStatusAndMetadata(t *testing.T) {
	g := start(t)
	w, _ := watch(g, "w", "managed:1")
	p := connect(g, "u1")
	for _, x := range []struct {
		topic string
		data  message
		want  string // "": nobody is told
	}{
		{"join", message{}, "online <nil>"},
		{"join", message{}, ""},
		{"join", message{"status": "online"}, ""},
		{"join", message{"status": "away", "metadata": message{"color": "red"}}, "away map[color:red]"},
		{"join", message{"status": "away"}, ""},
		{"heartbeat", message{}, ""},
		{"heartbeat", message{"status": "busy"}, "busy map[color:red]"},
		{"heartbeat", message{"metadata": message{"color": "red"}}, ""},
		{"join", message{"metadata": message{}}, "busy map[]"},
	} {
		x.data["channel"] = "managed:1"
		ok(p, x.topic, x.data)
		if x.want == "" {
			continue
		}
		if op, _, d := news(w); op != "set" || fmt.Sprint(d["status"], " ", d["metadata"]) != x.want {
			t.Error(x, op, d)
		}
	}
	p.Close()
	if _, out := g.Backend("GET", "/v1/channels/presence:managed:1/history", nil); len(out.(message)["changes"].([]any)) != 4 {
		t.Error(out)
	}
}

// One tab's leave does not remove the user, nor does the word of one who is not there.
func TestTabs(t *testing.T) {
	g := start(t)
	w, _ := watch(g, "w", "managed:1")
	a, b := connect(g, "u1"), connect(g, "u1")
	ok(a, "join", message{"channel": "managed:1"})
	ok(b, "join", message{"channel": "managed:1"})
	if u := users(g, "managed:1")["u1"]; u["connections"] != float64(2) {
		t.Error(u)
	}
	ok(connect(g, "u1"), "leave", message{"channel": "managed:1"})
	ok(connect(g, "u2"), "leave", message{"channel": "managed:1", "userId": "u1"})
	ok(a, "leave", message{"channel": "managed:1"})
	if u := users(g, "managed:1")["u1"]; u["connections"] != float64(1) {
		t.Error(u)
	}
	ok(b, "leave", message{"channel": "managed:1"})
	for _, want := range []string{"set", "delete"} {
		if op, user, _ := news(w); op != want || user != "u1" {
			t.Error(op, user)
		}
	}
}

// A connection that is subscribed where the relay keeps presence, and says so besides, is one connection.
func TestSubscribedAndJoined(t *testing.T) {
	g := start(t)
	p := connect(g, "u1")
	subscribe := func() {
		p.Send(message{"type": "subscribe", "id": 1, "channel": "kept:1"})
		p.Type("subscribed")
	}
	connections := func(want float64) {
		t.Helper()
		if u := users(g, "kept:1")["u1"]; u["connections"] != want {
			t.Error(u, want)
		}
	}
	subscribe()
	connections(1)
	ok(p, "join", message{"channel": "kept:1", "metadata": message{"k": 1}})
	connections(1)
	p.Send(message{"type": "unsubscribe", "id": 2, "channel": "kept:1"})
	p.Type("ok")
	connections(1)
	subscribe()
	connections(1)
	ok(p, "leave", message{"channel": "kept:1"})
	connections(1)
	if u := users(g, "kept:1")["u1"]; fmt.Sprint(u["metadata"]) != "map[k:1]" {
		t.Error(u)
	}
}

// The user is the session's, whatever the payload says.
func TestNobodyIsSpoofed(t *testing.T) {
	g := start(t)
	p := connect(g, "u1")
	ok(p, "join", message{"channel": "managed:1", "userId": "u9", "name": "Nine"})
	if list := users(g, "managed:1"); len(list) != 1 || list["u1"]["name"] != "U1" {
		t.Error(list)
	}
}

// Where a client may not follow, it is not; what makes no sense is refused, and the connection lives.
func TestRefusals(t *testing.T) {
	g := start(t)
	p := connect(g, "u1")
	for _, x := range []struct {
		topic string
		data  any
		code  string
	}{
		{"join", message{"channel": "closed:1"}, "forbidden"},
		{"heartbeat", message{"channel": "closed:1"}, "forbidden"},
		{"join", message{"channel": "user:u2"}, "forbidden"},
		{"join", message{"channel": "presence:presence:a"}, "forbidden"},
		{"join", message{}, "bad_channel"},
		{"join", nil, "bad_channel"},
		{"join", 7, "bad_request"},
		{"join", message{"channel": 7}, "bad_request"},
		{"join", message{"channel": "a b"}, "bad_channel"},
		{"join", message{"channel": strings.Repeat("c", 250)}, "bad_channel"},
		{"join", message{"channel": "a", "status": strings.Repeat("é", 33)}, "bad_request"},
		{"join", message{"channel": "a", "status": "a\nb"}, "bad_request"},
		{"join", message{"channel": "a", "metadata": []int{1}}, "bad_request"},
		{"join", message{"channel": "a", "metadata": message{"k": strings.Repeat("v", 4<<10)}}, "bad_request"},
		{"leave", message{}, "bad_request"},
		{"heartbeat", "x", "bad_request"},
	} {
		if m := emit(p, x.topic, x.data); m["type"] != "error" || m["code"] != x.code {
			t.Error(x, m)
		}
	}
	for i := range 4 {
		ok(p, "join", message{"channel": fmt.Sprint("managed:", i)})
	}
	if m := emit(p, "join", message{"channel": "managed:5"}); m["code"] != "too_many" {
		t.Error(m)
	}
	ok(p, "leave", message{"channel": "managed:1"})
	ok(p, "join", message{"channel": "managed:5"})
}

// A backend says it for users who have no connection of their own, and known or not makes no difference.
func TestBackend(t *testing.T) {
	g := start(t)
	say := func(want int, topic string, data message) {
		t.Helper()
		if status, out := g.Backend("POST", "/v1/events", message{"topic": "presence." + topic, "data": data}); status != want {
			t.Error(topic, data, status, out)
		}
	}
	say(202, "join", message{"channel": "managed:1", "userId": "auth0|7", "name": "Seven", "status": "on call"})
	say(202, "heartbeat", message{"channel": "managed:1", "userId": "u8"}) // who never joined is there from now on
	list := users(g, "managed:1")
	if len(list) != 2 || list["auth0|7"]["name"] != "Seven" || list["auth0|7"]["status"] != "on call" || list["u8"]["status"] != "online" {
		t.Error(list)
	}
	say(202, "leave", message{"channel": "managed:1", "userId": "auth0|7"})
	say(400, "join", message{"channel": "managed:1"})
	say(400, "heartbeat", message{"userId": "u8"})
	say(400, "join", message{"channel": "a b", "userId": "u8"})
	if list := users(g, "managed:1"); len(list) != 1 {
		t.Error(list)
	}
}

// A command that is posted is of no connection: it counts for its minute, and nothing of it is kept longer.
func TestPostedCommand(t *testing.T) {
	g := start(t)
	status, out := g.As("u1", "POST", "/command", message{"type": "event", "id": 1, "topic": "presence.join", "data": message{"channel": "managed:1", "userId": "u9"}})
	if status != 200 || users(g, "managed:1")["u1"] == nil {
		t.Error(status, out, users(g, "managed:1"))
	}
}
