package motia_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/motia"
)

// rig is a relay whose streams everybody with a token may follow.
type rig struct {
	*relaytest.Rig
	system *motia.System
	joins  int
}

func start(t *testing.T, change func(*config.Config, *motia.Config)) *rig {
	t.Helper()
	g := &rig{system: motia.New()}
	g.Rig = relaytest.Start(t, func(c *config.Config) { prepare(c, change) }, g.system)
	return g
}

func prepare(c *config.Config, change func(*config.Config, *motia.Config)) {
	section := &motia.Config{}
	c.Namespaces[motia.Namespace] = config.Namespace{Subscribe: config.Authenticated, Publish: config.Backend}
	if change != nil {
		change(c, section)
	}
	c.Known = []config.System{motia.Module().System}
	c.Systems = []string{motia.Name}
	c.Sections = []config.Section{section}
}

// client is a client that keeps the rule on timestamps: those of an item grow.
type client struct {
	*relaytest.Peer
	rig  *rig
	last map[string]float64 // by item, and "" of what is for the group
}

// dial connects with a token as Motia's clients do.
func (g *rig) dial(token string) (*client, *http.Response) {
	g.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), relaytest.Patience)
	defer cancel()
	o := &websocket.DialOptions{}
	if token != "" {
		o.Subprotocols = []string{"Authorization", token}
	}
	conn, resp, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(g.URL, "http")+"/motia", o)
	if err != nil {
		g.Fatal(err)
	}
	return &client{g.Peer(conn), g, make(map[string]float64)}, resp
}

func (g *rig) connect(user string) *client {
	g.Helper()
	c, _ := g.dial(g.Token(user))
	return c
}

func (c *client) say(kind, stream, group, id, subscription string) {
	c.Helper()
	data := map[string]any{"streamName": stream, "groupId": group, "subscriptionId": subscription}
	if id != "" {
		data["id"] = id
	}
	c.Send(map[string]any{"type": kind, "data": data})
}

// join joins, with a subscription of its own.
func (c *client) join(stream, group, id string) {
	c.Helper()
	c.rig.joins++
	c.say("join", stream, group, id, fmt.Sprint("s", c.rig.joins))
}

// want reads a message and holds it against "stream group id event".
func (c *client) want(text string) {
	c.Helper()
	m := c.Next()
	got := fmt.Sprint(m["streamName"], " ", m["groupId"], " ", m["id"], " ", m["event"])
	if m["type"] != "stream" || got != text {
		c.Fatalf("%v %s\nwant %s", m["type"], got, text)
	}
	at := m["timestamp"].(float64)
	id, _ := m["id"].(string)
	if at <= c.last[id] {
		c.Errorf("timestamps of %q: %.3f after %.3f", id, at, c.last[id])
	}
	c.last[id] = at
}

func (g *rig) publish(channel, key, data string) {
	g.Helper()
	if status, out := g.Backend("POST", "/v1/publish", fmt.Sprintf(`{"channel":%q,"key":%q,"data":%s}`, channel, key, data)); status != http.StatusOK {
		g.Fatal(status, out)
	}
}

func (g *rig) post(body string) {
	g.Helper()
	if status, out := g.Backend("POST", "/v1/publish", body); status != http.StatusOK {
		g.Fatal(status, out)
	}
}

const room = "stream:chat:room:1"

// TestGroup follows a group: its items in the order of their creation, then each change as what it is.
func TestGroup(t *testing.T) {
	g := start(t, nil)
	g.publish(room, "b", `{"n":1}`)
	g.publish(room, "a", `{"n":2}`)
	g.publish(room, "b", `{"n":3}`)
	g.post(`{"channel":"` + room + `","group":"other","key":"b","data":"is of no stream"}`)
	c := g.connect("ann")
	c.join("chat", "room:1", "")
	c.want("chat room:1 <nil> map[data:[map[id:b n:3] map[id:a n:2]] type:sync]")
	g.publish(room, "c", `{"n":4,"id":"another"}`)
	c.want("chat room:1 c map[data:map[id:c n:4] type:create]")
	g.publish(room, "a", `{"n":5}`)
	c.want("chat room:1 a map[data:map[id:a n:5] type:update]")
	g.post(`{"channel":"` + room + `","group":"other","key":"b","data":"is not told"}`)
	g.post(`{"channel":"` + room + `","key":"a","op":"delete"}`)
	c.want("chat room:1 a map[data:map[id:a] type:delete]")
	g.publish(room, "a", `7`)
	c.want("chat room:1 a map[data:map[id:a value:7] type:create]")
	g.post(`{"channel":"` + room + `","op":"send","data":{"type":"typing","data":"ann"}}`)
	c.want("chat room:1 <nil> map[event:map[data:ann type:typing] type:event]")
	g.post(`{"channel":"` + room + `","op":"send","key":"a","data":"odd"}`)
	c.want("chat room:1 a map[event:map[data:odd type:message] type:event]")
}

// TestAppend follows a text that grows: each append is told as the whole of it, as what it is to those who had the item.
func TestAppend(t *testing.T) {
	g := start(t, nil)
	c, one := g.connect("ann"), g.connect("bob")
	c.join("chat", "room:1", "")
	c.want("chat room:1 <nil> map[data:[] type:sync]")
	one.join("chat", "room:1", "t")
	one.want("chat room:1 t map[data:<nil> type:sync]")
	for i, event := range []string{"map[data:map[id:t value:a] type:create]", "map[data:map[id:t value:ab] type:update]", "map[data:map[id:t value:abc] type:update]"} {
		g.post(fmt.Sprintf(`{"channel":%q,"key":"t","op":"append","data":%q}`, room, "abc"[i:i+1]))
		c.want("chat room:1 t " + event)
		one.want("chat room:1 t " + event)
	}
	late := g.connect("eve")
	late.join("chat", "room:1", "")
	late.want("chat room:1 <nil> map[data:[map[id:t value:abc]] type:sync]")
}

// TestConflated has a window in which items are set several times: what comes out is told as what it is to those who had the item.
func TestConflated(t *testing.T) {
	g := start(t, func(c *config.Config, _ *motia.Config) {
		ns := c.Namespaces[motia.Namespace]
		ns.Batch.Window, ns.Batch.Conflate = new(time.Second), new(true)
		c.Namespaces[motia.Namespace] = ns
	})
	g.publish(room, "old", `{"n":0}`)
	c := g.connect("ann")
	c.join("chat", "room:1", "")
	c.want("chat room:1 <nil> map[data:[map[id:old n:0]] type:sync]")
	g.publish(room, "first", `{}`) // leaves alone, and begins a window
	c.want("chat room:1 first map[data:map[id:first] type:create]")
	lines := ""
	for n := range 3 {
		for _, key := range []string{"old", "new"} {
			lines += fmt.Sprintf("{\"channel\":%q,\"key\":%q,\"data\":{\"n\":%d}}\n", room, key, n+1)
		}
	}
	if status, _, out := g.Do("POST", "/v1/publish", lines, "Authorization: Bearer the-key-of-the-backend-in-the-tests", "Content-Type: application/x-ndjson"); status != http.StatusOK {
		t.Fatal(status, out)
	}
	c.want("chat room:1 old map[data:map[id:old n:3] type:update]")
	c.want("chat room:1 new map[data:map[id:new n:3] type:create]")
}

// TestItem follows items, then their group: each change comes once to a connection.
func TestItem(t *testing.T) {
	g := start(t, nil)
	g.publish(room, "a", `{"n":1}`)
	c := g.connect("ann")
	c.join("chat", "room:1", "a")
	c.want("chat room:1 a map[data:map[id:a n:1] type:sync]")
	g.publish(room, "b", `{"n":2}`) // is of no concern
	g.post(`{"channel":"` + room + `","op":"send","data":{"type":"to the group"}}`)
	g.publish(room, "a", `{"n":3}`)
	c.want("chat room:1 a map[data:map[id:a n:3] type:update]")
	c.join("chat", "room:1", "none")
	syncs := map[string]bool{}
	for range 2 { // what one follows now is told anew
		m := c.Next()
		syncs[fmt.Sprint(m["id"], m["event"])] = true
	}
	if !syncs["amap[data:map[id:a n:3] type:sync]"] || !syncs["nonemap[data:<nil> type:sync]"] {
		t.Error(syncs)
	}
	g.publish(room, "none", `{"n":4}`)
	c.want("chat room:1 none map[data:map[id:none n:4] type:create]")
	c.join("chat", "room:1", "")
	c.want("chat room:1 <nil> map[data:[map[id:a n:3] map[id:b n:2] map[id:none n:4]] type:sync]")
	g.publish(room, "a", `{"n":5}`)
	c.want("chat room:1 a map[data:map[id:a n:5] type:update]")
	g.publish(room, "b", `{"n":6}`)
	c.want("chat room:1 b map[data:map[id:b n:6] type:update]")
	g.post(`{"channel":"` + room + `","key":"a","op":"delete"}`)
	c.want("chat room:1 a map[data:map[id:a] type:delete]")
}

// TestLeave ends subscriptions one by one: the last one of a group ends what is followed.
func TestLeave(t *testing.T) {
	g := start(t, nil)
	c := g.connect("ann")
	c.say("join", "chat", "room:1", "a", "one")
	c.want("chat room:1 a map[data:<nil> type:sync]")
	c.say("join", "chat", "room:1", "a", "one") // once more
	c.want("chat room:1 a map[data:<nil> type:sync]")
	c.say("join", "chat", "room:1", "a", "two")
	c.want("chat room:1 a map[data:<nil> type:sync]")
	c.say("leave", "chat", "room:1", "a", "one")
	c.say("leave", "chat", "room:1", "a", "never joined")
	c.say("leave", "chat", "room:2", "a", "never joined")
	c.join("chat", "mark", "")
	c.want("chat mark <nil> map[data:[] type:sync]")
	g.publish(room, "a", `{"n":1}`)
	c.want("chat room:1 a map[data:map[id:a n:1] type:create]")
	c.say("leave", "chat", "room:1", "a", "two")
	c.join("chat", "mark2", "")
	c.want("chat mark2 <nil> map[data:[] type:sync]")
	g.publish(room, "a", `{"n":2}`)
	g.publish("stream:chat:mark", "m", `{}`)
	c.want("chat mark m map[data:map[id:m] type:create]")
	if got := g.metric("weir_motia_subscriptions"); got != "2" {
		t.Error("subscriptions:", got)
	}
}

// metric is a metric of the admin listener.
func (g *rig) metric(name string) string {
	g.Helper()
	resp, err := http.Get(g.Admin + "/metrics") //nolint:noctx // of a test
	if err != nil {
		g.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return value
		}
	}
	return ""
}

// TestLost finds that those who follow a group and those who follow items of it are told what there is after a log was lost.
func TestLost(t *testing.T) {
	g := start(t, nil)
	g.publish(room, "a", `{"n":1}`)
	group, item := g.connect("ann"), g.connect("bob")
	group.join("chat", "room:1", "")
	group.want("chat room:1 <nil> map[data:[map[id:a n:1]] type:sync]")
	item.join("chat", "room:1", "a")
	item.want("chat room:1 a map[data:map[id:a n:1] type:sync]")
	if status, out := g.Backend("DELETE", "/v1/channels/"+room, nil); status != http.StatusOK {
		t.Fatal(status, out)
	}
	group.want("chat room:1 <nil> map[data:[] type:sync]")
	item.Until(func(m relaytest.Message) bool {
		return m["id"] == "a" && fmt.Sprint(m["event"]) == "map[data:<nil> type:sync]"
	})
	g.publish(room, "a", `{"n":2}`)
	group.want("chat room:1 a map[data:map[id:a n:2] type:create]")
	item.Until(func(m relaytest.Message) bool { return fmt.Sprint(m["event"]) == "map[data:map[id:a n:2] type:create]" })
}

// TestTimestampsGrow has a relay start again, with a wall clock that is behind what was told before: those of an item grow all the same.
func TestTimestampsGrow(t *testing.T) {
	dir := t.TempDir()
	durable := func(c *config.Config, _ *motia.Config) {
		c.Data = dir
		ns := c.Namespaces[motia.Namespace]
		ns.Durable = true
		c.Namespaces[motia.Namespace] = ns
	}
	last := make(map[string]float64)
	for n := range 3 {
		g := start(t, durable)
		c := g.connect("ann")
		c.last = last
		c.join("chat", "room:1", "a")
		if n == 0 {
			c.want("chat room:1 a map[data:<nil> type:sync]")
		} else {
			c.want(fmt.Sprintf("chat room:1 a map[data:map[id:a n:%d] type:sync]", n-1))
		}
		g.publish(room, "a", fmt.Sprintf(`{"n":%d}`, n))
		c.want(fmt.Sprintf("chat room:1 a map[data:map[id:a n:%d] type:%s]", n, map[bool]string{true: "create", false: "update"}[n == 0]))
		if n == 1 { // as if the wall clock had been an hour ahead until now
			ahead := time.Now().Add(time.Hour)
			g.Stop()
			g = start(t, durable)
			g.post(fmt.Sprintf(`{"channel":"motia:clock","key":"last","data":%d}`, ahead.UnixMicro()))
			last["a"] = float64(ahead.UnixMicro()) / 1000
		}
		g.Stop()
	}
}

// TestRefused finds each refusal, and that nothing else is ever sent.
func TestRefused(t *testing.T) {
	g := start(t, func(c *config.Config, m *motia.Config) {
		m.Most = 2
		c.Namespaces[motia.Namespace] = config.Namespace{Subscribe: config.Capability, Publish: config.Backend}
	})
	denied := func(code, text string) string {
		return "map[event:map[data:map[code:" + code + " message:" + text + "] type:error] type:event]"
	}
	if c, resp := g.dial(""); resp.Header.Get("Sec-WebSocket-Protocol") != "" || c.Closed() != 4001 {
		t.Error("a client without a token:", resp.Header)
	}
	if c, resp := g.dial("nonsense"); resp.Header.Get("Sec-WebSocket-Protocol") != "Authorization" || c.Closed() != 4001 {
		t.Error("a client with a bad token:", resp.Header)
	}
	c, resp := g.dial(g.Token("ann", func(c *auth.Claims) {
		c.Channels = map[string][]string{"stream:mine:*": {"subscribe"}}
	}))
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != "Authorization" {
		t.Errorf("subprotocol %q", got)
	}
	for _, nonsense := range []string{"", "nonsense", "[]", `{"type":"sing","id":"x"}`, `{"type":"join"}`, `{"type":"join","data":7}`, `{"type":"join","data":{"streamName":7}}`} {
		c.Send(nonsense)
	}
	c.join("others", "g", "a")
	c.want("others g a " + denied("STREAM_ACCESS_DENIED", "Access denied"))
	c.join("others", "g", "")
	c.want("others g <nil> " + denied("STREAM_ACCESS_DENIED", "Access denied"))
	c.join("mine", strings.Repeat("x", 300), "a")
	if m := c.Next(); !strings.Contains(fmt.Sprint(m["event"]), "STREAM_BAD_NAME") {
		t.Error(m)
	}
	c.join("mine", "g", "")
	c.want("mine g <nil> map[data:[] type:sync]")
	c.join("mine", "g", "a")
	c.want("mine g a map[data:<nil> type:sync]")
	c.join("mine", "h", "")
	c.want("mine h <nil> " + denied("STREAM_LIMIT", "limit reached: motia.subscriptions"))
	if status, out := g.Backend("POST", "/v1/unsubscribe", `{"userId":"ann","channel":"stream:mine:g"}`); status != http.StatusOK {
		t.Fatal(status, out)
	}
	told := map[any]bool{}
	for range 2 {
		m := c.Next()
		told[m["id"]] = strings.Contains(fmt.Sprint(m["event"]), "STREAM_ACCESS_DENIED")
	}
	if !told[nil] || !told["a"] {
		t.Error("access that was taken away:", told)
	}
	g.publish("stream:mine:g", "a", `{}`)
	c.join("mine", "h", "")
	c.want("mine h <nil> map[data:[] type:sync]")
	for reason, want := range map[string]string{"token": "2", "access": "4", "name": "1", "limit": "1", "form": "6"} {
		if got := g.metric(fmt.Sprintf("weir_motia_refused_total{reason=%q}", reason)); got != want {
			t.Errorf("%s: %s, want %s", reason, got, want)
		}
	}
}

// TestEncodesOnce has many clients follow a group, of which a change is encoded once.
func TestEncodesOnce(t *testing.T) {
	g := start(t, nil)
	clients := make([]*client, 50)
	for i := range clients {
		clients[i] = g.connect("ann")
		clients[i].join("chat", "room:1", "")
		clients[i].want("chat room:1 <nil> map[data:[] type:sync]")
	}
	g.publish(room, "a", `{}`)
	for _, c := range clients {
		c.want("chat room:1 a map[data:map[id:a] type:create]")
	}
	if got := g.metric("weir_motia_encodes_total"); got != "1" {
		t.Error(got)
	}
}

// TestAnonymous lets clients in without a token where the configuration says so.
func TestAnonymous(t *testing.T) {
	g := start(t, func(c *config.Config, m *motia.Config) {
		m.Anonymous = new(true)
		c.Namespaces[motia.Namespace] = config.Namespace{Subscribe: config.Public, Publish: config.Backend}
	})
	c, _ := g.dial("")
	c.join("chat", "room:1", "")
	c.want("chat room:1 <nil> map[data:[] type:sync]")
	if c, _ := g.dial("nonsense"); c.Closed() != 4001 {
		t.Error("a bad token is let in")
	}
}

// TestRoot serves stream clients at /, beside the page.
func TestRoot(t *testing.T) {
	g := start(t, func(c *config.Config, m *motia.Config) {
		c.Page = true
		m.Path = "/"
	})
	ctx, cancel := context.WithTimeout(context.Background(), relaytest.Patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(g.URL, "http")+"/", &websocket.DialOptions{Subprotocols: []string{"Authorization", g.Token("ann")}})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{g.Peer(conn), g, make(map[string]float64)}
	c.join("chat", "room:1", "")
	c.want("chat room:1 <nil> map[data:[] type:sync]")
	if status, _, page := g.Do("GET", "/", nil); status != http.StatusOK || !strings.Contains(fmt.Sprint(page), "<html") {
		t.Error(status, page)
	}
}

// TestChecks finds what is wrong with settings.
func TestChecks(t *testing.T) {
	for path, want := range map[string]string{"/motia": "", "/": "", "/a/b": "", "motia": "not a path", "/motia/": "not a path", "/{x}": "not a path", "/ws": "weir's own", "/v1/x": "weir's own"} {
		c := config.Config{Known: []config.System{motia.Module().System}, Systems: []string{motia.Name}, Sections: []config.Section{&motia.Config{Path: path}},
			Auth: config.Auth{Keys: []config.TokenKey{{Algorithm: "HS256", Secret: strings.Repeat("s", 32)}}}, API: config.API{Keys: []config.APIKey{{Name: "a", Secret: strings.Repeat("k", 32)}}}}
		if err := c.Complete(); err != nil {
			t.Fatal(err)
		}
		found := ""
		for _, p := range config.Check(c).Problems {
			if p.Key == "motia.path" {
				found = p.Message
			}
		}
		if (want == "") != (found == "") || !strings.Contains(found, want) {
			t.Errorf("%s: %q, want %q", path, found, want)
		}
	}
}
