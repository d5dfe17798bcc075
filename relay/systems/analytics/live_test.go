package analytics_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/analytics"
)

func TestMain(m *testing.M) { relaytest.Main(m) }

func start(t *testing.T, prepare ...func(*config.Config)) *relaytest.Rig {
	t.Helper()
	return relaytest.Start(t, func(c *config.Config) {
		for _, f := range prepare {
			f(c)
		}
	}, analytics.New())
}

// emit sends an event as a backend.
func emit(g *relaytest.Rig, topic, data string) {
	g.Helper()
	if status, out := g.Backend("POST", "/v1/events", fmt.Sprintf(`{"topic":%q,"data":%s}`, topic, data)); status != 202 {
		g.Fatal(status, out)
	}
}

// board is a dashboard.
type board struct {
	*relaytest.Peer
	snapshot relaytest.Message
	at       float64
}

// watch opens a dashboard.
func watch(g *relaytest.Rig) *board {
	g.Helper()
	p, status := g.Dial(g.Token("boss", relaytest.Role("admin")), "/analytics/live")
	if p == nil {
		g.Fatal(status)
	}
	return begin(p)
}

func begin(p *relaytest.Peer) *board {
	p.Helper()
	m := p.Next()
	if m["type"] != "snapshot" {
		p.Fatal("the first message is ", m)
	}
	b := &board{Peer: p, snapshot: data(m)}
	b.at = b.snapshot["timestamp"].(float64)
	return b
}

func data(m relaytest.Message) relaytest.Message { return m["data"].(map[string]any) }

// counter is a metric's count and value in the snapshot.
func (b *board) counter(label string) (count, value float64) {
	c, ok := b.snapshot["counters"].(map[string]any)[label].(map[string]any)
	if !ok {
		return 0, 0
	}
	return c["count"].(float64), c["value"].(float64)
}

// glance is what a dashboard sees that comes and goes.
func glance(g *relaytest.Rig) *board {
	g.Helper()
	b := watch(g)
	b.Drop()
	return b
}

// label is the metric that an update or an alert is of.
func label(m relaytest.Message) string {
	s := fmt.Sprint(m["type"], ".", m["action"])
	if name, ok := m["name"]; ok {
		s += fmt.Sprint("/", name)
	}
	return s
}

// update reads up to the next update of a metric.
func (b *board) update(metric string) relaytest.Message {
	b.Helper()
	return data(b.Until(func(m relaytest.Message) bool { return m["type"] == "metric_update" && label(data(m)) == metric }))
}

// TestOnlyAdmins: 403 before the upgrade for others, 401 without a token, and no other way in.
func TestOnlyAdmins(t *testing.T) {
	g := start(t)
	if p, status := g.Dial(g.Token("u1"), "/analytics/live"); p != nil || status != 403 {
		t.Error("a user", status)
	}
	if p, status := g.Dial(g.Token("u1", relaytest.Role("administrator")), "/analytics/live"); p != nil || status != 403 {
		t.Error("another role", status)
	}
	if p, status := g.Dial("", "/analytics/live"); p != nil || status != 401 {
		t.Error("nobody", status)
	}
	if status, _ := g.As("u1", "GET", "/analytics/history", nil); status != 403 {
		t.Error("history", status)
	}
	p := g.WS("u1", "/ws")
	for _, channel := range []string{"analytics:live", "analytics:state"} {
		p.Send(relaytest.Message{"type": "subscribe", "id": 1, "channel": channel})
		if m := p.Type("error"); m["code"] != "forbidden" {
			t.Error(channel, m)
		}
	}
}

// TestSnapshotThenUpdates: counters, rates and alerts first; then what happens, and 0 is 0.
func TestSnapshotThenUpdates(t *testing.T) {
	g := start(t)
	b := watch(g)
	for _, part := range []string{"counters", "rates", "gauges", "alerts"} {
		if b.snapshot[part] == nil {
			t.Error(part, "is missing")
		}
	}
	for range 3 {
		emit(g, "user.action", `{"value":0}`)
	}
	emit(g, "api.request", `{"name":"GET /cart","value":2.5}`)
	emit(g, "api.request", `{"name":"GET /cart"}`)
	emit(g, "system.event", `null`)
	var count, value float64
	for count < 3 {
		m := b.update("user.action")
		count, value = count+m["count"].(float64), value+m["value"].(float64)
		if m["timestamp"].(float64) <= b.at {
			t.Error("told before the snapshot", m)
		}
	}
	if count != 3 || value != 0 {
		t.Error(count, value)
	}
	for metric, want := range map[string][2]float64{"user.action": {3, 0}, "api.request/GET /cart": {2, 3.5}, "api.request": {0, 0}, "system.event": {1, 1}} {
		g.Await(func() bool {
			count, value := glance(g).counter(metric)
			return count == want[0] && value == want[1]
		})
	}
}

// TestQuietMetricIsToldOnce as 0, and then not.
func TestQuietMetricIsToldOnce(t *testing.T) {
	g := start(t)
	b := watch(g)
	emit(g, "user.action", `{"value":7}`)
	if m := b.update("user.action"); m["value"] != 7.0 {
		t.Error(m)
	}
	if m := b.update("user.action"); m["value"] != 0.0 || m["count"] != 0.0 {
		t.Error(m)
	}
	emit(g, "system.event", `{}`)
	b.Until(func(m relaytest.Message) bool {
		if m["type"] == "metric_update" && label(data(m)) == "user.action" {
			t.Error("told again", m)
		}
		return m["type"] == "metric_update" && label(data(m)) == "system.event"
	})
}

// TestNothingBetweenSnapshotAndUpdates, and nothing twice: what a dashboard has seen so far is what the snapshot of
// one that comes later says, while events keep coming.
func TestNothingBetweenSnapshotAndUpdates(t *testing.T) {
	g := start(t)
	first := watch(g)
	done := make(chan struct{})
	var sending sync.WaitGroup
	for range 2 {
		sending.Go(func() { // ends when the dashboards have been looked at
			for {
				select {
				case <-done:
					return
				default:
					emit(g, "user.action", `{"value":3}`)
				}
			}
		})
	}
	var later []*board
	pace := time.NewTicker(700 * time.Millisecond) // at any point of a second
	defer pace.Stop()
	for range 4 {
		<-pace.C
		later = append(later, watch(g))
	}
	count, value := first.counter("user.action")
	next := 0
	seen := make(map[float64]bool)
	for next < len(later) {
		m := first.update("user.action")
		at := m["timestamp"].(float64)
		for ; next < len(later) && later[next].at < at; next++ {
			if c, v := later[next].counter("user.action"); c != count || v != value {
				t.Errorf("snapshot of %v: %v %v, told until then: %v %v", later[next].at, c, v, count, value)
			}
			if m := later[next].update("user.action"); m["timestamp"].(float64) != later[next].at+1000 {
				t.Errorf("the first update after the snapshot of %v is %v", later[next].at, m)
			}
		}
		if seen[at] {
			t.Error("a second is told twice", at)
		}
		seen[at] = true
		count, value = count+m["count"].(float64), value+m["value"].(float64)
	}
	close(done)
	sending.Wait()
	if count == 0 || len(seen) < 2 {
		t.Error("nothing was told")
	}
}

// TestBadEvents are refused with the field that is wrong, and counted nowhere.
func TestBadEvents(t *testing.T) {
	g := start(t)
	for _, tt := range []struct{ data, field string }{{`{"value":"7"}`, "value"}, {`{"value":1e400}`, "value"}, {`{"name":"a\nb"}`, "name"}, {`[1]`, "data"}} {
		status, out := g.Backend("POST", "/v1/events", `{"topic":"user.action","data":`+tt.data+`}`)
		if status != 400 || !strings.Contains(fmt.Sprint(out), tt.field) {
			t.Error(tt, status, out)
		}
	}
	_, _, out := g.Do("POST", "/v1/events", `{"topic":"user.action"}`+"\n"+`{"topic":"user.action","data":{"value":true}}`+"\n"+`{"topic":"api.request","data":{}}`+"\n",
		"Authorization: Bearer the-key-of-the-backend-in-the-tests", "Content-Type: application/x-ndjson")
	if lines := strings.Split(strings.TrimSpace(fmt.Sprint(out)), "\n"); len(lines) != 3 || lines[0] != "{}" || !strings.Contains(lines[1], `"line":2`) || lines[2] != "{}" {
		t.Error(out)
	}
	g.Await(func() bool { n, _ := glance(g).counter("user.action"); return n == 1 })
}

// TestMetricsAreBounded: what comes beyond is counted as "other" of its topic.
func TestMetricsAreBounded(t *testing.T) {
	g := start(t, func(c *config.Config) { config.Of[analytics.Config](c).Metrics = 2 })
	for i := range 50 {
		emit(g, "user.action", fmt.Sprintf(`{"name":"n%d"}`, i))
	}
	emit(g, "user.action", `{"name":"n0"}`)
	emit(g, "user.action", `{"name":"other"}`)
	g.Await(func() bool { n, _ := glance(g).counter("user.action/other"); return n == 49 })
	b := watch(g)
	if n, _ := b.counter("user.action/n0"); n != 2 {
		t.Error("n0", n)
	}
	if n, _ := b.counter("user.action/n2"); n != 0 {
		t.Error("n2", n)
	}
}

// TestAlertIsRaisedOnceAndClearedOnce, and found by dashboards that come in between.
func TestAlertIsRaisedOnceAndClearedOnce(t *testing.T) {
	g := start(t, func(c *config.Config) {
		config.Of[analytics.Config](c).Alerts = []analytics.Alert{{Name: "busy", Metric: "weir.sessions/ws", Window: time.Second, Threshold: new(3.0), Level: "critical"}}
	})
	b := watch(g)
	if len(b.snapshot["alerts"].([]any)) != 0 {
		t.Error(b.snapshot)
	}
	one, two := g.WS("u1", "/ws"), g.WS("u2", "/ws")
	m := data(b.Type("alert"))
	metric := m["metric"].(map[string]any)
	if m["name"] != "busy" || m["level"] != "critical" || m["state"] != "raised" || label(metric) != "weir.sessions/ws" || metric["value"] != 3.0 || m["message"] == "" {
		t.Error(m)
	}
	late := watch(g)
	alerts := late.snapshot["alerts"].([]any)
	if len(alerts) != 1 || alerts[0].(map[string]any)["name"] != "busy" || alerts[0].(map[string]any)["state"] != "raised" {
		t.Fatal(alerts)
	}
	late.update("weir.sessions/ws") // and nothing is told of it again
	one.Drop()
	two.Drop()
	for _, b := range []*board{b, late} {
		if m := data(b.Type("alert")); m["state"] != "cleared" || m["name"] != "busy" {
			t.Error(m)
		}
	}
}

// TestAlertsReachBackends as events of their own topic.
func TestAlertsReachBackends(t *testing.T) {
	g := start(t, func(c *config.Config) {
		config.Of[analytics.Config](c).Alerts = []analytics.Alert{{Name: "busy", Metric: "weir.channels", Window: time.Second, Threshold: new(0.0)}}
	})
	g.Await(func() bool {
		status, out := g.Backend("GET", "/v1/channels/event:analytics.alert/history", nil)
		return status == 200 && strings.Contains(fmt.Sprint(out), "busy")
	})
}

// TestRoleIsCheckedAgain when the token is refreshed.
func TestRoleIsCheckedAgain(t *testing.T) {
	g := start(t)
	b := watch(g)
	b.Send(relaytest.Message{"type": "ping", "id": 1})
	if m := b.Type("pong"); m["id"] != 1.0 {
		t.Error(m)
	}
	b.Send(relaytest.Message{"type": "refresh", "id": 2, "token": g.Token("boss", relaytest.Role("admin"))})
	if m := b.Type("ok"); m["id"] != 2.0 || m["expiresAt"].(float64) == 0 {
		t.Error(m)
	}
	b.Send(relaytest.Message{"type": "refresh", "id": 3, "token": "not one"})
	if m := b.Type("error"); m["id"] != 3.0 || m["code"] != "unauthorized" {
		t.Error(m)
	}
	b.Send(relaytest.Message{"type": "refresh", "token": g.Token("eve", relaytest.Role("admin"))})
	if m := b.Type("error"); m["code"] != "forbidden" {
		t.Error(m)
	}
	b.Send(relaytest.Message{"type": "subscribe"})
	if m := b.Type("error"); m["code"] != "unknown_type" {
		t.Error(m)
	}
	b.Send("{")
	b.Type("error")
	b.Send(relaytest.Message{"type": "refresh", "token": g.Token("boss")})
	if code := b.Closed(); code != 4003 {
		t.Error(code)
	}
}

// TestOwnFigures: the relay counts itself.
func TestOwnFigures(t *testing.T) {
	g := start(t)
	p := g.WS("u1", "/ws")
	p.Type("connected")
	p.Send(relaytest.Message{"type": "subscribe", "id": 1, "channel": "a"})
	p.Type("subscribed")
	b := watch(g)
	if status, _ := g.Backend("POST", "/v1/publish", `{"channel":"a","data":1}`); status != 200 {
		t.Fatal(status)
	}
	p.Type("channel_update")
	seen := make(map[string]relaytest.Message)
	busy := false
	b.Until(func(m relaytest.Message) bool {
		switch m["type"] {
		case "metric_update":
			if d := data(m); d["value"].(float64) > 0 || seen[label(d)] == nil {
				seen[label(d)] = d
			}
		case "top":
			g.Backend("POST", "/v1/publish", `{"channel":"a","data":1}`) // one list may be missed by who is late
			for _, c := range data(m)["channels"].([]any) {
				c := c.(map[string]any)
				busy = busy || c["channel"] == "a" && c["messages"].(float64) >= 1 && c["messages"] == c["deliveries"] && c["subscribers"] == 1.0
			}
		}
		return busy && seen["weir.published"] != nil && seen["weir.latency/p99"] != nil
	})
	for metric, least := range map[string]float64{"weir.published": 1, "weir.delivered": 1, "weir.sessions/ws": 2, "weir.connections": 2, "weir.channels": 2, "weir.memory": 1 << 20, "weir.latency/p99": 0.001, "weir.batching": 1} {
		if m := seen[metric]; m == nil || m["value"].(float64) < least {
			t.Error(metric, m)
		}
	}
}

// Who looks at the figures of an idle relay is not what they show.
func TestLookingIsNotCounted(t *testing.T) {
	g := start(t)
	b := watch(g)
	told := 0
	b.Until(func(m relaytest.Message) bool {
		if m["type"] == "metric_update" {
			switch d := data(m); label(d) {
			case "weir.delivered", "weir.frames":
				t.Errorf("%v", d)
			case "weir.latency/p99", "weir.batching":
				t.Errorf("%v", d)
			case "weir.memory":
				told++
			}
		}
		return told == 3
	})
}

// TestAdminListener serves dashboards without a role, to pages of its own only.
func TestAdminListener(t *testing.T) {
	g := start(t)
	admin := *g
	admin.URL = g.Admin
	p, status := admin.Dial("", "/analytics/live")
	if p == nil {
		t.Fatal(status)
	}
	b := begin(p)
	emit(g, "user.action", `{"value":5}`)
	if m := b.update("user.action"); m["value"] != 5.0 {
		t.Error(m)
	}
	b.Send(relaytest.Message{"type": "ping", "id": 1})
	b.Type("pong")
	if status, _, out := admin.Do("GET", "/analytics/history?metric=user.action&span=5", nil); status != 200 || !strings.Contains(fmt.Sprint(out), "user.action") {
		t.Error(status, out)
	}
	if status, _, _ := admin.Do("GET", "/analytics/history?metric=none", nil); status != 400 {
		t.Error(status)
	}
	if status, _, _ := admin.Do("GET", "/analytics/live", nil); status != 400 {
		t.Error("no upgrade", status)
	}
	for origin, want := range map[string]int{"https://evil.example": 403, "null": 403, g.Admin: 101} {
		conn, resp, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(g.Admin, "http")+"/analytics/live", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}})
		if resp == nil || resp.StatusCode != want {
			t.Errorf("%s: %v %v", origin, resp, err)
		}
		if conn != nil {
			_ = conn.CloseNow()
		}
	}
	_, resp, _ := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(g.Admin, "http")+"/analytics/live", &websocket.DialOptions{Host: "evil.example"})
	if resp == nil || resp.StatusCode != 403 {
		t.Error("a name that was made to point here", resp)
	}
	g.Stop()
	if code := b.Closed(); code != 4100 {
		t.Error(code)
	}
}

// TestHistory answers seconds and minutes.
func TestHistory(t *testing.T) {
	g := start(t)
	emit(g, "user.action", `{"value":5}`)
	g.Await(func() bool { n, _ := glance(g).counter("user.action"); return n == 1 })
	token := g.Token("boss", relaytest.Role("admin"))
	for query, steps := range map[string]int{"span=10": 10, "span=3600": 360, "span=3600&step=1": 3600, "span=86400": 1440, "": 300} {
		status, out := g.Call(token, "GET", "/analytics/history?metric=user.action&metric=weir.cpu&"+query, nil)
		if status != 200 {
			t.Fatal(query, status, out)
		}
		metrics := out.(map[string]any)["metrics"].(map[string]any)
		action, cpu := metrics["user.action"].(map[string]any), metrics["weir.cpu"].(map[string]any)
		if len(action["value"].([]any)) != steps || len(action["count"].([]any)) != steps || len(cpu["value"].([]any)) != steps || cpu["gauge"] != true {
			t.Error(query, out)
		}
		if query == "span=10" {
			sum := 0.0
			for _, v := range action["value"].([]any) {
				sum += v.(float64)
			}
			if sum != 5 {
				t.Error(action)
			}
		}
	}
	for _, query := range []string{"span=0", "span=x", "span=86401", "step=7", "span=7200&step=1", "metric=none", "span=3600&step=1" + strings.Repeat("&metric=weir.cpu", 120), "%zz"} {
		if status, out := g.Call(token, "GET", "/analytics/history?"+query, nil); status != 400 {
			t.Error(query[:min(len(query), 30)], status, out)
		}
	}
	if status, out := g.Call(token, "GET", "/analytics/history", nil); status != 200 || len(out.(map[string]any)["metrics"].(map[string]any)) < 20 {
		t.Error(status)
	}
}

// TestRestartKeepsTotalsAndAlerts when there is a data directory.
func TestRestartKeepsTotalsAndAlerts(t *testing.T) {
	dir := t.TempDir()
	prepare := func(c *config.Config) {
		c.Data = dir
		config.Of[analytics.Config](c).Alerts = []analytics.Alert{{Name: "always", Metric: "weir.memory", Window: time.Second, Threshold: new(1.0)}}
	}
	g := start(t, prepare)
	emit(g, "user.action", `{"value":5}`)
	emit(g, "user.action", `{"name":"login","value":2}`)
	g.Await(func() bool { return len(glance(g).snapshot["alerts"].([]any)) == 1 })
	since := watch(g).snapshot["alerts"].([]any)[0].(map[string]any)["since"]
	g.Stop()
	g = start(t, prepare)
	b := watch(g)
	if n, v := b.counter("user.action"); n != 1 || v != 5 {
		t.Error(n, v)
	}
	if n, v := b.counter("user.action/login"); n != 1 || v != 2 {
		t.Error(n, v)
	}
	if alerts := b.snapshot["alerts"].([]any); len(alerts) != 1 || alerts[0].(map[string]any)["since"] != since {
		t.Error(alerts)
	}
}
