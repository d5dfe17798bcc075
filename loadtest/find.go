package loadtest

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"weir/loadtest/record"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
)

// Goal is what a rate must hold in FindMax.
type Goal struct {
	P99   time.Duration // 100ms
	Probe time.Duration // length of one try, the warm-up not counted; 3s
}

// The search: doubling until it fails, then halving the gap a fixed number of times, which leaves about
// 2 %, then the scenario's whole duration for the winner, and a little less when it fails at that.
const (
	searchFrom    = 100_000.0 // deliveries a second, when no rate is given
	searchDoubles = 20
	searchHalves  = 5
	searchVerify  = 5
	searchBack    = .95
	searchLeast   = 1.0 // messages a second
)

// FindMax searches the highest rate at which a scenario loses nothing and stays within the goal. The
// record is that of the winner over the scenario's whole duration (of the last try when none held), with
// all probes in its End. Errors are those of Run.
func FindMax(ctx context.Context, cfg Config, goal Goal) (*record.Record, error) {
	if goal.P99 <= 0 {
		goal.P99 = 100 * time.Millisecond
	}
	if goal.Probe <= 0 {
		goal.Probe = 3 * time.Second
	}
	s := &cfg.Scenario
	if len(s.Stages) > 0 || s.Paced() {
		return nil, fmt.Errorf("find-max: expected a scenario with one rate, without stages, a closed loop or think time: %w", scenario.ErrInvalid)
	}
	if s.Checked == scenario.Auto { // the rate is not known beforehand
		s.Checked = scenario.Share
	}
	if s.Drain == 0 {
		s.Drain = 5 * time.Second
	}
	start := s.Rate
	if start == 0 {
		s.Rate = searchLeast
	}
	e, err := newEngine(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer e.close()
	if start == 0 || start < searchLeast {
		start = max(searchFrom/max(e.plan.Deliveries(), 1), searchLeast)
	}
	e.plan.Rate = start
	if err := e.setup(ctx); err != nil {
		return nil, err
	}
	f := &finder{e: e, goal: goal}
	err = search(start, func(rate float64, verify bool) (bool, error) { return f.try(ctx, rate, verify) })
	if f.last == nil {
		return nil, err
	}
	if f.best != nil {
		f.last = f.best
	}
	f.last.End.Probes = f.probes
	if err != nil {
		f.last.End.Complete = false
		f.last.End.Messages = append(f.last.End.Messages, "the search ended early: "+err.Error())
	}
	return f.last, nil
}

// finder holds a search's connections and outcomes.
type finder struct {
	e      *engine
	goal   Goal
	number int
	probes []record.Probe
	last   *record.Record
	best   *record.Record // of the last verification that held
}

// try runs one probe.
func (f *finder) try(ctx context.Context, rate float64, verify bool) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s := f.e.plan.Scenario
	s.Rate = rate
	if !verify {
		s.Duration = f.goal.Probe
	}
	plan, err := scenario.New(s)
	if err != nil {
		return false, err
	}
	f.number++
	if f.last, err = f.e.trial(ctx, plan, f.number); err != nil {
		return false, err
	}
	res := report.New(f.last)
	p := record.Probe{Rate: rate, Deliveries: res.DeliveriesPerSecond, P99: res.LatencyMs.P99}
	p.Why = f.goal.broken(res)
	p.Held = p.Why == ""
	f.probes = append(f.probes, p)
	if p.Held && verify {
		f.best = f.last
	}
	return p.Held, f.recover(ctx)
}

// recover lets the target come to rest and opens the connections that it has cut.
func (f *finder) recover(ctx context.Context) error {
	if err := f.e.quiet(ctx); err != nil {
		return err
	}
	f.e.settingUp.Store(true)
	defer f.e.settingUp.Store(false)
	if err := f.e.connect(ctx); err != nil {
		return err
	}
	return f.e.quiet(ctx)
}

// broken returns why a result misses the goal; empty when it holds. That the tool itself was late or busy
// is no reason, since that only adds to the latency; it is named when something else is.
func (g Goal) broken(r *report.Result) string {
	var why []string
	no := func(format string, args ...any) { why = append(why, fmt.Sprintf(format, args...)) }
	if limit := float64(g.P99) / 1e6; r.LatencyMs.P99 > limit {
		no("p99 %.1f ms", r.LatencyMs.P99)
	}
	for _, c := range []struct {
		n    uint64
		what string
	}{
		{r.Lost, "lost"}, {r.Duplicated, "duplicated"}, {r.Reordered, "reordered"}, {r.Corrupted, "corrupted"},
		{r.Refused, "refused"}, {r.Unsent, "not taken"}, {r.Connections.Closed, "connections ended by the target"},
	} {
		if c.n > 0 {
			no("%d %s", c.n, c.what)
		}
	}
	if r.LatencyMs.Count == 0 {
		no("nothing arrived")
	}
	if len(why) > 0 {
		why = append(why, r.InvalidBecause...)
	}
	return strings.Join(why, "; ")
}

// search drives probe to the highest rate that holds. A probe that fails is given a second chance while
// searching, since one disturbance of the machine should not end it; the winner is verified.
func search(start float64, probe func(rate float64, verify bool) (held bool, err error)) error {
	try := func(rate float64) (held bool, err error) {
		if held, err = probe(rate, false); !held && err == nil {
			held, err = probe(rate, false)
		}
		return held, err
	}
	low, high := 0.0, math.Inf(1)
	for rate, n := start, 0; n < searchDoubles && rate >= searchLeast; n++ {
		held, err := try(rate)
		if err != nil {
			return err
		}
		if held {
			low = rate
		} else {
			high = rate
		}
		if low > 0 && !math.IsInf(high, 1) {
			break
		}
		if rate *= 2; !held {
			rate /= 4
		}
	}
	if low == 0 {
		return nil // nothing holds, not even the least
	}
	for range searchHalves {
		if math.IsInf(high, 1) {
			break
		}
		middle := math.Sqrt(low * high)
		held, err := try(middle)
		if err != nil {
			return err
		}
		if held {
			low = middle
		} else {
			high = middle
		}
	}
	for range searchVerify {
		held, err := probe(low, true)
		if err != nil || held {
			return err
		}
		low *= searchBack
	}
	return nil
}
