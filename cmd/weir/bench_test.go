package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"weir/loadtest/fake"
	"weir/loadtest/scenario"
)

// bench parses and runs weir bench with arguments and says what it printed.
func bench(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	var out bytes.Buffer
	p := &program{stdout: &out, stderr: io.Discard}
	var grammar struct {
		Bench benchCommands `cmd:""`
	}
	parser, err := kong.New(&grammar, kong.Name("weir"), kong.Bind(p), kong.Exit(func(int) { t.Error("exit") }))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(append([]string{"bench"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	err = parsed.Run()
	return out.String(), err
}

// relayed serves a fake relay on this machine.
func relayed(t *testing.T, cfg fake.Config) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := fake.New(cfg)
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		srv.Close()
	})
	return "http://" + l.Addr().String()
}

var brief = []string{"fanout", "--subscribers", "10", "--rate", "50", "--duration", "400ms", "--warmup", "0s"}

func TestBenchFromRunToComparison(t *testing.T) {
	dir := t.TempDir()
	raw, page, js := filepath.Join(dir, "run.weir"), filepath.Join(dir, "run.html"), filepath.Join(dir, "run.json")
	args := append(slices.Clone(brief), "--url", relayed(t, fake.Config{Key: "dev"}), "--json", "--out", raw, "--html", page, "--fail-if", "lost>0", "--fail-if", "received<200")
	out, err := bench(t, args...)
	if err != nil {
		t.Fatal(err, out)
	}
	var got struct {
		Received, Lost uint64
		Command        string
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Received != 200 || got.Lost != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if b, err := os.ReadFile(page); err != nil || !bytes.HasPrefix(b, []byte("<!doctype html>")) {
		t.Error(err)
	}
	again, err := bench(t, "report", raw, "--json")
	if err != nil || again != out {
		t.Errorf("reported again: %v", err)
	}
	if err := os.WriteFile(js, []byte(out), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err = bench(t, "compare", js, raw, "--html", page); err != nil || !strings.Contains(out, "1.00x") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestBenchSaysWhatFailed(t *testing.T) {
	good := relayed(t, fake.Config{Key: "dev"})
	run := func(args ...string) []string { return append(slices.Clone(brief), args...) }
	tests := []struct {
		name  string
		args  []string
		usage bool
		want  string
	}{
		{"a threshold", run("--url", good, "--fail-if", "received>=200"), false, "failed by received>=200: received is 200"},
		{"not a threshold", run("--fail-if", "fast"), true, "--fail-if \"fast\": expected something like p99>60ms"},
		{"no such scenario", []string{"fan"}, true, `no scenario "fan": expected fanout, many`},
		{"no such file", []string{"missing.yaml"}, true, "missing.yaml"},
		{"nothing there", run("--url", "http://127.0.0.1:1"), true, "is the target running?"},
		{"wrong key", run("--url", good, "--key", "no"), true, "the token or the key is wrong"},
		{"somewhere else", run("--url", "http://192.0.2.7"), true, "--i-own-this-target"},
		{"short secret", run("--url", good, "--secret", "short"), true, "make a token"},
		{"one run to compare", []string{"compare", "x"}, true, "two or more"},
		{"missing run", []string{"report", "missing.weir"}, true, "missing.weir"},
		{"results nowhere", run("--url", good, "--out", "/nowhere/run.weir"), true, "/nowhere/run.weir"},
		{"a page nowhere", run("--url", good, "--html", "/nowhere/run.html"), true, "/nowhere/run.html"},
		{"out of range", run("--payload", "5B"), true, "payload: 5B: expected 64B to 1MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bench(t, tt.args...)
			var usage *usageError
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &usage) != tt.usage {
				t.Errorf("usage %v: %v", errors.As(err, &usage), err)
			}
		})
	}
}

func TestBenchFlagsChangeTheScenario(t *testing.T) {
	rate, length, none := 7.0, 20*time.Second, time.Duration(0)
	c := benchCommand{Rate: &rate, Duration: &length, Warmup: &none, Prefix: "x:"}
	s, err := scenario.Preset("slow")
	if err != nil {
		t.Fatal(err)
	}
	c.change(&s)
	if len(s.Stages) != 2 || s.Stages[0].Duration != 10*time.Second || s.Stages[1].Rate != 7 || s.Warmup != -1 || s.Prefix != "x:" || s.Rate != 0 {
		t.Errorf("%+v", s)
	}
	s, _ = scenario.Preset("fanout")
	c.change(&s)
	if s.Rate != 7 || s.Duration != 20*time.Second {
		t.Errorf("%+v", s)
	}
	s, _ = scenario.Preset("fanout")
	(&benchCommand{FindMax: true}).change(&s)
	if s.Rate != 0 {
		t.Errorf("a search begins at %v", s.Rate)
	}
}

func TestBenchHelpNamesEveryScenario(t *testing.T) {
	help := (&benchCommand{}).Help()
	for _, s := range scenario.Presets() {
		if !strings.Contains(help, s.Name+" ") {
			t.Errorf("%s is missing", s.Name)
		}
	}
}

func TestSecretsAreNotKept(t *testing.T) {
	got := commandLine([]string{"/x/weir", "bench", "fanout", "--token", "abc", "--key=def", "--secret", "ghi", "--rate=5"})
	if want := "weir bench fanout --token ... --key=... --secret ... --rate=5"; got != want {
		t.Error(got)
	}
}
