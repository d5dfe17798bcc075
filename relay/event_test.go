package relay

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"weir/internal/units"
	"weir/relay/config"
)

// eventHeard is what a worker that follows a topic gets.
type eventHeard struct {
	Topic string
	Data  struct {
		UserID, Channel, Content, Timestamp string
		Payload                             json.RawMessage
	}
}

func (c *client) event() eventHeard {
	c.Helper()
	h := c.hear()
	var e eventHeard
	if err := json.Unmarshal(h.Data, &e); err != nil || h.Op != "send" {
		c.Fatalf("%v in %s", err, h.raw)
	}
	return e
}

// What a client says with message becomes an event for the backend, in the user's name.
func TestMessageEvent(t *testing.T) {
	g := open(t)
	worker := g.client("worker", may("event:*", "subscribe"))
	worker.subscribe("event:message.received", "")
	c := g.client(`u"1`)
	before := time.Now().Add(-time.Millisecond)
	c.say(`{"type":"message","id":"m","channel":"room:1","content":"hi \"there\"\n","userId":"somebody else"}`)
	c.exactly(`{"type":"ok","id":"m"}`)
	e := worker.event()
	at, err := time.Parse(time.RFC3339, e.Data.Timestamp)
	if e.Topic != "message.received" || e.Data.UserID != `u"1` || e.Data.Channel != "room:1" || e.Data.Content != "hi \"there\"\n" ||
		err != nil || at.Before(before.Truncate(time.Millisecond)) || time.Since(at) > time.Minute {
		t.Errorf("%+v %v", e, err)
	}
	c.ask(`{"type":"message","content":""}`)
	if e := worker.event(); e.Data.Channel != "" || e.Data.Content != "" {
		t.Errorf("%+v", e)
	}
	c.refused("too_large", `{"type":"message","id":"x","content":"%s"}`, strings.Repeat("x", 64<<10-60))
}

// A topic is the client's to emit if its token says so; the user is the session's.
func TestEventCommand(t *testing.T) {
	g := open(t)
	worker := g.client("worker", may("event:chat.typing.start", "subscribe"))
	worker.subscribe("event:chat.typing.start", "")
	c := g.client("u1", may("event:chat.typing.start", "publish"))
	c.say(`{"type":"event","id":1,"topic":"chat.typing.start","data":{"userId":"u2"}}`)
	c.exactly(`{"type":"ok","id":1}`)
	if e := worker.event(); e.Topic != "chat.typing.start" || e.Data.UserID != "u1" || string(e.Data.Payload) != `{"userId":"u2"}` {
		t.Errorf("%+v", e)
	}
	c.ask(`{"type":"event","topic":"chat.typing.start"}`)
	if e := worker.event(); string(e.Data.Payload) != "null" {
		t.Errorf("%+v", e)
	}
	c.refused("forbidden", `{"type":"event","id":"x","topic":"chat.typing.stop"}`)
	c.refused("forbidden", `{"type":"subscribe","id":"x","channel":"event:chat.typing.start"}`)
	c.say(`{"type":"event","id":2,"topic":"presence.heartbeat"}`) // needs no grant and is told nobody
	c.exactly(`{"type":"ok","id":2}`)
	worker.quiet()
}

func TestEventsOfBackends(t *testing.T) {
	g := open(t, func(c *config.Config) {
		c.Namespaces["event"] = config.Namespace{Limit: config.Bounds{Message: units.KiB}}
	})
	worker := g.client("worker", may("event:*", "subscribe"))
	worker.subscribe("event:order.paid", "")
	a := g.api(202, "POST", "/v1/events", `{"topic":"order.paid","data":{"userId":"u7"}}`)
	if a.body != `{}` || a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%v %s", a.Header, a.body)
	}
	worker.exactly(`{"type":"channel_update","channel":"event:order.paid","seq":1,"op":"send","data":{"topic":"order.paid","data":{"userId":"u7"}}}`)
	g.api(202, "POST", "/v1/events", `{"topic":"order.paid"}`)
	if h := worker.hear(); string(h.Data) != `{"topic":"order.paid","data":null}` {
		t.Error(h.raw)
	}
	wantProblem(t, g.api(400, "POST", "/v1/events", `{"data":1}`), 400, "bad_request")
	wantProblem(t, g.api(400, "POST", "/v1/events", `{"topic":"a b","data":1}`), 400, "bad_request")
	wantProblem(t, g.api(400, "POST", "/v1/events", `{"topic":"a",`), 400, "invalid_json")
	wantProblem(t, g.api(413, "POST", "/v1/events", `{"topic":"a","data":"`+strings.Repeat("x", 1<<10)+`"}`), 413, "too_large")
	if v := g.metric("weir_events_total"); v != "2" {
		t.Errorf("%s events counted", v)
	}
}

// The configuration may leave topics to all clients with a token.
func TestEventsOfClients(t *testing.T) {
	g := open(t, func(c *config.Config) { c.Events.Clients = []string{"page.*"} })
	worker := g.client("worker", may("event:*", "subscribe"))
	worker.subscribe("event:page.view", "")
	c := g.client("u1")
	c.say(`{"type":"event","id":1,"topic":"page.view","data":{"userId":"u2"}}`)
	c.exactly(`{"type":"ok","id":1}`)
	if e := worker.event(); e.Data.UserID != "u1" || string(e.Data.Payload) != `{"userId":"u2"}` {
		t.Errorf("%+v", e)
	}
	c.refused("forbidden", `{"type":"event","id":"x","topic":"order.paid","data":1}`)
	c.refused("forbidden", `{"type":"event","id":"x","topic":"page","data":1}`)
}
