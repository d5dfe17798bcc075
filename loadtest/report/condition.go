package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Condition is a condition under which runs have failed beside others: a Threshold for each of them, such as lost>0, or a
// change from the others, such as p99>+10% or deliveriesPerSecond<-5%.
type Condition struct {
	Threshold
	relative bool
	share    float64
}

// ParseCondition reads a condition. Errors wrap errThreshold.
func ParseCondition(text string) (Condition, error) {
	plain := strings.Join(strings.Fields(text), "")
	at := strings.IndexAny(plain, "<>")
	limit, percent := strings.CutSuffix(plain, "%")
	if at < 0 || !percent {
		t, err := ParseThreshold(text)
		return Condition{Threshold: t}, err
	}
	name, limit := limit[:at], limit[at+1:]
	share, err := strconv.ParseFloat(limit, 64)
	if err != nil || math.IsNaN(share) || math.IsInf(share, 0) || limit[0] != '+' && limit[0] != '-' {
		return Condition{}, fmt.Errorf("%q: expected something like p99>+10%% or deliveriesPerSecond<-5%%: %w", text, errThreshold)
	}
	t, err := ParseThreshold(name + plain[at:at+1] + zeroOf(name)) // only the name and the sign matter
	t.text = plain
	return Condition{Threshold: t, relative: true, share: share / 100}, err
}

// zeroOf is a limit that a number of that name takes.
func zeroOf(name string) string {
	switch {
	case name == "valid":
		return "false"
	case slices.ContainsFunc(metrics, func(m metric) bool { return m.name == strings.ReplaceAll(name, "p99.9", "p999") && m.kind == millis }):
		return "0s"
	}
	return "0"
}

// Finding is what came of a condition.
type Finding struct {
	Condition string   `json:"condition"`
	Failed    bool     `json:"failed"`
	Words     string   `json:"words"`
	Baseline  *float64 `json:"baseline,omitempty"` // median of the baseline's runs; null when not known
	Median    *float64 `json:"median,omitempty"`   // of the others
	Change    *float64 `json:"change,omitempty"`   // as a share; null also from 0
	P         *float64 `json:"p,omitempty"`        // chance of such an order of the runs, or one further apart, without a change; null when there are too few runs to say
}

// noiseMost is the chance of a change that is none from which on a change does not count.
const noiseMost = .05

// Of holds runs against a baseline. A change counts when the medians differ by more than the limit, and the order of all
// runs is not one that comes about by chance (Mann-Whitney, one-sided, 5 %). With so few runs that no order
// would be rare enough, fewer than 3 and 3, the medians alone decide.
func (c Condition) Of(baseline, runs []*Result) Finding {
	f := Finding{Condition: c.text}
	if !c.relative {
		for _, r := range runs {
			if bad, words := c.Threshold.Failed(r); bad || f.Words == "" {
				f.Words = words
				if f.Failed = bad; bad {
					return f
				}
			}
		}
		return f
	}
	before, now := values(c.metric, baseline), values(c.metric, runs)
	if before == nil || now == nil {
		f.Failed, f.Words = true, c.text+": "+c.metric.name+" is not known in every run"
		return f
	}
	b, n := median(before), median(now)
	f.Baseline, f.Median = &b, &n
	change := math.Inf(1)
	switch {
	case b != 0:
		change = (n - b) / b
		f.Change = &change
	case n == 0:
		change = 0
		f.Change = &change
	}
	over := change > c.share
	if c.less {
		over = change < c.share
	}
	words := fmt.Sprintf("%s: %s went from %.6g to %.6g", c.text, c.metric.name, b, n)
	if f.Change != nil {
		words += fmt.Sprintf(" (%+.1f %%)", 100*change)
	}
	p := rank(before, now, c.less)
	if 1/choose(len(before)+len(now), len(now)) > noiseMost {
		f.Failed = over
		f.Words = words + fmt.Sprintf(", medians of %d and %d: too few to tell noise", len(before), len(now))
		return f
	}
	f.P = &p
	f.Failed = over && p <= noiseMost
	f.Words = words + fmt.Sprintf(", medians of %d and %d, p = %.3f", len(before), len(now), p)
	if over && !f.Failed {
		f.Words += ": within noise"
	}
	return f
}

// values are a number of all runs; nil if it is not known in one.
func values(m metric, runs []*Result) (list []float64) {
	for _, r := range runs {
		v := m.of(r)
		if math.IsNaN(v) {
			return nil
		}
		list = append(list, v)
	}
	return list
}

func median(list []float64) float64 {
	s := slices.Sorted(slices.Values(list))
	n := len(s)
	if n == 0 {
		return math.NaN()
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}

// rank is the chance that as many pairs of runs or more stand in the order of a change for the worse, if there is none. Equal
// values count as no change.
func rank(before, now []float64, less bool) float64 {
	worse := 0
	for _, b := range before {
		for _, n := range now {
			if n > b && !less || n < b && less {
				worse++
			}
		}
	}
	// ways[k][u]: to choose k of the ranks so far with u pairs in order
	most := len(before) * len(now)
	ways := make([][]float64, len(now)+1)
	for k := range ways {
		ways[k] = make([]float64, most+1)
	}
	ways[0][0] = 1
	for r := range len(before) + len(now) {
		for k := min(r, len(now)-1); k >= 0; k-- {
			below := r - k // of the others rank below this one
			if below > len(before) {
				continue
			}
			for u := most - below; u >= 0; u-- {
				ways[k+1][u+below] += ways[k][u]
			}
		}
	}
	sum := 0.0
	for u := worse; u <= most; u++ {
		sum += ways[len(now)][u]
	}
	return sum / choose(len(before)+len(now), len(now))
}

// choose is the number of ways to choose k of n.
func choose(n, k int) float64 {
	c := 1.0
	for i := range k {
		c = c * float64(n-i) / float64(i+1)
	}
	return math.Round(c)
}
