package relaytest_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/relaytest"
)

func TestMain(m *testing.M) { relaytest.Main(m) }

// hall is a system with one room: what a client says reaches the others, and the speaker is told when.
type hall struct {
	host   relay.Host
	room   *relay.Group
	closed atomic.Int32
	ended  atomic.Bool
}

func (h *hall) Name() string { return "hall" }

func (h *hall) Start(host relay.Host) error {
	h.host, h.room = host, host.Group("hall:main")
	host.WebSocket("/hall/{name}", relay.WebSocketRoute{
		Binary: true,
		Admit: func(ctx *fasthttp.RequestCtx, id *auth.Identity) (any, error) {
			if !id.HasRole("guest") {
				return nil, problem.New(403, "forbidden", "guests only", false)
			}
			return ctx.UserValue("name"), nil
		},
		Open: func(c *relay.Client) {
			c.Send(fmt.Appendf(nil, `{"type":"hello","room":%q}`, c.Value))
			h.room.Join(c, []byte(`{"type":"first"}`), false)
		},
		Message: func(c *relay.Client, data []byte, binary bool) {
			if string(data) == `"panic"` {
				panic("as asked")
			}
			if err := h.room.Send(relay.GroupMessage{Data: data, Binary: binary, Exclude: c.ID()}); err != nil {
				c.SendError(nil, err)
				return
			}
			h.room.Reply(c, []byte(`{"type":"said"}`), false)
		},
		Closed: func(*relay.Client) { h.closed.Add(1) },
	})
	host.User("GET", "/hall", func(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
		ctx.SetBodyString(id.User)
		return nil
	})
	host.Backend("DELETE", "/v1/hall/{user}", func(ctx *fasthttp.RequestCtx) error {
		ctx.SetBodyString(fmt.Sprint(host.Revoke(ctx.UserValue("user").(string), "lobby:1", "thrown out")))
		return nil
	})
	host.OnClient("hall.knock", func(e *hub.Event) error {
		if e.User == "" {
			return errors.New("no user")
		}
		_, err := host.Publish("lobby:1", &broker.Publication{Op: broker.Send, Data: e.Data})
		return err
	})
	host.Guard("lobby", func(id *auth.Identity, _ auth.Ops, channel string) hub.Verdict {
		if channel == "lobby:1" && id.User == "u9" {
			return hub.Denied
		}
		return hub.Unknown
	}, nil)
	return host.Reserve("lobbyist", config.Namespace{})
}

func (h *hall) Close() { h.ended.Store(true) }

func guest(g *relaytest.Rig, user string) *relaytest.Peer {
	p, status := g.Dial(g.Token(user, relaytest.Role("guest")), "/hall/main")
	if p == nil {
		g.Fatal(status)
	}
	if m := p.Next(); m["type"] != "hello" || m["room"] != "main" {
		g.Fatal(m)
	}
	if m := p.Next(); m["type"] != "first" {
		g.Fatal(m)
	}
	return p
}

func TestRoom(t *testing.T) {
	h := new(hall)
	g := relaytest.Start(t, nil, h)
	if p, status := g.Dial(g.Token("u1"), "/hall/main"); p != nil || status != 403 {
		t.Fatalf("a client that Admit refuses: %d", status)
	}
	if p, status := g.Dial("", "/hall/main"); p != nil || status != 401 {
		t.Fatalf("a client without a token: %d", status)
	}
	a, b := guest(g, "u1"), guest(g, "u2")
	for i := range 100 {
		a.Send(relaytest.Message{"n": i})
	}
	for i := range 100 {
		if m := b.Next(); m["n"] != float64(i) {
			t.Fatal(i, m)
		}
		if m := a.Next(); m["type"] != "said" {
			t.Fatal("the speaker hears itself", m)
		}
	}
	a.Write([]byte{1, 2, 3})
	if binary, data := b.Read(); !binary || string(data) != "\x01\x02\x03" {
		t.Fatal(binary, data)
	}
	b.Send("{") // not JSON: an error, and the connection lives
	if m := b.Next(); m["code"] != "invalid_json" {
		t.Fatal(m)
	}
	b.Send(`"panic"`)
	if code := b.Closed(); code != 1011 {
		t.Fatal(code)
	}
	a.Close()
	g.Stop()
	if n := h.closed.Load(); n != 2 || h.room.Members() != 0 || !h.ended.Load() {
		t.Fatal(n, h.room.Members(), h.ended.Load())
	}
}

func TestDrainReachesRooms(t *testing.T) {
	g := relaytest.Start(t, nil, new(hall))
	a, b := guest(g, "u1"), guest(g, "u2")
	a.Send(`{"n":1}`)
	a.Type("said")
	g.Stop()
	if m := b.Next(); m["n"] != float64(1) {
		t.Fatal(m)
	}
	if code := b.Closed(); code != 4100 {
		t.Fatal(code)
	}
}

func TestTopicsGuardsAndRoutes(t *testing.T) {
	g := relaytest.Start(t, nil, new(hall))
	if status, body := g.As("u1", "GET", "/hall", nil); status != 200 || body != "u1" {
		t.Fatal(status, body)
	}
	if status, _ := g.As("", "GET", "/hall", nil); status != 401 {
		t.Fatal(status)
	}
	p := g.WS("u1", "/ws")
	p.Type("connected")
	p.Send(relaytest.Message{"type": "subscribe", "id": 1, "channel": "lobby:1"})
	p.Type("subscribed")
	p.Send(relaytest.Message{"type": "event", "id": 2, "topic": "hall.knock", "data": relaytest.Message{"k": 1}})
	if m := p.Type("channel_update"); fmt.Sprint(m["data"]) != "map[k:1]" {
		t.Fatal(m)
	}
	p.Send(relaytest.Message{"type": "event", "id": 3, "topic": "hall.other", "data": 1})
	if m := p.Type("error"); m["code"] != "forbidden" {
		t.Fatal(m)
	}
	denied := g.WS("u9", "/ws")
	for _, channel := range []string{"lobby:1", "lobbyist:1"} {
		denied.Send(relaytest.Message{"type": "subscribe", "id": 1, "channel": channel})
		if m := denied.Type("error"); m["code"] != "forbidden" {
			t.Fatal(channel, m)
		}
	}
	if status, body := g.Backend("DELETE", "/v1/hall/u1", nil); status != 200 || fmt.Sprint(body) != "1" {
		t.Fatal(status, body)
	}
	if m := p.Type("unsubscribed"); m["reason"] != "thrown out" {
		t.Fatal(m)
	}
}
