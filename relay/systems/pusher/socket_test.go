package pusher_test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/internal/units"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/pusher"
)

// rig is a relay with an app.
type rig struct {
	*relaytest.Rig
	system *pusher.System
	cfg    config.Config
}

const (
	appKey    = "key1"
	appSecret = "a secret of the tests"
)

func start(t testing.TB, prepare func(*pusher.App), more ...func(*config.Config)) *rig {
	t.Helper()
	s := pusher.New()
	g := &rig{system: s}
	g.Rig = relaytest.Start(t, func(c *config.Config) {
		a := pusher.App{ID: "1", Keys: []pusher.Key{{Key: appKey, Secret: appSecret}}}
		if prepare != nil {
			prepare(&a)
		}
		c.Known = []config.System{pusher.Module().System}
		c.Systems = []string{pusher.Name}
		c.Sections = []config.Section{&pusher.Config{Apps: []pusher.App{a}}}
		c.Clock = nil
		for _, f := range more {
			f(c)
		}
		g.cfg = c.Clone()
	}, s)
	return g
}

func sign(parts ...string) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(strings.Join(parts, ":")))
	return appKey + ":" + hex.EncodeToString(mac.Sum(nil))
}

// client is a client of the protocol.
type client struct {
	*relaytest.Peer
	t  *testing.T
	id string
}

func (g *rig) connect(t *testing.T) *client {
	t.Helper()
	p, status := g.Dial("", "/app/"+appKey+"?protocol=7&client=js&version=8.6.0&flash=false")
	if p == nil {
		t.Fatal(status)
	}
	c := &client{Peer: p, t: t}
	m := c.want("pusher:connection_established", "")
	var data struct {
		Socket  string `json:"socket_id"`
		Timeout int    `json:"activity_timeout"`
	}
	if err := json.Unmarshal([]byte(m["data"].(string)), &data); err != nil || data.Timeout < 1 {
		t.Fatal(m)
	}
	c.id = data.Socket
	return c
}

// want is the next message, which must be that event.
func (c *client) want(event, channel string) relaytest.Message {
	c.t.Helper()
	m := c.Next()
	if m["event"] != event || channel != "" && m["channel"] != channel {
		c.t.Fatalf("%v, want %s of %s", m, event, channel)
	}
	return m
}

// data is want for a message with this data.
func (c *client) data(event, channel, data string) {
	c.t.Helper()
	if m := c.want(event, channel); m["data"] != data {
		c.t.Fatalf("%v, want %s", m["data"], data)
	}
}

func (c *client) send(event string, data any) { c.Send(map[string]any{"event": event, "data": data}) }

// subscribe subscribes, with a signature where one is needed.
func (c *client) subscribe(channel, channelData string) {
	c.t.Helper()
	data := map[string]any{"channel": channel}
	if channelData != "" {
		data["channel_data"] = channelData
		data["auth"] = sign(c.id, channel, channelData)
	} else {
		data["auth"] = sign(c.id, channel)
	}
	c.send("pusher:subscribe", data)
}

// joined is subscribe and the answer's data.
func (c *client) joined(channel, channelData string) string {
	c.t.Helper()
	c.subscribe(channel, channelData)
	return c.want("pusher_internal:subscription_succeeded", channel)["data"].(string)
}

// signedTarget is the address of a signed request.
func signedTarget(method, path, query, body string) string {
	return signedWith(appKey, method, path, query, body)
}

// signedWith is signedTarget with another key, which has the same secret.
func signedWith(key, method, path, query, body string) string {
	params := []string{"auth_key=" + key, "auth_timestamp=" + fmt.Sprint(time.Now().Unix()), "auth_version=1.0"}
	if body != "" {
		sum := md5.Sum([]byte(body))
		params = append(params, "body_md5="+hex.EncodeToString(sum[:]))
	}
	if query != "" {
		params = append(params, strings.Split(query, "&")...)
	}
	slices.Sort(params)
	signature := strings.TrimPrefix(sign(method+"\n"+path+"\n"+strings.Join(params, "&")), appKey+":")
	return path + "?" + strings.Join(params, "&") + "&auth_signature=" + signature
}

// call makes a signed request.
func (g *rig) call(method, path, query, body string) (int, string) {
	g.Helper()
	var in any
	if body != "" {
		in = body
	}
	status, _, out := g.Do(method, signedTarget(method, path, query, body), in)
	raw, _ := json.Marshal(out)
	return status, string(raw)
}

// trigger sends an event.
func (g *rig) trigger(channel, event, data string, more ...string) {
	g.Helper()
	body := fmt.Sprintf(`{"name":%q,"channels":[%q],"data":%q%s}`, event, channel, data, strings.Join(more, ""))
	if status, out := g.call("POST", "/apps/1/events", "", body); status != 200 || out != "{}" {
		g.Fatal(status, out)
	}
}

// Items of the native protocol are of no concern here, texts that grow no more than others.
func TestNativeAppend(t *testing.T) {
	g := start(t, nil)
	c := g.connect(t)
	c.joined("news", "")
	for range 2 {
		if status, out := g.Backend("POST", "/v1/publish", map[string]any{"channel": "pusher:news", "op": "append", "key": "t", "data": "a"}); status != 200 {
			t.Fatal(out)
		}
	}
	g.trigger("news", "e", `{"x":1}`)
	c.data("e", "news", `{"x":1}`)
}

func TestPublicChannels(t *testing.T) {
	g := start(t, nil)
	a, b := g.connect(t), g.connect(t)
	for _, c := range []*client{a, b} {
		if got := c.joined("news,a;b", ""); got != "{}" {
			t.Fatal(got)
		}
	}
	a.Send(`{"event":"pusher:subscribe","data":"{\"channel\":\"text\",\"channel_data\":null}"}`)
	a.want("pusher_internal:subscription_succeeded", "text")
	g.trigger("news,a;b", "e", `{"x":1}`)
	for _, c := range []*client{a, b} {
		c.data("e", "news,a;b", `{"x":1}`)
	}
	g.trigger("news,a;b", "e", `2`, `,"socket_id":"`+a.id+`"`)
	b.data("e", "news,a;b", `2`)
	g.trigger("news,a;b", "e", `3`, `,"socket_id":"1.1"`)
	a.data("e", "news,a;b", `3`)
	a.joined("news,a;b", "") // again
	if status, out := g.Backend("POST", "/v1/publish", map[string]any{"channel": "pusher:news~2Ca~3Bb", "data": map[string]any{"event": "n", "data": map[string]int{"y": 1}}}); status != 200 {
		t.Fatal(out)
	}
	b.data("e", "news,a;b", `3`)
	for _, c := range []*client{a, b} {
		c.data("n", "news,a;b", `{"y":1}`)
	}
	a.send("pusher:unsubscribe", map[string]string{"channel": "news,a;b"})
	a.send("pusher:unsubscribe", map[string]string{"channel": "never"})
	a.send("pusher:ping", map[string]any{})
	a.data("pusher:pong", "", "{}")
	g.trigger("news,a;b", "e", `4`)
	b.data("e", "news,a;b", `4`)
	a.joined("news,a;b", "")
	for _, bad := range []string{`[]`, `{"event":"x"}`, `{"event":"pusher:subscribe"}`, `{"event":"pusher:subscribe","data":{}}`, `{"event":5}`, `nonsense`, `{"event":"pusher:unsubscribe","data":{}}`, `{"event":"pusher:signin","data":{}}`} {
		a.Send(bad)
		if m := a.want("pusher:error", ""); m["data"].(map[string]any)["code"] != 4200.0 {
			t.Error(bad, m)
		}
	}
	for _, bad := range []string{"a b", "a:b", "#server-to-user-1"} {
		a.subscribe(bad, "")
		a.want("pusher:error", bad)
		a.want("pusher:subscription_error", bad)
	}
	a.subscribe(strings.Repeat("x", 201), "")
	if m := a.want("pusher:subscription_error", ""); m["data"].(map[string]any)["type"] != "LimitReached" {
		t.Error(m)
	}
}

func TestPrivateChannelsAndClientEvents(t *testing.T) {
	g := start(t, func(a *pusher.App) { a.Limit.ClientEvents = units.Rate{Count: 4, Per: time.Hour} })
	a, b := g.connect(t), g.connect(t)
	for _, auth := range []any{nil, "", "key1:" + strings.Repeat("0", 64), "other:" + sign(a.id, "private-x")[5:], sign(b.id, "private-x"), sign(a.id, "private-y"), 7} {
		a.send("pusher:subscribe", map[string]any{"channel": "private-x", "auth": auth})
		if m := a.want("pusher:error", "private-x"); m["data"].(map[string]any)["code"] != 4009.0 {
			t.Error(m)
		}
		m := a.want("pusher:subscription_error", "private-x")["data"].(map[string]any)
		if m["type"] != "AuthError" || m["status"] != 401.0 {
			t.Error(m)
		}
	}
	a.joined("private-x", `{"any":"data, signed"}`)
	b.joined("private-x", "")
	a.Send(`{"event":"client-e","channel":"private-x","data":{"a": 1},"user_id":"forged","more":1}`)
	m := b.want("client-e", "private-x")
	if raw, _ := json.Marshal(m); string(raw) != `{"channel":"private-x","data":{"a":1},"event":"client-e"}` {
		t.Error(string(raw))
	}
	a.Send(`{"event":"client-e","channel":"private-x","data":"a string"}`)
	b.data("client-e", "private-x", "a string")
	a.joined("public", "")
	a.joined("private-encrypted-x", "")
	for _, bad := range []string{
		`{"event":"client-e","channel":"public","data":1}`, `{"event":"client-e","channel":"private-other","data":1}`, `{"event":"client-e","data":1}`,
		`{"event":"client-e","channel":"private-encrypted-x","data":1}`,
		`{"event":"client-` + strings.Repeat("x", 200) + `","channel":"private-x","data":1}`,
		`{"event":"client-e","channel":"private-x","data":"` + strings.Repeat("x", 11<<10) + `"}`,
	} {
		a.Send(bad)
		if m := a.want("pusher:error", ""); m["data"].(map[string]any)["code"] != 4301.0 {
			t.Error(bad, m)
		}
	}
	for range 2 {
		a.Send(`{"event":"client-e","channel":"private-x"}`)
		if m := b.want("client-e", "private-x"); m["data"] != nil {
			t.Error(m)
		}
	}
	a.Send(`{"event":"client-e","channel":"private-x"}`) // the fifth
	if m := a.want("pusher:error", "private-x"); m["data"].(map[string]any)["code"] != 4301.0 {
		t.Error(m)
	}
}

func TestPresence(t *testing.T) {
	g := start(t, func(a *pusher.App) { a.Limit.Members = 3; a.Feature.Leave = time.Millisecond })
	a, b, tab := g.connect(t), g.connect(t), g.connect(t)
	if got := a.joined("presence-x", `{"user_id":7,"user_info":{"name":"Ann"}}`); got != `{"presence":{"ids":[7],"hash":{"7":{"name":"Ann"}},"count":1}}` {
		t.Fatal(got)
	}
	if got := b.joined("presence-x", `{"user_id":"b é","user_info":true}`); got != `{"presence":{"ids":[7,"b é"],"hash":{"7":{"name":"Ann"},"b é":true},"count":2}}` {
		t.Fatal(got)
	}
	a.data("pusher_internal:member_added", "presence-x", `{"user_id":"b é","user_info":true}`)
	if got := tab.joined("presence-x", `{"user_id":"7","user_info":"other"}`); !strings.Contains(got, `"ids":[7,"b é"]`) {
		t.Fatal(got) // the first tab's stands
	}
	tab.Send(`{"event":"client-e","channel":"presence-x","data":1,"user_id":"forged"}`)
	if m := a.want("client-e", "presence-x"); m["user_id"] != "7" {
		t.Error(m)
	}
	if m := b.want("client-e", "presence-x"); m["user_id"] != "7" {
		t.Error(m)
	}
	tab.Close()
	long := strings.Repeat("長", 128)
	c := g.connect(t)
	c.joined("presence-x", `{"user_id":"`+long+`"}`)
	for _, x := range []*client{a, b} {
		x.data("pusher_internal:member_added", "presence-x", `{"user_id":"`+long+`","user_info":{}}`)
	}
	if status, out := g.call("GET", "/apps/1/channels/presence-x/users", "", ""); status != 200 || out != `{"users":[{"id":7},{"id":"b é"},{"id":"`+long+`"}]}` {
		t.Error(status, out)
	}
	full := g.connect(t)
	full.subscribe("presence-x", `{"user_id":"one too many"}`)
	if m := full.want("pusher:subscription_error", "presence-x"); m["data"].(map[string]any)["status"] != 4100.0 {
		t.Error(m)
	}
	for data, status := range map[string]float64{
		`{"user_id":"x","user_info":"` + strings.Repeat("x", 2000) + `"}`: 4301, `{"user_id":"` + strings.Repeat("x", 129) + `"}`: 4301,
	} {
		full.subscribe("presence-x", data)
		if m := full.want("pusher:subscription_error", "presence-x"); m["data"].(map[string]any)["status"] != status {
			t.Error(m)
		}
	}
	for _, bad := range []string{"", `{"user_id":""}`, `{"user_id":null}`, `{}`, `[]`, `x`} {
		full.subscribe("presence-x", bad)
		full.want("pusher:error", "presence-x")
		full.want("pusher:subscription_error", "presence-x")
	}
	c.send("pusher:unsubscribe", map[string]string{"channel": "presence-x"})
	for _, x := range []*client{a, b} {
		x.data("pusher_internal:member_removed", "presence-x", `{"user_id":"`+long+`"}`)
	}
	b.Drop()
	a.data("pusher_internal:member_removed", "presence-x", `{"user_id":"b é"}`)
	if status, out := g.Backend("GET", "/v1/channels/pusher:presence-x", nil); status != 200 || fmt.Sprint(out.(map[string]any)["state"]) != "map[members:map[7:map[user_id:7 user_info:map[name:Ann]]]]" {
		t.Error(out)
	}
}

func TestSignIn(t *testing.T) {
	g := start(t, func(a *pusher.App) { a.Feature.Leave = time.Millisecond })
	a, b := g.connect(t), g.connect(t)
	in := func(c *client, data string) {
		c.send("pusher:signin", map[string]string{"auth": appKey + ":" + strings.TrimPrefix(sign(c.id, "", "user", "", data), appKey+":"), "user_data": data})
	}
	watch := `{"id":"ann","user_info":{"n":1},"watchlist":["bob","cem"]}`
	in(a, watch)
	var data struct {
		Data string `json:"user_data"`
	}
	if err := json.Unmarshal([]byte(a.want("pusher:signin_success", "")["data"].(string)), &data); err != nil || data.Data != watch {
		t.Fatal(data)
	}
	a.data("pusher_internal:watchlist_events", "", `{"events":[{"name":"offline","user_ids":["bob","cem"]}]}`)
	in(b, `{"id":"bob"}`)
	b.want("pusher:signin_success", "")
	a.data("pusher_internal:watchlist_events", "", `{"events":[{"name":"online","user_ids":["bob"]}]}`)
	a.send("pusher:subscribe", map[string]string{"channel": "#server-to-user-bob"})
	a.want("pusher:error", "")
	a.want("pusher:subscription_error", "#server-to-user-bob")
	b.send("pusher:subscribe", map[string]string{"channel": "#server-to-user-bob"})
	b.want("pusher_internal:subscription_succeeded", "#server-to-user-bob")
	g.trigger("#server-to-user-bob", "e", "1")
	b.data("e", "#server-to-user-bob", "1")
	if got := a.joinedSignedIn("presence-in"); got != `{"presence":{"ids":["ann"],"hash":{"ann":{"n":1}},"count":1}}` {
		t.Error(got)
	}
	in(b, `{"id":"other"}`)
	b.want("pusher:error", "")
	if status, out := g.call("POST", "/apps/1/users/bob/terminate_connections", "", "{}"); status != 200 || out != "{}" {
		t.Fatal(status, out)
	}
	b.want("pusher:error", "")
	if code := b.Closed(); code != 4009 {
		t.Error(code)
	}
	a.data("pusher_internal:watchlist_events", "", `{"events":[{"name":"offline","user_ids":["bob"]}]}`)
	c := g.connect(t)
	c.send("pusher:signin", map[string]string{"auth": sign(c.id, "x"), "user_data": `{"id":"x"}`})
	c.want("pusher:error", "")
	if code := c.Closed(); code != 4009 {
		t.Error(code)
	}
}

// TestTerminate ends the connections of users whose ids are escaped in addresses.
func TestTerminate(t *testing.T) {
	g := start(t, nil)
	for _, id := range []string{"7", "a b", "50%", "a/b", "a%20b", "é?#&+", "auth0|1", ".."} {
		c := g.connect(t)
		data, _ := json.Marshal(map[string]string{"id": id})
		c.signIn(string(data))
		c.want("pusher:signin_success", "")
		if status, out := g.call("POST", "/apps/1/users/"+url.PathEscape(id)+"/terminate_connections", "", "{}"); status != 200 || out != "{}" {
			t.Error(id, status, out)
			continue
		}
		if code := c.Closed(); code != 4009 {
			t.Error(id, code)
		}
	}
}

// joinedSignedIn subscribes to a presence channel as the user who is signed in.
func (c *client) joinedSignedIn(channel string) string { return c.joined(channel, "") }

func TestCacheAndCounts(t *testing.T) {
	g := start(t, func(a *pusher.App) { a.Feature.Counts = true })
	a := g.connect(t)
	a.joined("cache-x", "")
	if m := a.want("pusher:cache_miss", "cache-x"); len(m) != 2 {
		t.Error(m)
	}
	a.data("pusher_internal:subscription_count", "cache-x", `{"subscription_count":1}`)
	g.trigger("cache-x", "e", "1")
	g.trigger("cache-x", "e", "2")
	a.data("e", "cache-x", "1")
	a.data("e", "cache-x", "2")
	b := g.connect(t)
	b.joined("cache-x", "")
	b.data("e", "cache-x", "2")
	b.data("pusher_internal:subscription_count", "cache-x", `{"subscription_count":2}`)
	a.data("pusher_internal:subscription_count", "cache-x", `{"subscription_count":2}`)
	b.Close()
	a.data("pusher_internal:subscription_count", "cache-x", `{"subscription_count":1}`)
	if status, out := g.call("GET", "/apps/1/channels/cache-x", "info=cache,subscription_count", ""); status != 200 || !strings.HasPrefix(out, `{"cache":{"data":"2","ttl":1`) || !strings.HasSuffix(out, `,"occupied":true,"subscription_count":1}`) {
		t.Error(status, out)
	}
	a.joined("presence-cache-x", `{"user_id":1}`)
	a.want("pusher:cache_miss", "presence-cache-x")
}

func TestRefusals(t *testing.T) {
	g := start(t, func(a *pusher.App) {
		a.Limit.Connections = 2
		a.Origins = []string{"https://shop.example.com"}
		a.Feature.SignIn = time.Hour
	})
	for query, code := range map[string]int{"/app/none?protocol=7": 4001, "/app/" + appKey: 4008, "/app/" + appKey + "?protocol=4": 4007, "/app/" + appKey + "?protocol=x": 4007} {
		p, status := g.Dial("", query)
		if p == nil {
			t.Fatal(query, status)
		}
		if m := p.Next(); m["event"] != "pusher:error" {
			t.Error(m)
		}
		if got := p.Closed(); got != code {
			t.Errorf("%s: %d", query, got)
		}
	}
	a, _ := g.connect(t), g.connect(t)
	third, _ := g.Dial("", "/app/"+appKey+"?protocol=7")
	if m := third.Next(); m["data"].(map[string]any)["code"] != 4100.0 {
		t.Error(m)
	}
	if code := third.Closed(); code != 4100 {
		t.Error(code)
	}
	if status, out := g.Backend("POST", "/v1/disconnect", map[string]string{"connectionId": a.id}); status != http.StatusOK {
		t.Error(out)
	}
	a.want("pusher:error", "")
	if code := a.Closed(); code != 4009 {
		t.Error(code)
	}
}

// reload puts other apps in force.
func (g *rig) reload(list ...pusher.App) {
	g.Helper()
	cfg := g.cfg.Clone()
	cfg.Sections = []config.Section{&pusher.Config{Apps: list}}
	if err := cfg.Complete(); err != nil {
		g.Fatal(err)
	}
	if err := g.system.Reload(&cfg); err != nil {
		g.Fatal(err)
	}
}

// TestReload adds, changes and removes apps.
func TestReload(t *testing.T) {
	g := start(t, nil)
	a := g.connect(t)
	a.joined("x", "")
	apps := func(list ...pusher.App) { t.Helper(); g.reload(list...) }
	one := pusher.App{ID: "1", Keys: []pusher.Key{{Key: "new", Secret: appSecret}, {Key: appKey, Secret: appSecret}}}
	two := pusher.App{ID: "2", Namespace: "two", Keys: []pusher.Key{{Key: "second", Secret: appSecret}}}
	apps(one, two)
	p, _ := g.Dial("", "/app/second?protocol=7")
	if m := p.Next(); m["event"] != "pusher:connection_established" {
		t.Fatal(m)
	}
	p.Send(`{"event":"pusher:subscribe","data":{"channel":"x"}}`)
	p.Next()
	g.trigger("x", "e", "1") // of the first app
	a.data("e", "x", "1")
	one.Keys = one.Keys[:1]
	apps(one, two)
	a.want("pusher:error", "")
	if code := a.Closed(); code != 4200 {
		t.Error("the key was removed:", code)
	}
	two.Disabled = true
	apps(one, two)
	if m := p.Next(); m["data"].(map[string]any)["code"] != 4003.0 {
		t.Error("apart from the error:", m)
	}
	apps(one)
	if gone, _ := g.Dial("", "/app/second?protocol=7"); gone.Closed() != 4001 {
		t.Error("the app was removed")
	}
}
