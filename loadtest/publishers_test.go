package loadtest

import (
	"testing"
	"time"

	"weir/loadtest/scenario"
)

// Many requests a second leave some at a time, few of them each at its time.
func TestRequestsGather(t *testing.T) {
	for rate, want := range map[float64]int64{1000: 100, 3000: 100, 5000: gatherFor, 50_000: gatherFor} {
		plan, err := scenario.New(scenario.Scenario{Name: "gather", Measure: scenario.Delivery, Channels: 1, Subscribers: 1, Publishers: 1, Rate: rate, Duration: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		p := publishers{next: 5}
		tr := &trial{plan: plan, base: 1_000_000}
		due, _ := p.due(tr, 0)
		if got := p.gather(tr, due-100, due) - (due - 100); got != want {
			t.Errorf("%v requests a second: %d ns to the next, want %d", rate, got, want)
		}
	}
}
