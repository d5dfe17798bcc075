package loadtest

import (
	"math"
	"testing"

	"pgregory.net/rapid"
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
