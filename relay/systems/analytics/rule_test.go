package analytics

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// watch feeds a rule with the values of one second after the other, a count of events each, and answers what it
// told in each: "+" raised, "-" cleared, "." nothing.
func watch(a Alert, counts ...uint64) string {
	m := newMetric("api", "request", "", false)
	r := newRule(a, false)
	var b strings.Builder
	for i, n := range counts {
		second := int64(1000 + i)
		m.now = point{n, float64(n)}
		m.roll(second)
		switch {
		case !r.step(m, second, 1000):
			b.WriteByte('.')
		case r.raised:
			b.WriteByte('+')
		default:
			b.WriteByte('-')
		}
	}
	return b.String()
}

func TestRule(t *testing.T) {
	rule := func(change func(*Alert)) Alert {
		a := Alert{Name: "a", Metric: "api.request", Of: alertCount, When: alertAbove, Window: time.Second, Threshold: new(10.0), Clear: new(5.0)}
		change(&a)
		return a
	}
	for _, tt := range []struct {
		name   string
		change func(*Alert)
		counts []uint64
		want   string
	}{
		{"raised once, cleared once", func(*Alert) {}, []uint64{0, 10, 50, 7, 12, 5, 4, 0, 9, 10}, ".+....-..+"},
		{"without a threshold of its own to clear", func(a *Alert) { a.Clear = a.Threshold }, []uint64{10, 9, 10}, "+-+"},
		{"hold", func(a *Alert) { a.Hold = 2 * time.Second }, []uint64{10, 11, 3, 12, 12, 12, 3, 3, 6, 3, 3, 3}, ".....+.....-"},
		{"rate", func(a *Alert) { a.Of, a.Window = alertRate, 2*time.Second }, []uint64{19, 0, 0, 20, 0, 0}, "...+.-"},
		{"sum", func(a *Alert) { a.Of, a.Window = alertSum, 3*time.Second }, []uint64{4, 4, 4, 0, 0, 0}, "..+.-."},
		{"mean of nothing is no reason to go on", func(a *Alert) { a.Of = alertMean; a.Threshold, a.Clear = new(1.0), new(0.5) }, []uint64{0, 3, 0}, ".+-"},
		{"below, not before a window has passed", func(a *Alert) {
			a.When, a.Window, a.Threshold, a.Clear = alertBelow, 3*time.Second, new(0.0), new(1.0)
		}, []uint64{0, 0, 0, 0, 1, 1, 0, 0, 0}, "..+..-..+"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := watch(rule(tt.change), tt.counts...); got != tt.want {
				t.Errorf("%v: %s, not %s", tt.counts, got, tt.want)
			}
		})
	}
}

// Whatever comes, an alert is raised and cleared in turn; it is raised only when the threshold has been reached and
// cleared only below the other one.
func TestRuleAlternates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hold := rapid.IntRange(0, 3).Draw(t, "hold")
		a := Alert{Metric: "api.request", Of: alertCount, When: alertAbove, Window: time.Second, Threshold: new(10.0), Clear: new(5.0), Hold: time.Duration(hold) * time.Second}
		counts := rapid.SliceOfN(rapid.Uint64Range(0, 15), 1, 60).Draw(t, "counts")
		told := watch(a, counts...)
		raised := false
		for i, c := range told {
			if c == '.' {
				continue
			}
			if (c == '+') == raised {
				t.Fatalf("%s for %v", told, counts)
			}
			raised = c == '+'
			for j := i - hold; j <= i; j++ {
				if j < 0 || raised && counts[j] < 10 || !raised && counts[j] >= 5 {
					t.Fatalf("%s for %v, at %d", told, counts, i)
				}
			}
		}
	})
}

func TestMessage(t *testing.T) {
	r := newRule(Alert{Metric: "api.request", When: alertAbove, Window: time.Minute, Threshold: new(10.0), Clear: new(2.5)}, false)
	r.raised, r.value = true, 1234.5678
	if got := r.message(); got != "api.request: the rate over 1m is 1234.57, above 10" {
		t.Error(got)
	}
	r.raised, r.value = false, 1
	if got := r.message(); got != "api.request: the rate over 1m is 1, below 2.5" {
		t.Error(got)
	}
	r.config.Message = "as told"
	if got := r.message(); got != "as told" {
		t.Error(got)
	}
}
