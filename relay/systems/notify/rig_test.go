package notify

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/relaytest"
)

// rig is a relay that notifies, with fakes of all services.
type rig struct {
	*relaytest.Rig
	push   *service
	hooks  *service
	fire   *firebase
	apple  *apple
	events *relaytest.Peer
}

// world is the fakes, which outlive a relay.
type world struct {
	push  *service
	hooks *service
	fire  *firebase
	apple *apple
	key   *VAPID
}

const subject = "mailto:ops@example.com"

func newWorld(t testing.TB) *world {
	key, err := NewVAPID()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{fire: newFirebase(t), apple: newApple(t), key: key}
	w.push = newPushService(t, func() string { return key.Public }, subject)
	w.hooks = newHooks(t)
	return w
}

// start starts a relay in development mode, where loopback may be called.
func (w *world) start(t testing.TB, change func(*config.Config)) *rig {
	t.Helper()
	system := &System{clients: func(c *config.Config) *clients {
		x := newClients(c)
		x.apns = w.apple.Client() // which trusts its certificate
		return x
	}}
	g := &rig{push: w.push, hooks: w.hooks, fire: w.fire, apple: w.apple}
	g.Rig = relaytest.Start(t, func(c *config.Config) {
		c.Dev = true
		*config.Of[Config](c) = Config{FCM: w.fire.config(), APNs: w.apple.config(), WebPush: WebPush{Secret: w.key.Private, Subject: subject}}
		if change != nil {
			change(c)
		}
	}, system)
	g.events = g.listen(topicDelivered, topicFailed)
	return g
}

func start(t testing.TB, change func(*config.Config)) *rig { return newWorld(t).start(t, change) }

// listen follows topics as a backend's worker does.
func (g *rig) listen(topics ...string) *relaytest.Peer {
	g.Helper()
	p, status := g.Dial(g.Token("worker", func(c *auth.Claims) { c.Channels = map[string][]string{"event:*": {"subscribe"}} }), "/ws")
	if p == nil {
		g.Fatal(status)
	}
	for i, topic := range topics {
		p.Send(relaytest.Message{"type": "subscribe", "id": i, "channel": "event:" + topic})
		p.Type("subscribed")
	}
	return p
}

// result is the next result of a notification.
func (g *rig) result() (topic string, data relaytest.Message) {
	g.Helper()
	m := g.events.Type("channel_update")["data"].(relaytest.Message)
	return m["topic"].(string), m["data"].(relaytest.Message)
}

// wantResult wants the next result to be so.
func (g *rig) wantResult(topic, user string, delivered, failed, pruned int) relaytest.Message {
	g.Helper()
	got, data := g.result()
	if got != topic || data["userId"] != user || data["delivered"] != float64(delivered) || data["failed"] != float64(failed) || data["pruned"] != float64(pruned) {
		g.Errorf("%s %v, want %s of %s: %d, %d, %d", got, data, topic, user, delivered, failed, pruned)
	}
	return data
}

// register registers a device of a user and answers its id.
func (g *rig) register(user string, device any) string {
	g.Helper()
	status, out := g.As(user, "POST", "/devices", device)
	if status != http.StatusCreated {
		g.Fatal(status, out)
	}
	return out.(relaytest.Message)["id"].(string)
}

// notify sends a notification and answers its id.
func (g *rig) notify(m relaytest.Message) string {
	g.Helper()
	status, out := g.Backend("POST", "/v1/notify", m)
	if status != http.StatusAccepted {
		g.Fatal(status, out)
	}
	return out.(relaytest.Message)["id"].(string)
}

// connect connects a user and reads up to what is told first.
func (g *rig) connect(user string) *relaytest.Peer {
	g.Helper()
	p := g.WS(user, "/ws")
	p.Type("connected")
	return p
}

// devices is how many a user has.
func (g *rig) devices(user string) []any {
	g.Helper()
	_, out := g.As(user, "GET", "/devices", nil)
	return out.(relaytest.Message)["devices"].([]any)
}

func decode(t testing.TB, text string) relaytest.Message {
	t.Helper()
	var m relaytest.Message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return m
}

// quick lets retries end soon.
func quick(c *config.Config) { config.Of[Config](c).Retry = 300 * time.Millisecond }

// waiting is how many notifications are under way, as the metrics have it.
func (w *world) waiting(g *rig) int {
	g.Helper()
	resp, err := http.Get(g.Admin + "/metrics")
	if err != nil {
		g.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(raw), "\nweir_notify_waiting ")
	text, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(text)
	if err != nil || !ok {
		g.Fatalf("no weir_notify_waiting: %v", err)
	}
	return n
}

// tick is when to ask again: what is asked for is an operator's view, which is not told.
func (*world) tick() <-chan time.Time { return time.After(5 * time.Millisecond) }
