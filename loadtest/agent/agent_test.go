package agent_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/loadtest"
	"weir/loadtest/agent"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

const secret = "what they all know"

// broadcast is a server that sends to all what one sends; drop says which deliveries do not happen.
func broadcast(t *testing.T, drop func(n int64) bool) (address string) {
	t.Helper()
	type client struct{ send chan []byte }
	var all [256]atomic.Pointer[client]
	var joined, delivered atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		me := &client{send: make(chan []byte, 10_000)}
		at := joined.Add(1) % int64(len(all))
		all[at].Store(me)
		defer all[at].Store(nil)
		own, done := context.WithCancel(ctx)
		defer done()
		go func() { // ends with the connection
			for {
				select {
				case <-own.Done():
					return
				case msg := <-me.send:
					if c.Write(own, websocket.MessageText, msg) != nil {
						return
					}
				}
			}
		}()
		for {
			_, msg, err := c.Read(own)
			if err != nil {
				return
			}
			for i := range all {
				if o := all[i].Load(); o != nil && o != me && (drop == nil || !drop(delivered.Add(1))) {
					o.send <- msg
				}
			}
		}
	}))
	t.Cleanup(func() {
		stop()
		s.Close()
	})
	return s.URL
}

// start runs n agents whose target is at an address, and returns where they are.
func start(t *testing.T, n int, address string) (names []string) {
	t.Helper()
	for range n {
		a := agent.NewServer(secret, func(spec []byte, s scenario.Scenario) (loadtest.Config, func(), error) {
			if string(spec) != "spec" {
				return loadtest.Config{}, nil, errors.New("the spec has not come")
			}
			return loadtest.Config{Scenario: s, Target: target.Options{Name: "ws", URL: address}}, func() {}, nil
		})
		s := httptest.NewServer(a)
		t.Cleanup(func() {
			a.Close()
			s.Close()
		})
		names = append(names, strings.TrimPrefix(s.URL, "http://"))
	}
	return names
}

func plan() scenario.Scenario {
	return scenario.Scenario{Name: "shared", Subscribers: 30, Publishers: 6, Rate: 60, Duration: 2 * time.Second, Warmup: -1, Drain: 5 * time.Second}
}

// What one agent publishes is expected at the others, and all of it comes.
func TestAgentsAccountForEveryDeliveryTogether(t *testing.T) {
	names := start(t, 3, broadcast(t, nil))
	for range 2 { // one test after the other
		rec, err := agent.Run(t.Context(), agent.Config{Agents: names, Secret: secret, Scenario: plan(), Spec: []byte("spec")})
		if err != nil {
			t.Fatal(err)
		}
		res := report.New(rec)
		if res.Expected != 120*30 || res.Received != 120*30 || res.Lost+res.Duplicated+res.Reordered+res.Corrupted != 0 {
			t.Errorf("expected %d, received %d, lost %d, duplicated %d, corrupted %d", res.Expected, res.Received, res.Lost, res.Duplicated, res.Corrupted)
		}
		if res.LatencyMs.Count != 120*10 { // by one clock: each agent's own messages at its own 10 subscribers
			t.Errorf("%d latencies", res.LatencyMs.Count)
		}
		if len(res.Agents) != 3 || res.Setup.Subscribers != 30 || res.Agents[1].Subscribers != 10 || res.Agents[1].Publishers != 2 {
			t.Errorf("%+v", res.Agents)
		}
		for _, a := range res.Agents {
			if most := a.UncertaintyMs + 50; a.OffsetMs < -most || a.OffsetMs > most || a.UncertaintyMs <= 0 { // a system may set its clock meanwhile
				t.Errorf("one clock is ahead of itself: %+v", a)
			}
		}
	}
}

// Losses are found wherever they are.
func TestAgentsFindLosses(t *testing.T) {
	names := start(t, 2, broadcast(t, func(n int64) bool { return n > 1000 && n <= 1007 }))
	rec, err := agent.Run(t.Context(), agent.Config{Agents: names, Secret: secret, Scenario: plan(), Spec: []byte("spec")})
	if err != nil {
		t.Fatal(err)
	}
	// The server sends to publishers too, which do not count.
	if res := report.New(rec); res.Lost == 0 || res.Lost > 7 || res.Received != res.Expected-res.Lost {
		t.Errorf("lost %d of %d", res.Lost, res.Expected)
	}
}

func TestAgentsThatCannotBeUsed(t *testing.T) {
	names := start(t, 2, broadcast(t, nil))
	run := func(change func(*agent.Config)) error {
		cfg := agent.Config{Agents: names, Secret: secret, Scenario: plan(), Spec: []byte("spec")}
		change(&cfg)
		_, err := agent.Run(t.Context(), cfg)
		return err
	}
	for _, tt := range []struct {
		change func(*agent.Config)
		kind   error
		want   string
	}{
		{func(c *agent.Config) { c.Secret = "another" }, agent.ErrAgent, "the secret is not that of this agent"},
		{func(c *agent.Config) { c.Agents = []string{names[0], "127.0.0.1:1"} }, agent.ErrAgent, "agent 127.0.0.1:1"},
		{func(c *agent.Config) { c.Spec = nil }, agent.ErrAgent, "the spec has not come"},
		{func(c *agent.Config) { c.Scenario.Channels = -1 }, scenario.ErrInvalid, "channels"},
		{func(c *agent.Config) { c.Agents = []string{names[0], names[0]} }, agent.ErrAgent, "busy"},
	} {
		if err := run(tt.change); !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, expected %q", err, tt.want)
		}
	}
	if err := run(func(*agent.Config) {}); err != nil { // they are free again
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err := agent.Run(ctx, agent.Config{Agents: names, Secret: secret, Scenario: plan(), Spec: []byte("spec"), Progress: func(p loadtest.Progress) {
		if p.Sent > 0 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// forward passes connections on to an address, byte by byte.
func forward(t *testing.T, to string) http.Handler {
	t.Helper()
	u, err := url.Parse("http://" + to)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }, Transport: transport}
}
