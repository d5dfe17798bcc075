package agent

import (
	"fmt"

	"weir/loadtest"
	"weir/loadtest/scenario"
)

// job is what an agent is asked to do.
type job struct {
	Scenario scenario.Scenario `json:"scenario"`
	Part     loadtest.Part     `json:"part"`
	Spec     []byte            `json:"spec"` // what else the test needs, for the maker of the Server
}

// split divides a plan between n agents: connections and load, so that every message has its publisher on one of them.
func split(s scenario.Scenario, n int) (list []job, err error) {
	p, err := scenario.New(s)
	if err != nil {
		return nil, err
	}
	asks := p.Measure == scenario.Echo || p.Measure == scenario.Script
	subscribers, publishers := p.Subscribers, max(p.Publishers, n)
	if asks {
		if subscribers = p.Publishers; subscribers < n {
			return nil, fmt.Errorf("%d connections for %d agents: expected one for each, or more: %w", subscribers, n, scenario.ErrInvalid)
		}
		publishers = subscribers
	}
	if p.Checked > 0 && p.Subscribers > 0 && int(p.Checked) < n {
		return nil, fmt.Errorf("checked: %d for %d agents: expected one for each, or more: %w", p.Checked, n, scenario.ErrInvalid)
	}
	for i := range n {
		at := func(all int) int { return all * i / n }
		size := func(all int) int { return all*(i+1)/n - at(all) }
		j := job{Scenario: s, Part: loadtest.Part{Subscriber: at(subscribers), Publisher: at(publishers), Publishers: publishers}}
		share := float64(size(publishers)) / float64(publishers)
		if p.Measure == scenario.Connect || p.Measure == scenario.Idle {
			share = 1 / float64(n)
		}
		t := &j.Scenario
		t.Subscribers, t.Publishers = size(subscribers), size(publishers)
		t.Rate, t.Churn = s.Rate*share, s.Churn*share
		if p.Closed {
			t.Inflight = max(size(p.Inflight), 1)
		}
		if p.Checked == scenario.Auto {
			t.Checked = p.AutoChecked(n)
		}
		if p.Checked > 0 {
			t.Checked = scenario.Checked(size(int(p.Checked)))
		}
		t.Stages = append([]scenario.Stage(nil), s.Stages...)
		for k := range t.Stages {
			st := &t.Stages[k]
			st.Rate, st.Open, st.Inflight = st.Rate*share, size(st.Open), size(st.Inflight)
		}
		list = append(list, j)
	}
	return list, nil
}
