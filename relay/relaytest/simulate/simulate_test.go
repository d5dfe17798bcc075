package simulate

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

var (
	seed    = flag.Uint64("seed", 0, "simulate this seed only; 0: some short ones")
	seeds   = flag.Uint64("seeds", 0, "how many short ones; 0: some")
	first   = flag.Uint64("first", 1, "the first of them")
	span    = flag.Duration("span", 0, "simulated time; 0: 5m, or 24h with -seed")
	pace    = flag.Duration("pace", 0, "mean simulated time between steps; 0: a ten-thousandth of the span, at least 1s")
	durable = flag.Bool("durable", true, "clusters have durable channels, too")
	only    = flag.String("only", "", "problems that say so count, and nothing else does; \"\": all do")
	clients = flag.Int("clients", 0, "clients; 0: 24, or 200 from an hour on")
)

// Goroutines that libraries start once for the whole process, or that outlive their server for a while, are no
// leak of the relay's.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"), // ends 10 s after its server
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).purgeStaleWorkers"),
		goleak.IgnoreAnyFunction("github.com/panjf2000/ants/v2.(*poolCommon).ticktock"),
	)
}

// play runs in a bubble.
func play(t *testing.T, o Options) (out *Outcome) {
	t.Helper()
	once(t)
	synctest.Test(t, func(*testing.T) {
		out = Run(o)
		time.Sleep(time.Minute) // some goroutines of the HTTP server outlive it for a while
	})
	return out
}

// once starts outside of a bubble what libraries start once for the process.
func once(t *testing.T) {
	t.Helper()
	m, err := newMachine()
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	s := &server{story: &story{start: time.Now()}, log: Options{}.filled().Log, machine: m}
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	b := &backend{w: &world{nodes: []*server{s}, story: s.story}}
	if status, _, err := b.ask(t.Context(), "GET", "/v1/channels/none"); err != nil || status != 404 {
		t.Fatal(status, err)
	}
	b.close()
	s.close()
}

// judge fails with what is needed to see it again.
func judge(t *testing.T, o Options, out *Outcome) {
	t.Helper()
	if out.OK() || *only != "" && !strings.Contains(strings.Join(out.Problems, "\n"), *only) {
		return
	}
	o = o.filled()
	t.Errorf("seed %d: %v\n%s\n\nstory until then:\n%s\n\nreplay: go test ./relay/relaytest/simulate -run Simulate -seed %d -span %v -pace %v -clients %d",
		o.Seed, out, strings.Join(append(out.Problems, out.Verdict.Problems...), "\n"), strings.Join(out.Tail, "\n"), o.Seed, o.Span, o.Pace, o.Clients)
}

// keptSeeds found something when they were new, and are played always.
var keptSeeds = []struct {
	seed  uint64
	found string
}{
	{31, "a durable channel that was deleted and filled again lost what came after in the next checkpoint"},
	{68, "the same, with other data"},
}

func TestKeptSeeds(t *testing.T) {
	for _, kept := range keptSeeds {
		t.Run(fmt.Sprint("seed=", kept.seed), func(t *testing.T) {
			o := Options{Seed: kept.seed}
			judge(t, o, play(t, o))
		})
	}
}

func TestSimulate(t *testing.T) {
	if *seed == 0 {
		count := *seeds
		if count == 0 {
			count = 6
			if testing.Short() {
				count = 2
			}
		}
		for s := *first; s < *first+count; s++ {
			t.Run(fmt.Sprint("seed=", s), func(t *testing.T) {
				o := Options{Seed: s, Span: *span, Pace: *pace, Clients: *clients}
				out := play(t, o)
				t.Log(out)
				judge(t, o, out)
			})
		}
		return
	}
	o := Options{Seed: *seed, Span: *span, Pace: *pace, Clients: *clients}
	if o.Span == 0 {
		o.Span = 24 * time.Hour
	}
	if o.Pace == 0 {
		o.Pace = max(time.Second, o.Span/10_000)
	}
	if o.Clients == 0 && o.Span >= time.Hour {
		o.Clients = 200
	}
	begin := time.Now()
	out := play(t, o)
	t.Logf("%v in %v: %v", o.Span, time.Since(begin).Round(time.Millisecond), out)
	judge(t, o, out)
}
