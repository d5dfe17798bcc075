package analytics

import (
	"testing"

	"pgregory.net/rapid"
)

// A series holds what a map of all steps holds, as far back as it promises.
func TestSeriesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const kept = 120
		s := newSeries(kept)
		model := make(map[int64]point)
		step := rapid.Int64Range(0, 1e9).Draw(t, "start")
		for range rapid.IntRange(1, 50).Draw(t, "points") {
			step += rapid.SampledFrom([]int64{0, 1, 1, 2, 59, 60, 61, 300}).Draw(t, "gap")
			p := point{rapid.Uint64Range(0, 5).Draw(t, "count"), float64(rapid.IntRange(-9, 9).Draw(t, "sum"))}
			s.add(step, p)
			q := model[step]
			q.add(p)
			model[step] = q
		}
		for back := range int64(kept) {
			if at := step - back; at >= 0 && s.at(at) != model[at] {
				t.Fatalf("step %d: %v, not %v", at, s.at(at), model[at])
			}
		}
		from := max(step-rapid.Int64Range(0, kept-1).Draw(t, "span"), 0)
		var want point
		for at := from; at <= step; at++ {
			want.add(model[at])
		}
		if got := s.sum(from, step+1); got != want {
			t.Fatalf("sum of %d to %d is %v, not %v", from, step, got, want)
		}
	})
}
