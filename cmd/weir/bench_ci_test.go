package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/loadtest/report"
)

// keep writes a result with a 99th percentile of so many ms.
func keep(t *testing.T, dir, name string, p99 float64, valid bool) string {
	t.Helper()
	res := &report.Result{
		Target: "weir", Scenario: "fanout", Expected: 10, Received: 10, LatencyMs: report.Quantiles{Count: 10, P99: p99}, Valid: valid,
		Series: []report.Point{{At: 1, P99: p99, Max: p99}},
	}
	if !valid {
		res.InvalidBecause = []string{"of a test"}
	}
	file := filepath.Join(dir, name)
	if err := writeFile(file, func(w io.Writer) error { return res.JSON(w) }); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCompareExitCodes(t *testing.T) {
	dir := t.TempDir()
	var base, same, worse []string
	for i, v := range []float64{10, 11, 12} {
		name := string(rune('a' + i))
		base = append(base, "--baseline", keep(t, dir, "base"+name, v, true))
		same = append(same, keep(t, dir, "same"+name, v+.1, true))
		worse = append(worse, keep(t, dir, "worse"+name, 2*v, true))
	}
	bad := keep(t, dir, "bad", 10, false)
	join := func(lists ...[]string) (args []string) {
		args = []string{"bench", "compare", "--fail-if", "p99>+10%"}
		for _, l := range lists {
			args = append(args, l...)
		}
		return args
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{join(base, same), exitOK, "passed p99>+10%"},
		{join(base, worse), exitFailure, "weir: bench compare: failed by p99>+10%: p99 went from 11 to 22 (+100.0 %), medians of 3 and 3, p = 0.050"},
		{join(base, same, []string{"--fail-if", "lost>0"}), exitOK, "passed lost>0: lost is 0"},
		{join(base, []string{bad}), exitInvalid, "run D is NOT VALID"},
		{[]string{"bench", "compare", bad, same[0]}, exitOK, "NOT VALID"},
		{join(same[:1]), exitUsage, "two or more"},
		{[]string{"bench", "compare", "--fail-if", "p99>10%", same[0], same[1]}, exitUsage, "p99>+10%"},
		{[]string{"bench", "compare", "/nowhere", same[0]}, exitUsage, "/nowhere"},
		{[]string{"bench", "compare", "--html", "/nowhere/x", same[0], same[1]}, exitUsage, "/nowhere/x"},
	} {
		var said bytes.Buffer
		if code := (&program{stdout: &said, stderr: &said}).run(tt.args); code != tt.code || !strings.Contains(said.String(), tt.want) {
			t.Errorf("%q: exit %d, expected %d and %q: %s", tt.args, code, tt.code, tt.want, said.String())
		}
	}
	var out bytes.Buffer
	code := (&program{stdout: &out, stderr: io.Discard}).run(append(join(base, worse), "--json"))
	var got struct {
		Valid    bool
		Findings []report.Finding
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || code != exitFailure || !got.Valid || len(got.Findings) != 1 || !got.Findings[0].Failed || *got.Findings[0].Change != 1 {
		t.Error(code, err, out.String())
	}
}

// A kept run is held against conditions, and written as CSV and JUnit.
func TestReportOfAKeptRun(t *testing.T) {
	dir := t.TempDir()
	file, table, units := keep(t, dir, "run", 10, true), filepath.Join(dir, "run.csv"), filepath.Join(dir, "run.xml")
	if _, err := bench(t, "report", file, "--fail-if", "p99>5ms", "--csv", table, "--junit", units); err == nil || !strings.Contains(err.Error(), "p99 is 10ms") {
		t.Error(err)
	}
	for name, want := range map[string]string{table: "seconds,", units: `<failure message="p99&gt;5ms: p99 is 10ms">`} {
		if b, err := os.ReadFile(name); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%v: %s", err, b)
		}
	}
	if _, err := bench(t, "report", file, "--fail-if", "p99>20ms"); err != nil {
		t.Error(err)
	}
	if _, err := bench(t, "report", file, "--csv", "/nowhere/x.csv"); err == nil || !strings.Contains(err.Error(), "/nowhere/x.csv") {
		t.Error(err)
	}
}

// Thresholds may stand in the scenario file.
func TestScenarioFilesHaveThresholds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gate.yaml")
	write := func(condition string) {
		if err := os.WriteFile(file, []byte("name: gate\nsubscribers: 5\nrate: 50\nduration: 300ms\nwarmup: 1ms\nfail-if: [\""+condition+"\"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := new(faulty).start(t)
	write("received>1")
	if _, err := bench(t, file, "--url", address); err == nil || !strings.Contains(err.Error(), "failed by received>1") {
		t.Error(err)
	}
	write("fast")
	if _, err := bench(t, file, "--url", address); err == nil || !strings.Contains(err.Error(), `the scenario's fail-if: "fast": expected something like`) {
		t.Error(err)
	}
}
