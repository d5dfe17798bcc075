package batch

import (
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	begin := time.Now()
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	g := budget{share: 1, credit: maxCredit, settled: begin}
	for _, step := range []struct {
		do     func()
		credit time.Duration
	}{
		{func() { g.rest(at(time.Hour)) }, ms},                                   // credit has a bound
		{func() { g.spend(400*time.Microsecond, at(time.Hour)) }, 600 * 1000},    // small writes are covered
		{func() { g.spend(10*ms, at(time.Hour+10*ms)) }, -9400 * 1000},           // what is beyond is owed
		{func() { g.rest(at(time.Hour + 10*ms)) }, -9400 * 1000},                 // not without time
		{func() { g.rest(at(time.Hour)) }, -9400 * 1000},                         // nor with a clock that jumps
		{func() { g.spend(ms, at(time.Hour+15*ms)) }, -6400 * 1000},              // 4 ms of rest before it
		{func() { g.rest(at(time.Hour + 20*ms)) }, -1400 * 1000},                 //
		{func() { g.spend(time.Second, at(time.Hour+2*time.Second)) }, -50 * ms}, // debt has a bound
	} {
		step.do()
		if g.credit != step.credit || g.allows() != (step.credit > 0) {
			t.Fatalf("credit %v, want %v", g.credit, step.credit)
		}
	}
	if g.rest(at(time.Hour + 2*time.Second + g.wait())); !g.allows() {
		t.Errorf("after waiting credit is %v", g.credit)
	}
}

// Less rest is owed while there is processor time to spare.
func TestBudgetFollowsShare(t *testing.T) {
	begin := time.Now()
	for _, test := range []struct {
		share  float64
		credit time.Duration // after writing for 10 ms
	}{{0, ms}, {0.05, 500 * time.Microsecond}, {0.5, -4 * ms}, {1, -9 * ms}} {
		g := budget{share: test.share, credit: maxCredit, settled: begin}
		if g.spend(10*ms, begin.Add(10*ms)); g.credit != test.credit {
			t.Errorf("share %v: credit %v, want %v", test.share, g.credit, test.credit)
		}
	}
}
