package loadtest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/loadtest"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// startEcho serves WebSockets that get every message back, as often as times says for message n of all.
func startEcho(t *testing.T, times func(n int64) int) (address string, most *atomic.Int64) {
	t.Helper()
	var n, open atomic.Int64
	most = new(atomic.Int64)
	ctx, stop := context.WithCancel(context.Background())
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		most.Store(max(most.Load(), open.Add(1)))
		defer open.Add(-1)
		defer func() { _ = c.CloseNow() }()
		for {
			kind, msg, err := c.Read(ctx)
			if err != nil {
				return
			}
			for range times(n.Add(1)) {
				if c.Write(ctx, kind, msg) != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(func() {
		stop()
		s.Close()
	})
	return s.URL, most
}

func runEcho(t *testing.T, address string, s scenario.Scenario) *report.Result {
	t.Helper()
	s.Name, s.Measure = "echo", scenario.Echo
	rec, err := loadtest.Run(t.Context(), loadtest.Config{Scenario: s, Target: target.Options{Name: "ws", URL: address}})
	if err != nil {
		t.Fatal(err)
	}
	return report.New(rec)
}

func TestEchoAccountsForEveryResponse(t *testing.T) {
	const dropped, doubled = 30, 50
	address, most := startEcho(t, func(n int64) int {
		switch n { // the first is the test's own
		case dropped:
			return 0
		case doubled:
			return 2
		}
		return 1
	})
	res := runEcho(t, address, scenario.Scenario{Subscribers: 10, Rate: 200, Duration: time.Second, Warmup: -1, Drain: time.Second})
	if res.Expected != 200 || res.Lost != 1 || res.Duplicated != 1 || res.Received != 199 || res.Setup.Subscribers != 10 || most.Load() != 10 {
		t.Errorf("expected %d, received %d, lost %d, duplicated %d over %d connections", res.Expected, res.Received, res.Lost, res.Duplicated, most.Load())
	}
	if res.LatencyMs.Count != 199 || res.Measure != "echo" {
		t.Errorf("%s of %+v", res.Measure, res.LatencyMs)
	}
}

// With think time, each connection asks again so long after its response: as many requests as there is time for.
func TestThinkTime(t *testing.T) {
	address, _ := startEcho(t, func(int64) int { return 1 })
	res := runEcho(t, address, scenario.Scenario{Subscribers: 10, Think: 100 * time.Millisecond, Duration: 2 * time.Second, Warmup: -1})
	if res.Expected < 100 || res.Expected > 205 || res.Lost != 0 || res.Loop != "closed" || res.Think != .1 {
		t.Errorf("%d requests, %d lost, %s loop", res.Expected, res.Lost, res.Loop)
	}
	res = runEcho(t, address, scenario.Scenario{Subscribers: 10, Think: 100 * time.Millisecond, Warmup: -1, Stages: []scenario.Stage{
		{Duration: time.Second, Inflight: 2}, {Duration: time.Second, Inflight: 10},
	}})
	if len(res.Stages) != 2 || res.Stages[0].LatencyMs.Count > 25 || res.Stages[1].LatencyMs.Count < 2*res.Stages[0].LatencyMs.Count {
		t.Errorf("%+v", res.Stages)
	}
}

// What is published over HTTP is answered there: such a target echoes by its responses, in virtual time.
func TestEchoOverHTTP(t *testing.T) {
	res, _ := virtual(t, fakeConfig{}, scenario.Scenario{Name: "e", Measure: scenario.Echo, Subscribers: 4, Rate: 100, Duration: time.Second, Warmup: -1}, nil)
	if res.Expected != 100 || res.Received != 100 || res.LatencyMs.Count != 100 || !res.Valid {
		t.Errorf("%+v", res)
	}
	res, _ = virtual(t, fakeConfig{}, scenario.Scenario{Name: "e", Measure: scenario.Echo, Subscribers: 4, Think: 100 * time.Millisecond, Duration: time.Second, Warmup: -1}, nil)
	if res.Expected < 36 || res.Expected > 40 || res.Lost != 0 {
		t.Errorf("%d requests with think time", res.Expected)
	}
}

// Idle connections come in stages.
func TestIdleGrowsInStages(t *testing.T) {
	var at []int64
	res, rec := virtual(t, fakeConfig{}, scenario.Scenario{Name: "i", Measure: scenario.Idle, Warmup: -1, Stages: []scenario.Stage{
		{Duration: 2 * time.Second, Open: 50, Ramp: true}, {Duration: time.Second, Open: 50}, {Duration: time.Second, Open: 80},
	}}, nil)
	for _, b := range rec.Buckets {
		at = append(at, b.Open)
	}
	if !res.Valid || res.Setup.Subscribers != 80 || len(at) < 35 || at[9] < 20 || at[9] > 30 || at[25] != 50 || at[35] != 80 {
		t.Errorf("%v %v: %v", res.Valid, res.InvalidBecause, at)
	}
}

// A closed loop has stages too: of how much is under way.
func TestClosedLoopsHaveStages(t *testing.T) {
	res, _ := virtual(t, fakeConfig{Window: 50 * time.Millisecond}, scenario.Scenario{
		Name: "c", Subscribers: 2, Closed: true, Warmup: -1, Publishers: 64, Stages: []scenario.Stage{{Duration: time.Second, Inflight: 2}, {Duration: time.Second, Inflight: 20}},
	}, nil)
	if len(res.Stages) != 2 || res.Stages[1].LatencyMs.Count < 5*res.Stages[0].LatencyMs.Count || res.Lost != 0 {
		t.Errorf("%+v", res.Stages)
	}
}
