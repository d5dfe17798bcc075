package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func run1(t *testing.T, text string) result {
	t.Helper()
	var r result
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMedian(t *testing.T) {
	o := outcome{cell: cell{measure: latency}}
	if o.figure() != 0 {
		t.Error("a median of nothing")
	}
	for i, want := range []float64{7, 5, 3, 4} {
		o.Runs = append(o.Runs, result{})
		o.Runs[i].LatencyMs.P99 = []float64{7, 3, 1, 5}[i]
		if got := o.figure(); got != want {
			t.Errorf("median of %d runs is %v, want %v", i+1, got, want)
		}
	}
}

func TestRunsThatDoNotCount(t *testing.T) {
	for text, want := range map[string]string{
		`{"valid":true}`: "",
		`{"valid":false,"invalidBecause":["busy"],"lost":3}`:   "busy; 3 lost",
		`{"valid":true,"unsent":2,"connections":{"closed":1}}`: "2 not taken; 1 connections ended by the server",
	} {
		if got := run1(t, text).broken(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// Where weir bench was the limit of a closed loop, the figure is the least that the server does.
func TestFloors(t *testing.T) {
	full := run1(t, `{"publishesPerSecond":9e4,"valid":false,"invalidBecause":["the load generator used 1.00 of 1 cores"]}`)
	free := run1(t, `{"publishesPerSecond":8e4,"valid":true}`)
	posts := cell{measure: publishes}
	for want, o := range map[string]outcome{
		"at least 90.0 k": {cell: posts, Runs: []result{full, full, free}},
		"80.0 k":          {cell: posts, Runs: []result{full, free, free}},
		"0.00":            {cell: cell{measure: deliveries}, Runs: []result{full}},
	} {
		if got := o.shown(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := times(publishes, 1e5, outcome{cell: posts, Runs: []result{full}}, "%s"); got != "" {
		t.Errorf("%s better than who knows what", got)
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 9994: "9994", 12_345: "12.3 k", 999_400: "999 k", 1_234_567: "1.23 M", 25e6: "25.0 M"} {
		if got := number(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}

// Every cell names servers that exist, and a search begins somewhere for each of them.
func TestCellsAreWhole(t *testing.T) {
	known := map[string]server{}
	for _, s := range servers() {
		known[s.name] = s
	}
	for _, c := range cells() {
		if c.servers[0] != "weir" {
			t.Errorf("%s does not begin with weir", c.name)
		}
		for _, name := range c.servers {
			s, ok := known[name]
			if !ok {
				t.Errorf("%s: no server %q", c.name, name)
			}
			if c.ceiling != nil && c.ceiling[name] == 0 {
				t.Errorf("%s: no rate to begin with for %s", c.name, name)
			}
			if c.batch > 1 && strings.Contains(strings.Join(c.bench(s, timing{}, 0, false), " "), "--batch") != s.batch {
				t.Errorf("%s: %s and batches", c.name, name)
			}
		}
	}
}

func TestPage(t *testing.T) {
	all, list := servers(), cells()
	p := page{
		machine: [][2]string{{"kernel", "1.2"}}, timing: timing{run: 4 * time.Second, warmup: time.Second, probe: time.Second, runs: 3},
		servers: all, cells: list[:1], outcomes: map[string]map[string]outcome{}, cores: [2]string{"0", "1"},
	}
	fast := run1(t, `{"deliveriesPerSecond":20e6,"latencyMs":{"p50":10,"p99":80},"serverCpu":0.9,"clientCpu":0.5,"connections":{"chosen":"50 of 1000 connections"},"valid":true}`)
	slow := run1(t, `{"deliveriesPerSecond":2e6,"latencyMs":{"p50":10,"p99":80},"serverCpu":1,"clientCpu":0.1,"valid":true}`)
	p.outcomes[list[0].name] = map[string]outcome{
		"weir":       {cell: list[0], server: all[0], Runs: []result{fast, fast}, Broken: []string{"3 lost"}},
		"centrifuge": {cell: list[0], server: all[2], Runs: []result{slow}, Lowered: 1},
		"nchan":      {cell: list[0], server: all[4], Skipped: "not installed"},
	}
	var b strings.Builder
	if err := p.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| weir | 20.0 M |  | 10.0 | 80.0 | 0.90 | 0.50 | 2 of 3 |",
		"| centrifuge | 2.00 M | 10.0x | 10.0 | 80.0 | 1.00 | 0.10 | 1 of 1 |",
		"| nchan | not measured: not installed |", "weir, one run: 3 lost.", "lowered by a tenth once", "at weir: 50 of 1000 connections.",
		"taskset -c 1 bin/weir bench fanout", "| 20.0 M | | 2.00 M (10.0x) | | - |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
