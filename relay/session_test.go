package relay

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/problem"
)

func TestConnected(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Heartbeat = 20 * time.Second })
	want := regexp.MustCompile(`^{"type":"connected","connectionId":"[0-9A-Z]{26}","userId":"u1","heartbeat":20000,"window":50,` +
		`"expiresIn":3[56]\d{5},"limits":{"message":65536,"commands":100,"subscriptions":128,"address":4096},"channel":"user:u1","position":{"epoch":"[a-z0-9]+","seq":0}}$`)
	one, two := g.client("u1"), g.client("u1")
	if !want.MatchString(one.hello.raw) {
		t.Errorf("first message %s", one.hello.raw)
	}
	if one.hello.ConnectionID == two.hello.ConnectionID {
		t.Error("two connections have the same id")
	}
	g.post(`"channel":"user:u1","data":1`)
	if h := g.client("u1").hello; h.Position.Seq != 1 {
		t.Errorf("a later connection starts at %s", h.raw)
	}
}

// Whatever is published meanwhile, the connected message comes first, and what comes next continues its
// position.
func TestConnectedIsFirst(t *testing.T) {
	g := open(t, manyShards)
	stop := make(chan struct{})
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				g.relay.mustPublish(t, `{"channel":"user:u1","data":1}`)
			}
		}
	})
	for range 20 {
		c := g.client("u1")
		at := c.hello.Position.Seq
		for range 3 {
			at++
			c.change(at, "1")
		}
		_ = c.nc.Close()
	}
	close(stop)
	publisher.Wait()
}

// mustPublish publishes without a request, for tests that publish a lot: as fast as the readers can be told.
func (r *Relay) mustPublish(t testing.TB, body string) position {
	answer, err := r.publishOne(nil, []byte(body))
	for end := time.Now().Add(patience); err != nil && problem.Of(err) == problem.Overloaded && time.Now().Before(end); {
		runtime.Gosched()
		answer, err = r.publishOne(nil, []byte(body))
	}
	if err != nil {
		t.Errorf("publish %s: %v", body, err)
		return position{}
	}
	return heardIn(t, answer).Position
}

func TestWaysIn(t *testing.T) {
	token := mint(t, "u1")
	ticket := func(g *rig) string {
		a := g.api(200, "POST", "/v1/tickets", `{"userId":"u1","name":"One"}`)
		m := regexp.MustCompile(`^{"ticket":"([A-Za-z0-9_-]{32})","expiresIn":30}$`).FindStringSubmatch(a.body)
		if m == nil || a.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("ticket: %v %s", a.Header, a.body)
		}
		return m[1]
	}
	cookie := func(c *config.Config) { c.Auth.Cookie = "session" }
	query := func(c *config.Config) { c.Auth.QueryToken = true }
	anonymous := func(c *config.Config) { c.Auth.Anonymous = true }
	nothing := func(*config.Config) {}
	for _, test := range []struct {
		name   string
		adjust func(*config.Config)
		target func(g *rig) string
		lines  []string
		status int
		user   string
	}{
		{"header", nothing, nil, []string{"Authorization: Bearer " + token}, 101, "u1"},
		{"header in small letters", nothing, nil, []string{"authorization: bearer " + token}, 101, "u1"},
		{"subprotocol", nothing, nil, []string{"Sec-WebSocket-Protocol: weir, token." + token}, 101, "u1"},
		{"cookie", cookie, nil, []string{"Cookie: a=b; session=" + token}, 101, "u1"},
		{"cookie that is not configured", nothing, nil, []string{"Cookie: session=" + token}, 401, ""},
		{"query", query, func(*rig) string { return "/ws?token=" + token }, nil, 101, "u1"},
		{"query that is off", nothing, func(*rig) string { return "/ws?token=" + token }, nil, 401, ""},
		{"ticket", nothing, func(g *rig) string { return "/ws?ticket=" + ticket(g) }, nil, 101, "u1"},
		{"ticket that is none", nothing, func(*rig) string { return "/ws?ticket=abc" }, []string{"Authorization: Bearer " + token}, 401, ""},
		{"anonymous", anonymous, nil, nil, 101, ""},
		{"bad token where anonymous is on", anonymous, nil, []string{"Authorization: Bearer x.y.z"}, 401, ""},
		{"nothing", nothing, nil, nil, 401, ""},
		{"the backend's key", nothing, nil, []string{"Authorization: Bearer " + apiKey}, 401, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := open(t, test.adjust)
			target := "/ws"
			if test.target != nil {
				target = test.target(g)
			}
			if test.status != 101 {
				a := g.shake(target, test.lines...)
				if a.StatusCode != test.status || a.Header.Get("WWW-Authenticate") == "" || !strings.Contains(a.body, `"code":"unauthorized"`) {
					t.Errorf("%s %v %s", a.Status, a.Header, a.body)
				}
				return
			}
			if p := g.wsOn(g.dial(), target, test.lines...); p.hello.UserID != test.user {
				t.Errorf("connected as %s", p.hello.raw)
			}
		})
	}
}

func TestTicketOpensOneConnection(t *testing.T) {
	g := open(t)
	a := g.api(200, "POST", "/v1/tickets", `{"userId":"t1","name":"Tick","avatar":"/a.png","channels":{"closed:1":["subscribe","presence"]},"ttl":60}`)
	ticket := strings.Split(a.body, `"`)[3]
	c := &client{wsPeer: g.wsOn(g.dial(), "/ws?ticket="+ticket), rig: g}
	c.subscribe("closed:1", "")
	c.refused("forbidden", `{"type":"subscribe","id":"x","channel":"closed:2"}`)
	h := c.ask(`{"type":"presence","id":1,"channel":"closed:1"}`)
	if len(h.Users) != 1 || h.Users[0].Name != "Tick" || h.Users[0].Avatar != "/a.png" {
		t.Errorf("presence %s", h.raw)
	}
	if a := g.shake("/ws?ticket=" + ticket); a.StatusCode != 401 {
		t.Errorf("second use: %s", a.Status)
	}
}

// The subprotocol is answered if it was offered, the token never.
func TestSubprotocolAnswer(t *testing.T) {
	g := open(t)
	for offered, want := range map[string]string{
		"weir, token." + mint(t, "u1"): "weir",
		"token." + mint(t, "u1"):       "",
		"":                             "",
	} {
		lines := []string{"Sec-WebSocket-Protocol: " + offered}
		if offered == "" {
			lines = []string{"Authorization: Bearer " + mint(t, "u1")}
		}
		a := g.shake("/ws", lines...)
		if got := a.Header["Sec-Websocket-Protocol"]; a.StatusCode != 101 || strings.Join(got, "") != want {
			t.Errorf("offered %.20q: %s, answered %q", offered, a.Status, got)
		}
	}
}

func TestPing(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	for command, want := range map[string]string{
		`{"type":"ping"}`:                     `{"type":"pong"}`,
		`{"type":"ping","id":7}`:              `{"type":"pong","id":7}`,
		`{"type":"ping","id":-1.5e3}`:         `{"type":"pong","id":-1.5e3}`,
		`{"id":"a\"b\u00e4","type":"ping"}`:   `{"type":"pong","id":"a\"b\u00e4"}`,
		` {"type":"ping","unknown":{"a":[]}}`: `{"type":"pong"}`,
	} {
		c.say(command)
		c.exactly(want)
	}
}

func TestErrorsHaveTheirCommandsID(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.say(`{"type":"nonsense","id":"x"}`)
	c.exactly(`{"type":"error","id":"x","code":"unknown_type","message":"unknown message type","retryable":false}`)
	for bad, why := range map[string]string{
		`{`: "not valid JSON, at byte 1", `nonsense`: "not valid JSON, at byte 0", `{"type":"ping"}}`: "not valid JSON, at byte 15",
		`{"type":"ping",}`: "not valid JSON, at byte 15", ``: "no data: expected a JSON object, at byte 0",
		`"ping"`: "expected a JSON object, at byte 0", `7`: "expected a JSON object, at byte 0",
	} {
		c.say(bad)
		c.exactly(fmt.Sprintf(`{"type":"error","code":"invalid_json","message":"Invalid message format","detail":"%s","retryable":false}`, why))
	}
	for command, code := range map[string]string{
		`{"id":"x"}`:                                                             "bad_request",
		`{"id":"x","type":7}`:                                                    "bad_request",
		`{"id":"x","type":"subscribe"}`:                                          "bad_channel",
		`{"id":"x","type":"subscribe","channel":".a"}`:                           "bad_channel",
		`{"id":"x","type":"subscribe","channel":"a b"}`:                          "bad_channel",
		`{"id":"x","type":"subscribe","channel":"a","position":{}}`:              "bad_request",
		`{"id":"x","type":"subscribe","channel":"a","position":7}`:               "bad_request",
		`{"id":"x","type":"subscribe","channel":"a","groups":["a b"]}`:           "bad_request",
		`{"id":"x","type":"subscribe","channel":"a","channel":"b"}`:              "bad_request",
		`{"id":"x","type":"subscribe","channel":"closed:1"}`:                     "forbidden",
		`{"id":"x","type":"subscribe","channel":"user:u2"}`:                      "forbidden",
		`{"id":"x","type":"unsubscribe","channel":"a"}`:                          "not_subscribed",
		`{"id":"x","type":"unsubscribe"}`:                                        "bad_channel",
		`{"id":"x","type":"publish","channel":"a"}`:                              "bad_request",
		`{"id":"x","type":"publish","channel":"a","data":1,"op":"add"}`:          "bad_request",
		`{"id":"x","type":"publish","channel":"a","data":1,"op":"set"}`:          "bad_request",
		`{"id":"x","type":"publish","channel":"a","op":"delete"}`:                "bad_request",
		`{"id":"x","type":"publish","channel":"a","data":1,"key":"a b"}`:         "bad_name",
		`{"id":"x","type":"publish","channel":"a","data":1,"group":"\n"}`:        "bad_name",
		`{"id":"x","type":"publish","channel":"a","data":1,"key":"k","ttl":-1}`:  "bad_request",
		`{"id":"x","type":"publish","channel":"a","data":1,"key":"k","ttl":"1"}`: "bad_request",
		`{"id":"x","type":"publish","channel":"a","data":1,"key":"k","ttl":1e9}`: "bad_request",
		`{"id":"x","type":"publish","channel":"closed:1","data":1}`:              "forbidden",
		`{"id":"x","type":"publish","channel":"user:u1","data":1}`:               "forbidden",
		`{"id":"x","type":"history","channel":"a","limit":1001}`:                 "bad_request",
		`{"id":"x","type":"history","channel":"a","limit":-1}`:                   "bad_request",
		`{"id":"x","type":"history","channel":"closed:1"}`:                       "forbidden",
		`{"id":"x","type":"presence","channel":"closed:1"}`:                      "forbidden",
		`{"id":"x","type":"presence"}`:                                           "bad_channel",
		`{"id":"x","type":"refresh"}`:                                            "unauthorized",
		`{"id":"x","type":"refresh","token":"a.b.c"}`:                            "unauthorized",
		`{"id":"x","type":"message"}`:                                            "bad_request",
		`{"id":"x","type":"message","content":7}`:                                "bad_request",
		`{"id":"x","type":"message","content":"a","channel":" "}`:                "bad_channel",
		`{"id":"x","type":"event","topic":"t","data":1}`:                         "forbidden",
		`{"id":"x","type":"event","topic":"a b"}`:                                "bad_request",
		`{"id":"x","type":"event"}`:                                              "bad_request",
	} {
		c.refused(code, "%s", command)
	}
	c.quiet()
}

// An array runs its commands in order; each is answered for itself.
func TestArrays(t *testing.T) {
	g := open(t)
	c := g.client("u1")
	c.say(`[{"type":"ping","id":1},{"type":"publish","id":2,"channel":"a","data":1},{"type":"nonsense","id":3},7,` + "\n" +
		` {"type":"publish","id":4,"channel":"a","data":2} , {"type":"history","id":5,"channel":"a"}]`)
	for i, want := range []string{"pong 1 0", "ok 2 1", "error 3 0", "error  0", "ok 4 2", "history 5 0"} {
		h := c.hear()
		if got := fmt.Sprintf("%s %s %d", h.Type, h.ID, h.Position.Seq); got != want {
			t.Errorf("answer %d: %s, want %s", i, h.raw, want)
		}
		if h.Type == "history" && len(h.Changes) != 2 {
			t.Errorf("history %s", h.raw)
		}
	}
	c.say(`[]`)
	c.say(`[{"type":"ping","id":1},{"type":"ping","id":2]`) // runs nothing
	if h := c.hear(); h.Type != "error" || h.Code != "invalid_json" || h.ID != nil {
		t.Errorf("broken array: %s", h.raw)
	}
	c.say(`[` + strings.Repeat(`{"type":"ping"},`, wire.MaxBatch) + `{"type":"ping"}]`)
	for range wire.MaxBatch {
		if h := c.hear(); h.Type != "pong" {
			t.Fatalf("%s", h.raw)
		}
	}
	if h := c.hear(); h.Code != "too_many" {
		t.Errorf("one too many: %s", h.raw)
	}
	c.quiet()
}

func TestRefresh(t *testing.T) {
	g := open(t)
	c := g.client("u1", may("closed:1", "subscribe"), may("closed:2", "subscribe"))
	c.subscribe("closed:1", "")
	c.subscribe("closed:2", "")
	c.subscribe("open", "")
	token := mintClaims(t, auth.Claims{Sub: "u1", TTL: 2 * time.Hour, IssuedAt: time.Now(), Channels: map[string][]string{"closed:2": {"subscribe"}}})
	c.say(`{"type":"refresh","id":"r","token":"` + token + `"}`)
	var told, answered bool
	for !told || !answered {
		switch h := c.hear(); h.Type {
		case "ok":
			answered = true
			if left := time.Until(time.UnixMilli(h.ExpiresAt)); left < 119*time.Minute || left > 2*time.Hour || string(h.ID) != `"r"` {
				t.Errorf("refresh answered %s", h.raw)
			}
		case "unsubscribed":
			told = true
			if h.raw != `{"type":"unsubscribed","channel":"closed:1","code":"forbidden","reason":"the new token does not allow this channel"}` {
				t.Errorf("told %s", h.raw)
			}
		default:
			t.Fatal(h.raw)
		}
	}
	c.quiet()
	c.refused("forbidden", `{"type":"subscribe","id":"x","channel":"closed:1"}`)
	c.refused("forbidden", `{"type":"refresh","id":"x","token":"%s"}`, mint(t, "u2"))
	g.post(`"channel":"closed:1","data":1`)
	g.post(`"channel":"closed:2","data":2`)
	c.change(1, "2")
	g.post(`"channel":"user:u1","data":3`)
	c.change(1, "3")
}

// A session ends within a second of its token's end, unless that was extended; commands of an expired
// token are refused even before.
func TestExpiry(t *testing.T) {
	var clock atomic.Int64 // seconds added
	cfg := openConfig()
	cfg.Drain = time.Millisecond
	g := launch(t, cfg, func(r *Relay) {
		r.sessions.Now = func() time.Time { return time.Now().Add(time.Duration(clock.Load()) * time.Second) }
	})
	short := func(c *auth.Claims) { c.TTL = time.Minute }
	expires, extended := g.client("u1", short), g.client("u2", short)
	stream := g.sseWith("/sse?channel=a", "Authorization: Bearer "+mintClaims(t, auth.Claims{Sub: "u3", TTL: time.Minute}))
	if h := extended.ask(`{"type":"refresh","token":"%s"}`, mint(t, "u2")); h.Type != "ok" {
		t.Fatal(h.raw)
	}
	clock.Store(100)
	if e := expires.ended(); e != (closedWith{wire.CloseUnauthorized, "token expired"}) {
		t.Error(e)
	}
	for {
		e := stream.event()
		if e.name == "closed" {
			if e.data != `{"type":"closed","code":4001,"reason":"token expired"}` {
				t.Error(e.data)
			}
			break
		}
	}
	if h := extended.ask(`{"type":"ping"}`); h.Type != "pong" {
		t.Error(h.raw)
	}
	s := extended.session()
	id := *s.Identity()
	id.Expires = auth.MomentOf(time.Now()) // long ago by the relay's clock, and the look at it is still to come
	s.SetIdentity(&id)
	for _, command := range []string{"subscribe", "publish", "history", "presence"} {
		extended.refused("token_expired", `{"type":"%s","id":"x","channel":"a","data":1}`, command)
	}
	extended.refused("token_expired", `{"type":"message","id":"x","content":"a"}`)
	extended.refused("token_expired", `{"type":"event","id":"x","topic":"a"}`)
	if h := extended.ask(`{"type":"refresh","token":"%s"}`, mintClaims(t, auth.Claims{Sub: "u2", TTL: 24 * time.Hour})); h.Type != "ok" {
		t.Error(h.raw)
	}
	extended.subscribe("a", "")
}

// A user whose id no channel name could hold has a channel all the same, and nobody else has it.
func TestOddUsers(t *testing.T) {
	g := open(t)
	for user, channel := range map[string]string{
		"auth0|7":      "user:auth0=7C7",
		"auth0=7C7":    "user:auth0=3D7C7",
		"é":            "user:=C3=A9",
		"a b":          "user:a=20b",
		`quote"\`:      "user:quote=22=5C",
		"me@x.example": "user:me@x.example",
	} {
		c := g.client(user)
		if c.hello.UserID != user {
			t.Errorf("%s", c.hello.raw)
		}
		g.post(`"channel":"%s","data":{"to":"%s"}`, channel, channel)
		c.exactly(`{"type":"update","seq":1,"op":"send","data":{"to":"` + channel + `"}}`)
		if h := c.subscribe(channel, `,"position":`+position(c.hello.Position).json()); len(h.Changes) != 1 {
			t.Errorf("resume of %s: %s", channel, h.raw)
		}
		if a := g.api(200, "POST", "/v1/disconnect", fmt.Sprintf(`{"userId":%q}`, user)); a.body != `{"disconnected":1}` {
			t.Errorf("%s: %s", user, a.body)
		}
		c.ended()
	}
}
