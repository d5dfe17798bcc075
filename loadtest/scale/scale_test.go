package scale

import (
	"flag"
	"math"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the tables of docs/scale.md anew")

const (
	doc   = "../../docs/scale.md"
	begin = "<!-- tables: go test ./loadtest/scale -update -->\n"
	end   = "<!-- end of tables -->\n"
)

// The page holds what the model prints.
func TestPageIsWhatTheModelPrints(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, Measured); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the tables", doc)
	}
	if *update {
		if err := os.WriteFile(doc, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != b.String() {
		t.Errorf("%s is not what the model prints: go test ./loadtest/scale -update", doc)
	}
}

// More of anything never lets a node do less, and no limit is passed.
func TestLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Load{
			Audience: rapid.Float64Range(1, 1000).Draw(t, "audience"), Messages: rapid.Float64Range(.01, 500).Draw(t, "messages"),
			Bytes: rapid.Float64Range(64, 16384).Draw(t, "bytes"), Window: rapid.Float64Range(.001, .2).Draw(t, "window"),
		}
		m := Machine{Cores: rapid.Float64Range(1, 96).Draw(t, "cores"), Memory: rapid.Float64Range(gib, 512*gib).Draw(t, "memory"), Gbit: rapid.Float64Range(1, 100).Draw(t, "card")}
		x := m.Limit(Measured, l)
		if x.Connections <= 0 || math.IsNaN(x.Connections) || math.IsInf(x.Connections, 0) {
			t.Fatalf("%+v", x)
		}
		const slack = 1.001
		if x.Gbit > m.Gbit*cardUse*slack {
			t.Fatalf("%v Gb/s through a card of %v", x.Gbit, m.Gbit)
		}
		if used := x.Connections * Measured.core(l, x.Connections/m.Cores, x.Connections); used > m.useful()*slack {
			t.Fatalf("%v cores used of %v", used, m.useful())
		}
		if x.Connections*Measured.memory(l) > m.Memory*memoryUse*slack {
			t.Fatalf("%v connections do not fit the memory", x.Connections)
		}
		for _, more := range []Machine{{m.Cores * 2, m.Memory, m.Gbit}, {m.Cores, m.Memory * 2, m.Gbit}, {m.Cores, m.Memory, m.Gbit * 2}} {
			if y := more.Limit(Measured, l); y.Connections*slack < x.Connections {
				t.Fatalf("%+v holds %v, and %+v %v", m, x.Connections, more, y.Connections)
			}
		}
	})
}

// The model agrees with the runs that it was fitted to: within a third of what one core was measured to do.
func TestModelAgainstMeasurements(t *testing.T) {
	for _, r := range measurements {
		if got := Measured.model(r); got/r.cores < .66 || got/r.cores > 1.5 {
			t.Errorf("%s: %.3f cores by the model, %.3f measured", r.name, got, r.cores)
		}
	}
}

func TestWritesOfRandomMessages(t *testing.T) {
	busy := Load{Messages: 2000, Bytes: 128, Window: .05}
	if w, _, _ := busy.perConnection(); math.Abs(w-20) > .01 {
		t.Errorf("%v writes a second of a busy channel, want 20", w)
	}
	quiet := Load{Messages: .1, Bytes: 128, Window: .05}
	if w, _, _ := quiet.perConnection(); math.Abs(w-.1) > .001 {
		t.Errorf("%v writes a second of a quiet channel, want 0.1", w)
	}
	if w, b, _ := (Load{}).perConnection(); w != 0 || b != 0 {
		t.Error("an idle connection is written to")
	}
}

func TestStorms(t *testing.T) {
	calm := Storm{Clients: 1000, Accept: 10_000, Patience: 5, First: 1, Most: 30, Jitter: true}.Play()
	if calm.Attempts != 1 || calm.Last > 1.2 || calm.Half < .4 || calm.Half > .6 {
		t.Errorf("a storm that the nodes take at once: %+v", calm)
	}
	// a node cannot be faster than it is, and works all the time while all wait
	full := Storm{Clients: 10_000, Accept: 1000, Patience: 60, First: .001, Most: 30}.Play()
	if full.Attempts != 1 || math.Abs(full.Last-10) > .1 || full.Waiting < 9900 {
		t.Errorf("a storm that waits: %+v", full)
	}
	again := Storm{Clients: 10_000, Accept: 1000, Patience: 1, First: .5, Most: 30, Jitter: true}.Play()
	if again.Attempts <= 1 || again.Last < 9.5 || again.Waiting > 1010 {
		t.Errorf("a storm that does not: %+v", again)
	}
	if again != (Storm{Clients: 10_000, Accept: 1000, Patience: 1, First: .5, Most: 30, Jitter: true}).Play() {
		t.Error("the same storm went otherwise")
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", .0123: "0.012", 1: "1.0", 12: "12", 123: "120", 1234: "1.2 k", 45_678: "46 k", 456_789: "460 k", 1e6: "1.0 M", 2.5e9: "2.5 G"} {
		if got := number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
