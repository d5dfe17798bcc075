package simulate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"weir/relay/relaytest/ledger"
)

// The judge is judged: each kind of defect is found, and found as what it is.
func TestDefectsAreFound(t *testing.T) {
	for _, test := range []struct {
		defect Defect
		found  func(v ledger.Verdict) bool // by the ledger
		word   string                      // in what the clients say
	}{
		{None, ledger.Verdict.OK, ""},
		{Drop, func(v ledger.Verdict) bool { return v.Lost > 0 }, " after "},
		{Repeat, func(v ledger.Verdict) bool { return v.Duplicated > 0 }, " after "},
		{Reorder, func(v ledger.Verdict) bool { return v.Reordered > 0 }, " after "},
		{Damage, func(v ledger.Verdict) bool { return v.Corrupted > 0 }, ""},
		{Skip, func(ledger.Verdict) bool { return true }, "recovered up to"},
		{Stale, func(ledger.Verdict) bool { return true }, "stands in map:"},
		{Forget, func(v ledger.Verdict) bool { return v.Lost+v.Disagreed > 0 }, ""},
	} {
		t.Run(string(test.defect), func(t *testing.T) {
			t.Parallel()
			// A story may spare the one client that has the defect: it is cut off just then and resumes, or follows little.
			for seed := uint64(3); ; seed++ {
				o := Options{Seed: seed, Span: 90 * time.Second, Pace: 300 * time.Millisecond, Clients: 6, Channels: 5, Defect: test.defect}
				out := play(t, o)
				if out.OK() == (test.defect == None) && test.found(out.Verdict) && strings.Contains(strings.Join(out.Problems, "\n"), test.word) {
					return
				}
				if test.defect == None || seed == 8 {
					t.Fatalf("not found: %v %q", out, out.Problems)
				}
				t.Logf("seed %d does not show it: %v", seed, out)
			}
		})
	}
}

// The same seed gives the same story, another seed another.
func TestStoryRepeats(t *testing.T) {
	o := Options{Seed: 7, Span: time.Minute, Clients: 6}
	one, two := play(t, o), play(t, o)
	judge(t, o, one)
	judge(t, o, two)
	if len(one.Story) < 30 || !slices.Equal(one.Story, two.Story) {
		t.Errorf("two stories of %d and %d steps", len(one.Story), len(two.Story))
	}
	o.Seed++
	if slices.Equal(one.Story, play(t, o).Story) {
		t.Error("another seed has the same story")
	}
}

// A plan has every kind of step, in order, and some at the same time.
func TestPlan(t *testing.T) {
	plan := draw(Options{Seed: 1, Span: 24 * time.Hour}.filled())
	seen := make(map[string]int)
	for i, s := range plan {
		seen[s.what]++
		if i > 0 && s.at < plan[i-1].at {
			t.Fatalf("%v after %v", s, plan[i-1])
		}
		if i > 0 && s.at == plan[i-1].at {
			seen["at once"]++
		}
	}
	for _, c := range append(chances, chance{what: "at once"}) {
		if seen[c.what] == 0 {
			t.Errorf("no %s among %d steps", c.what, len(plan))
		}
	}
}
