package loadtest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"weir/loadtest"
	"weir/loadtest/protocol"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// Whatever is measured: where everything is accepted and nothing arrives, the run does not count.
func TestNoScenarioCountsWhenAllIsLost(t *testing.T) {
	lost := func(int, int) fault { return lose }
	damaged := func(int, int) fault { return corrupt }
	users := parsed(t, chatting)
	for _, s := range append(scenario.Presets(), users) {
		switch s.Measure {
		case scenario.Idle, scenario.Connect, scenario.Publish, scenario.Echo:
			continue // nothing is delivered to anybody
		}
		if s.Name == "herd" {
			continue // who resumes gets what was lost
		}
		for name, f := range map[string]func(int, int) fault{"lost": lost, "damaged": damaged} {
			t.Run(s.Name+"/"+name, func(t *testing.T) {
				s.Subscribers, s.Churn = min(s.Subscribers, 60), min(s.Churn, 10)
				if len(s.Stages) == 0 {
					s.Duration = 2 * time.Second
				}
				s.Rate = min(s.Rate, 100)
				res, _ := virtual(t, fakeConfig{Fault: f}, s, nil)
				if res.Valid || len(res.InvalidBecause) == 0 {
					t.Errorf("counts: received %d of %d, latency of %d", res.Received, res.Expected, res.LatencyMs.Count)
				}
			})
		}
	}
}

// mute are servers of each kind that take everything and deliver nothing.
func mute() map[string]wire {
	take := func(*wireServer, *wireClient, string) error { return nil }
	accept := func(answer string) func(*wireServer, *http.Request, []byte) (int, string) {
		return func(*wireServer, *http.Request, []byte) (int, string) { return http.StatusOK, answer }
	}
	all := map[string]wire{
		"socket.io": socketIO, "phoenix": phoenix, "action-cable": actionCable, "supabase": supabase, "graphql": graphql,
		"ws":    {path: "/", handle: take},
		"nchan": {path: "/sub", handle: take, publish: accept("")},
		"centrifugo": {path: "/connection/websocket", publish: accept(`{"result":{}}`), handle: func(_ *wireServer, c *wireClient, msg string) error {
			for line := range strings.SplitSeq(msg, "\n") {
				what := "subscribe"
				if strings.Contains(line, `"connect"`) {
					what = "connect"
				}
				c.say(fmt.Sprintf(`{"id":1,%q:{}}`, what))
			}
			return nil
		}},
		"pusher": {path: "/app/key", welcome: `{"event":"pusher:connection_established","data":"{}"}`, publish: accept("{}"), handle: func(_ *wireServer, c *wireClient, _ string) error {
			c.say(`{"event":"pusher_internal:subscription_succeeded","data":"{}"}`)
			return nil
		}},
	}
	for name, w := range all {
		w.delivery = func(string, json.RawMessage) string { return "" }
		all[name] = w
	}
	return all
}

// Whatever is spoken: where everything is accepted and nothing arrives, the run does not count, and says so.
func TestNoTargetCountsWhenAllIsLost(t *testing.T) {
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(silent.Close)
	wires := mute()
	for _, name := range append(target.Names(), protocol.Names()...) {
		w, ok := wires[name]
		switch {
		case name == "weir":
			continue // TestNoScenarioCountsWhenAllIsLost
		case !ok && name != "sse" && name != "mercure":
			t.Fatalf("no server speaks %s", name)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait
			cfg := described(&wireServer{http: silent}, nil)
			if ok {
				p, err := protocol.Preset(name)
				if err != nil {
					t.Fatal(err)
				}
				cfg = described(startWire(t, w), p)
			}
			cfg.Target.Name = name
			switch name {
			case "ws", "sse":
				cfg.Scenario.Channels = 1
			case "pusher":
				cfg.Target.Key = "app:key:secret"
			}
			rec, err := loadtest.Run(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			res := report.New(rec)
			if res.Valid || res.Received != 0 || res.Expected == 0 || !strings.Contains(strings.Join(res.InvalidBecause, "\n"), "all was lost") {
				t.Errorf("valid %v, received %d of %d, %q", res.Valid, res.Received, res.Expected, res.InvalidBecause)
			}
		})
	}
}
