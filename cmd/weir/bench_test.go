package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"weir/loadtest/scenario"
	"weir/relay/config"
	"weir/relay/relaytest"
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

// faulty is a relay with something in front of it that can go wrong. The zero value lets all through.
type faulty struct {
	publish func(n int) outcome // decides on publish n, from 1; the first is the test of bench itself; nil: all pass
	front   *httptest.Server    // set by start
	conns   sync.Map            // net.Conn of subscribers to the relay
	closed  atomic.Bool         // subscribers are not let in any more
}

// outcome is what becomes of a publish.
type outcome int

const (
	pass   outcome = iota
	refuse         // 503
	lose           // it is acknowledged, and nobody gets it
)

// cut ends the connections of all subscribers, and lets no new ones in.
func (f *faulty) cut() {
	f.closed.Store(true)
	f.conns.Range(func(c, _ any) bool { return c.(net.Conn).Close() == nil })
}

// die ends everything at once.
func (f *faulty) die() {
	_ = f.front.Listener.Close()
	f.front.CloseClientConnections()
	f.cut()
}

// start serves f in front of a relay in development mode and returns its address.
func (f *faulty) start(t *testing.T) (address string) {
	t.Helper()
	rig := relaytest.Start(t, func(cfg *config.Config) { *cfg = config.Config{Dev: true, Drain: time.Second} })
	to, err := url.Parse(rig.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := func(transport *http.Transport) http.Handler {
		t.Cleanup(transport.CloseIdleConnections)
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: transport, ErrorLog: log.New(io.Discard, "", 0)}
	}
	publishers := proxy(&http.Transport{})
	subscribers := proxy(&http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			f.conns.Store(c, nil)
		}
		return c, err
	}})
	var published atomic.Int64
	f.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			if f.closed.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			subscribers.ServeHTTP(w, r)
			return
		}
		what := pass
		if f.publish != nil {
			what = f.publish(int(published.Add(1)))
		}
		switch what {
		case pass:
			publishers.ServeHTTP(w, r)
		case refuse:
			w.WriteHeader(http.StatusServiceUnavailable)
		case lose:
			_, _ = io.WriteString(w, `{"position":{"epoch":"e","seq":1}}`) // it matters to nobody whether that arrives
		}
	}))
	t.Cleanup(func() {
		f.cut()
		f.front.Close()
	})
	return f.front.URL
}

// busy reports whether what is wrong with a run is that this machine was busy, and what was to fail.
func busy(err error) bool {
	return err != nil && !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool {
		return !strings.HasPrefix(line, "bench: NOT VALID: the load generator ") && !strings.HasPrefix(line, "bench: failed by ")
	})
}

// A gate is green only for a run that measured what it was asked to.
func TestBenchExitCodes(t *testing.T) {
	after := func(k int, f func()) func(int) outcome {
		return func(n int) outcome {
			if n == k {
				go f()
			}
			return pass
		}
	}
	good := new(faulty).start(t)
	refusing := func() string {
		return (&faulty{publish: func(n int) outcome {
			if n == 1 {
				return pass
			}
			return refuse
		}}).start(t)
	}
	dying := func() string {
		f := new(faulty)
		f.publish = after(10, f.die)
		return f.start(t)
	}
	cutting := new(faulty)
	cutting.publish = after(10, cutting.cut)
	losing := (&faulty{publish: func(int) outcome { return lose }}).start(t)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	interrupting := (&faulty{publish: after(10, func() { _ = self.Signal(os.Interrupt) })}).start(t)
	run := func(address string, args ...string) []string {
		return append(append(slices.Clone(brief), "--url", address), args...)
	}
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"all is well", run(good, "--fail-if", "lost>0"), exitOK, ""},
		{"a condition holds", run(good, "--fail-if", "received>=200"), exitFailure, "failed by received>=200"},
		{"a number that is not known", run(good, "--fail-if", "unseen>0"), exitFailure, "unseen is not known"},
		{"all is refused", run(refusing()), exitInvalid, "20 of 20 messages that were due were not published"},
		{"all is refused, with a gate", run(refusing(), "--fail-if", "p99>60ms", "--fail-if", "lost>0"), exitInvalid, "p99 is not known"},
		{"nobody listens", run(good, "--subscribers", "0"), exitUsage, "--subscribers: expected more than 0"},
		{"fewer than nobody", run(good, "--subscribers", "-1"), exitUsage, "subscribers: -1: expected 0 to"},
		{"fewer than nobody, with a sign of equality", run(good, "--subscribers=-1"), exitUsage, "subscribers: -1: expected 0 to"},
		{"nothing is published", run(good, "--rate", "0"), exitUsage, "--rate: expected more than 0"},
		{"less than nothing is published", run(good, "--rate", "-0.5"), exitUsage, "--rate: expected more than 0"},
		{"nobody connects", []string{"connect", "--rate", "0", "--url", good}, exitUsage, "--rate: expected more than 0"},
		{"a warm-up of less than no time", run(good, "--warmup", "-1s"), exitUsage, "--warmup: expected 0"},
		{"all is lost", run(losing), exitInvalid, "all was lost"},
		{"subscribers are cut", run(cutting.start(t)), exitInvalid, "subscribers were not connected any more"},
		{"interrupted", run(interrupting, "--duration", "1m"), exitInvalid, "interrupted"},
		{"the target dies", run(dying(), "--duration", "1s", "--fail-if", "p99>1s"), exitInvalid, "NOT VALID"},
		{"the target dies in a closed loop", run(dying(), "--duration", "1s", "--closed", "--inflight", "4", "--fail-if", "p99>1s"), exitInvalid, "NOT VALID"},
		{"no idle connections", []string{"idle", "--subscribers", "0", "--url", good, "--duration", "100ms"}, exitUsage, "--subscribers: expected more than 0"},
		{"no rate holds", run(refusing(), "--find-max", "--probe", "50ms", "--rate", "10"), exitInvalid, "no rate that holds"},
		{"too few to be slow", []string{"slow", "--subscribers", "10", "--rate", "50", "--duration", "400ms", "--warmup", "0s", "--url", good}, exitInvalid, "no connection stopped reading"},
		{"only typing", []string{"../../loadtest/scenario/testdata/typing.yaml", "--url", good}, exitInvalid, "nothing was measured"},
		{"no time", run(good, "--duration", "0s"), exitUsage, "--duration: expected more than 0"},
		{"less than no time", run(good, "--duration", "-5s"), exitUsage, "--duration: expected more than 0"},
		{"no channels", run(good, "--channels", "0"), exitUsage, "--channels: expected more than 0"},
		{"no publishers", run(good, "--publishers", "0"), exitUsage, "--publishers: expected more than 0"},
		{"no payload", run(good, "--payload", "0"), exitUsage, "--payload: expected more than 0"},
		{"no batch", run(good, "--batch", "0"), exitUsage, "--batch: expected more than 0"},
		{"no pipeline", run(good, "--pipeline", "0"), exitUsage, "--pipeline: expected more than 0"},
		{"nothing under way", run(good, "--closed", "--inflight", "0"), exitUsage, "--inflight: expected more than 0"},
		{"no tries", run(good, "--find-max", "--probe", "0s"), exitUsage, "--probe: expected more than 0"},
		{"no goal", run(good, "--find-max", "--p99", "0s"), exitUsage, "--p99: expected more than 0"},
		{"a gate that is always green", run(good, "--fail-if", "lost>nan"), exitUsage, "finite"},
		{"an unknown flag", run(good, "--fast"), exitUsage, "--fast"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var said bytes.Buffer
			p := &program{stdout: io.Discard, stderr: &said}
			code := p.run(append([]string{"bench"}, tt.args...))
			var lines []string
			for line := range strings.Lines(said.String()) {
				if line, ok := strings.CutPrefix(strings.TrimSpace(line), "weir: "); ok {
					lines = append(lines, line)
				}
			}
			if code == exitInvalid && busy(errors.New(strings.Join(lines, "\n"))) { // the machine was: the rest stands
				code = tt.code
			}
			if code != tt.code || !strings.Contains(strings.Join(lines, "\n"), tt.want) {
				t.Errorf("exit %d, want %d: %q", code, tt.code, lines)
			}
		})
	}
}

var brief = []string{"fanout", "--subscribers", "10", "--rate", "50", "--duration", "400ms", "--warmup", "0s"}

func TestBenchFromRunToComparison(t *testing.T) {
	dir := t.TempDir()
	raw, page, js := filepath.Join(dir, "run.weir"), filepath.Join(dir, "run.html"), filepath.Join(dir, "run.json")
	args := append(slices.Clone(brief), "--url", new(faulty).start(t), "--json", "--out", raw, "--html", page, "--fail-if", "lost>0", "--fail-if", "received<200")
	out, err := bench(t, args...)
	if err != nil && !busy(err) {
		t.Fatal(err, out)
	}
	var got struct {
		Received, Lost uint64
		Command        string
		Unit           struct{ WriteMicros float64 }
		Connections    struct{ Checked, CheckedLeast int }
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Received != 200 || got.Lost != 0 || got.Unit.WriteMicros <= 0 ||
		got.Connections.Checked != 10 || got.Connections.CheckedLeast != 10 {
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
	good := new(faulty).start(t)
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
	got := commandLine([]string{"/x/weir", "bench", "fanout", "--token", "abc", "--key=def", "--secret", "ghi", "--header", "Authorization: x", "--rate=5"})
	if want := "weir bench fanout --token ... --key=... --secret ... --header ... --rate=5"; got != want {
		t.Error(got)
	}
}
