package loadtest

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"weir/loadtest/fake"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// Whatever the capacity and wherever the search starts, it ends within 3 % below the capacity.
func TestSearchFindsTheCapacity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := math.Pow(10, rapid.Float64Range(.5, 6).Draw(t, "log10 capacity"))
		start := capacity * math.Pow(2, rapid.Float64Range(-15, 8).Draw(t, "log2 start"))
		if start < searchLeast {
			start = searchLeast
		}
		found, probes := 0.0, 0
		err := search(start, func(rate float64, verify bool) (bool, error) {
			probes++
			if verify {
				found = rate
			}
			return rate <= capacity, nil
		})
		if err != nil || found > capacity || found < capacity*.97 || probes > 60 {
			t.Fatalf("capacity %v, start %v: found %v with %d probes, %v", capacity, start, found, probes, err)
		}
	})
}

// The latency of a queue with a known capacity grows without bound above it: M/D/1, where p99 is known
// to stay below a limit up to a utilisation that can be calculated.
func TestSearchHoldsALatency(t *testing.T) {
	const capacity, limit = 10_000.0, 50.0 // messages a second, ms
	p99 := func(rate float64) float64 {
		if rate >= capacity {
			return math.Inf(1)
		}
		u := rate / capacity
		return 1e3 / capacity * (1 + u/(2*(1-u))*math.Log(100)) // mean wait, exponential tail
	}
	found := 0.0
	err := search(300, func(rate float64, verify bool) (bool, error) {
		if verify {
			found = rate
		}
		return p99(rate) <= limit, nil
	})
	want := 0.0
	for r := 1.0; p99(r) <= limit; r++ {
		want = r
	}
	if err != nil || found > want || found < want*.97 {
		t.Errorf("found %v, want %v, %v", found, want, err)
	}
}

// One disturbance does not end the search; a verification that fails goes back a little.
func TestSearchForgivesOneDisturbance(t *testing.T) {
	calls, verified := 0, []float64{}
	_ = search(100, func(rate float64, verify bool) (bool, error) {
		calls++
		if verify {
			verified = append(verified, rate)
			return len(verified) == 3, nil
		}
		return calls != 3 && rate <= 1000, nil
	})
	if len(verified) != 3 || verified[0] < 970 || verified[0] > 1000 || math.Abs(verified[2]-verified[0]*.95*.95) > 1e-9 {
		t.Errorf("verified %v", verified)
	}
	if err := search(100, func(float64, bool) (bool, error) { return false, nil }); err != nil {
		t.Error(err)
	}
}

// The whole search in virtual time, against a server that refuses what is more than 250 messages a
// second.
func TestFindMaxAgainstAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var window []time.Time
		srv := fake.New(fake.Config{Refuse: func(int) bool {
			now := time.Now()
			for len(window) > 0 && now.Sub(window[0]) > time.Second {
				window = window[1:]
			}
			window = append(window, now)
			return len(window) > 250
		}})
		defer srv.Close()
		rec, err := FindMax(context.Background(), Config{
			Scenario: scenario.Scenario{Name: "find", Subscribers: 4, Rate: 20, Duration: 5 * time.Second, Publishers: 1},
			Target:   target.Options{Name: "weir"}, Dial: srv.Dial,
		}, Goal{P99: 10 * time.Millisecond, Probe: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		res := report.New(rec)
		// real CPU time counts against virtual seconds: only what the server did is judged here
		if len(res.Search) < 10 || res.Refused != 0 || res.PublishesPerSecond > 250 || res.PublishesPerSecond < 235 {
			t.Errorf("%v publishes/s, refused %d, search %+v", res.PublishesPerSecond, res.Refused, res.Search)
		}
	})
}
