package scenario

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The timetable keeps its promises for any stages: times never go back, every stage gets as many
// messages as its rates ask for, and nothing is due outside of it.
func TestTimetable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Scenario{Batch: rapid.IntRange(1, 20).Draw(t, "batch"), Warmup: time.Duration(rapid.IntRange(0, 2).Draw(t, "warmup")) * time.Second}
		if s.Warmup == 0 {
			s.Warmup = -1
		}
		for range rapid.IntRange(1, 4).Draw(t, "stages") {
			s.Stages = append(s.Stages, Stage{
				Duration: time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond,
				Rate:     float64(rapid.IntRange(0, 2000).Draw(t, "rate")), Ramp: rapid.Bool().Draw(t, "ramp"),
			})
		}
		p, err := New(s)
		if err != nil {
			t.Fatal(err)
		}
		total, before := 0.0, 0.0
		for i, st := range p.Steps {
			from := st.Rate
			if st.Ramp {
				from = before
			}
			total += (from + st.Rate) / 2 * float64(st.To-st.From) / 1e9
			before = st.Rate
			if i > 0 && p.Steps[i-1].To != st.From {
				t.Fatalf("a gap before step %d", i)
			}
		}
		n := p.Requests()
		if math.Abs(float64(n)-total/float64(p.Batch)) > 1.001 {
			t.Fatalf("%d requests of %d for %v messages", n, p.Batch, total)
		}
		last := int64(0)
		for j := range n {
			due, ok := p.Due(j)
			if !ok || due < last || due >= p.End {
				t.Fatalf("request %d is due at %d (%v), after %d, end %d", j, due, ok, last, p.End)
			}
			last = due
		}
		if _, ok := p.Due(n); ok {
			t.Fatal("one more than there are")
		}
	})
}

func TestEvenRateIsEven(t *testing.T) {
	p, err := New(Scenario{Rate: 1000, Duration: time.Second, Warmup: -1, Batch: 10})
	if err != nil {
		t.Fatal(err)
	}
	if p.Requests() != 100 {
		t.Errorf("%d requests", p.Requests())
	}
	for j := range p.Requests() {
		if due, _ := p.Due(j); math.Abs(float64(due)-float64(j)*1e7) > 1 {
			t.Errorf("request %d is due at %d", j, due)
		}
	}
}

func TestRampGrowsEvenly(t *testing.T) {
	p, err := New(Scenario{Warmup: -1, Stages: []Stage{{Duration: 10 * time.Second, Rate: 100, Ramp: true}}})
	if err != nil {
		t.Fatal(err)
	}
	var perSecond [10]int
	for j := range p.Requests() {
		due, _ := p.Due(j)
		perSecond[due/int64(time.Second)]++
	}
	for i, n := range perSecond {
		if want := 5 + 10*i; n < want-1 || n > want+1 {
			t.Errorf("second %d has %d messages, want %d", i, n, want)
		}
	}
}

func TestTypingHasItsShare(t *testing.T) {
	p, err := New(Scenario{Typing: .3, Channels: 7})
	if err != nil {
		t.Fatal(err)
	}
	var n [7]int
	for k := range int64(70_000) {
		if p.TypingAt(k) {
			n[p.ChannelOf(k)]++
		}
	}
	for ch, got := range n {
		if got < 2800 || got > 3200 {
			t.Errorf("channel %d has %d typing signs of 10000 messages", ch, got)
		}
	}
}

func TestStepNames(t *testing.T) {
	p, err := New(Scenario{Stages: []Stage{{Duration: time.Second}, {Duration: time.Second}}})
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Duration]string{0: "warming up", 1500e6: "stage 1 of 2", 2500e6: "stage 2 of 2", 3e9: "draining"} {
		if got := p.StepName(int64(at)); got != want {
			t.Errorf("at %v: %s", at, got)
		}
	}
}
