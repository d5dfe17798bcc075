package admin

import (
	"encoding/json"
	"math"
	"testing"
)

// recorded is what the dashboard is told of figures.
type recorded struct {
	From   int64
	Series map[string][]*float64
}

func read(t *testing.T, c *recorder, after int64) recorded {
	t.Helper()
	var out recorded
	if err := json.Unmarshal(append(c.append([]byte{'{'}, after), '}'), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// An hour is kept, second by second: what was slept through is not known, and a clock that was set back does not make a
// second twice.
func TestRecorder(t *testing.T) {
	t.Parallel()
	c := newRecorder(nil)
	if x := read(t, c, 0); len(x.Series["cpu"]) != 0 {
		t.Error("figures before the first second", x)
	}
	row := func(second int64, connections float64, published uint64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.add(second, Reading{Gauges: map[string]float64{"connections": connections}, Counts: map[string]uint64{"published": published}})
	}
	row(1000, 1, 10)
	row(1003, 2, 20)
	row(990, 3, 30) // the clock was set back
	x := read(t, c, 0)
	want := []float64{1, math.NaN(), math.NaN(), 2, 3}
	if x.From != 1000 || len(x.Series["connections"]) != len(want) {
		t.Fatalf("%+v", x)
	}
	for i, v := range x.Series["connections"] {
		if (v == nil) != math.IsNaN(want[i]) || v != nil && *v != want[i] {
			t.Error(i, v)
		}
	}
	if x.Series["latency/p99"][0] != nil || *x.Series["published"][4] != 30 {
		t.Errorf("%+v", x.Series)
	}
	for after, n := range map[int64]int{1002: 2, 1003: 1, 1004: 0, 5000: 0, -7: 5} {
		if x := read(t, c, after); len(x.Series["cpu"]) != n || n > 0 && x.From != max(after, 999)+1 {
			t.Errorf("after %d: from %d, %d of %d", after, x.From, len(x.Series["cpu"]), n)
		}
	}
	for i := range int64(recordedSeconds) + 50 {
		row(1005+i, float64(i), 0)
	}
	x = read(t, c, 0)
	if n := len(x.Series["connections"]); n != recordedSeconds || x.From != 1055 || *x.Series["connections"][0] != 50 || *x.Series["connections"][n-1] != recordedSeconds+49 {
		t.Errorf("from %d, %d", x.From, n)
	}
	row(1_000_000, 7, 0) // a laptop that slept
	if x := read(t, c, 999_998); x.From != 999_999 || x.Series["connections"][0] != nil || *x.Series["connections"][1] != 7 {
		t.Errorf("%+v", x)
	}
}
