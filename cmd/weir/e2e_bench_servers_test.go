//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/freeport"
	"weir/loadtest/report"
)

const peersDir = "../../loadtest/peers"

// startPeer starts a server that is not ours and returns its address. {address} among the arguments is one that is free, and
// {dir} a directory; without {address}, the server prints its own.
func startPeer(t *testing.T, dir string, args ...string) string {
	t.Helper()
	address := freeport.Address(t)
	fill := strings.NewReplacer("{address}", address, "{dir}", t.TempDir())
	given := slices.Contains(args, "{address}")
	for i, a := range args {
		args[i] = fill.Replace(a)
	}
	cmd := exec.Command(args[0], args[1:]...)
	var log bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (make setup installs it)", err)
	}
	t.Cleanup(func() {
		_ = in.Close() // ends those that print their address
		if given {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of %s:\n%s", args[0], &log)
		}
	})
	if !given {
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatalf("%s has not said where it listens: %v\n%s", args[0], err, &log)
		}
		return strings.TrimSpace(line)
	}
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return "http://" + address
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not listen", args[0])
		}
	}
}

// startGoPeer builds a server of loadtest/peers, each a module of its own, and starts it.
func startGoPeer(t *testing.T, name string) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), name)
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Dir = filepath.Join(peersDir, name)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return startPeer(t, "", bin, "{address}")
}

// benchRun runs the binary, and returns its exit code and what it has printed.
func benchRun(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), append([]string{"bench"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// peerRun is a way of speaking to a server, right or wrong.
type peerRun struct {
	args     []string // of weir bench check and weir bench fanout, after what is checked or run
	scenario string   // echo; "" for fanout
	single   bool     // there are no channels
	want     string   // wrong: what the check says of it; "" is right
}

// The servers that people have are understood, measured in full, and what is wrongly described has a line that says what.
func TestE2EBenchServers(t *testing.T) {
	scripts := filepath.Join("testdata", "e2e")
	centrifuge, err := filepath.Abs("testdata/bench-centrifuge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	wrongFile := func(from, to string) string {
		text, err := os.ReadFile(centrifuge)
		if err != nil || !bytes.Contains(text, []byte(from)) {
			t.Fatal(err, from)
		}
		name := filepath.Join(t.TempDir(), "wrong.yaml")
		if err := os.WriteFile(name, bytes.Replace(text, []byte(from), []byte(to), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	rooms := func(join, say, data string) []string {
		return []string{
			"--target", "json", "--url", "{url}/json", "--send", join, "--message-channel", "room", "--message-data", data, "--publish-send", say,
		}
	}
	const join, say = `{"op":"join","room":"{{channel}}"}`, `{"op":"say","room":"{{channel}}","body":{{payload}}}`
	nchan := func(publish, body string) []string {
		return []string{"--target", "json", "--url", "{url}/sub?id={{channel}}", "--publish-url", "{url}" + publish, "--publish-body", body}
	}
	token := []string{"--target", "socket.io", "--url", "{url}", "--token", "let me in"}
	for name, tt := range map[string]struct {
		start func(t *testing.T) string
		runs  []peerRun
	}{
		"socket.io": {func(t *testing.T) string { return startPeer(t, scripts, "node", "bench-socketio.mjs") }, []peerRun{
			{args: token},
			{args: token[:4], want: `refused by the target: 44{"message":"no such token"}`},
			{args: append(token, "--var", "message=msg"), want: `a message with the payload did arrive, and was not understood`},
			{args: append(token, "--var", "subscribe=join"), want: "the target does not confirm: none of what it sent is what was expected"},
		}},
		"ws": {func(t *testing.T) string { return startPeer(t, scripts, "node", "bench.mjs") }, []peerRun{
			{args: []string{"--target", "ws", "--url", "{url}"}, single: true},
			{args: rooms(join, say, "body")},
			{args: []string{"--target", "ws", "--url", "{url}/echo"}, scenario: "echo"},
			{args: rooms(join, say, "text"), want: `message.data would be "body"`},
			{args: rooms(`{"op":"join","room":"x"}`, say, "body"), want: "the message does not arrive"},
		}},
		"nchan": {func(t *testing.T) string {
			return startPeer(t, "", "bash", peersDir+"/nchan/start.sh", "{address}", "{dir}")
		}, []peerRun{
			{args: []string{"--target", "nchan", "--url", "{url}"}},
			{args: nchan("/pub?id={{channel}}", "{{payload}}")},
			{args: nchan("/pub", "{{payload}}"), want: "the message does not arrive"},
			{args: nchan("/pubs?id={{channel}}", "{{payload}}"), want: "the target did not accept the publish: 404"},
			{args: nchan("/pub?id={{channel}}", `{"body":{{payload}}}`), want: `message.data would be "body"`},
		}},
		"gws": {func(t *testing.T) string { return startGoPeer(t, "gws") }, []peerRun{
			{args: []string{"--target", "nchan", "--url", "{url}"}},
			{args: []string{"--target", "ws", "--url", "{url}/sub?id={channel}"}},
			{args: []string{"--target", "ws", "--url", "{url}/echo"}, scenario: "echo"},
			{args: []string{"--target", "json", "--url", "{url}/sub?id={{channel}}", "--publish-send", "{{payload}}"}},
			{args: []string{"--target", "ws", "--url", "{url}/nowhere"}, want: "404"},
			{args: nchan("/pub?id=other", "{{payload}}"), want: "the message does not arrive"},
		}},
		"centrifuge": {func(t *testing.T) string { return startGoPeer(t, "centrifuge") }, []peerRun{
			{args: []string{"--target", "centrifugo", "--url", "{url}"}},
			{args: []string{"--target", centrifuge, "--url", "{url}"}},
			{args: []string{"--target", wrongFile(`"data":{{payload}}`, `"dat":{{payload}}`), "--url", "{url}"}, want: "the target did not accept the publish: 200"},
			{args: []string{"--target", wrongFile(`data: push.pub.data`, `data: push.pub`), "--url", "{url}"}, want: `message.data would be "push.pub.data"`},
			{args: []string{"--target", wrongFile(`"channel":"{{channel}}"}}'`, `"channel":"{{channel}}'`), "--url", "{url}"}, want: "the target closed the subscriber's connection: 3501 bad request"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it waits
			address := tt.start(t)
			loaded := false // a wrong one; each waits for what does not come
			for _, run := range tt.runs {
				args := slices.Clone(run.args)
				for i := range args {
					args[i] = strings.ReplaceAll(args[i], "{url}", address)
				}
				if run.want == "" {
					understood(t, run, args)
				} else {
					misunderstood(t, args, run.want, !loaded)
					loaded = true
				}
			}
		})
	}
}

// TestE2EBenchReplay plays what a weir did against a server of the centrifuge library, three times over.
func TestE2EBenchReplay(t *testing.T) {
	weir, address := startDaemon(t), startGoPeer(t, "centrifuge")
	dir := t.TempDir()
	kept, run := filepath.Join(dir, "traffic.weir"), filepath.Join(dir, "run")
	load := exec.CommandContext(t.Context(), binary(t), "bench", "many", "--subscribers", "40", "--channels", "20", "--rate", "100", "--duration", "1h", "--warmup", "0s", "--url", weir.url)
	load.Cancel = func() error { return load.Process.Signal(os.Interrupt) }
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	published := regexp.MustCompile(`(?m)^weir_publishes_total\{[^}]*\} [1-9]\d`)
	for deadline := time.Now().Add(30 * time.Second); ; <-time.After(20 * time.Millisecond) { // until all are there, and messages flow
		resp, err := http.Get(weir.admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if published.Match(text) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing is published:\n%s", text)
		}
	}
	out, err := exec.Command(binary(t), "record", "--for", "2s", "--every", "500ms", "--admin", weir.admin, "--out", kept).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_ = load.Process.Signal(os.Interrupt)
	_ = load.Wait() // it says that it was interrupted
	code, shown, errs := benchRun(t, "replay", kept, "--times", "3", "--target", "centrifugo", "--url", address, "--out", run)
	if code != exitOK && (code != exitInvalid || !busyLines(errs)) {
		t.Errorf("exit %d: %s\n%s", code, errs, shown)
	}
	res, err := report.ReadFile(run)
	if err != nil {
		t.Fatal(err)
	}
	if res.Received == 0 || res.Received != res.Expected || res.Lost+res.Duplicated+res.Reordered+res.Corrupted != 0 || res.Setup.Subscribers != 120 || res.Setup.Channels < 20 {
		t.Errorf("%d subscribers, %d channels, received %d of %d, lost %d, duplicated %d, corrupted %d", res.Setup.Subscribers, res.Setup.Channels,
			res.Received, res.Expected, res.Lost, res.Duplicated, res.Corrupted)
	}
}

// understood checks and loads a server.
func understood(t *testing.T, run peerRun, args []string) {
	t.Helper()
	fan, scenario, kept := 10, "fanout", filepath.Join(t.TempDir(), "run")
	if run.scenario != "" {
		fan, scenario = 1, run.scenario
	} else if code, out, errs := benchRun(t, append([]string{"check"}, args...)...); code != exitOK || !strings.Contains(out, "the message arrived intact") {
		t.Errorf("check %q: exit %d: %s\n%s", args, code, errs, out)
		return
	}
	channels := "3"
	if run.single {
		fan, channels = 30, "1"
	}
	load := append([]string{scenario, "--subscribers", "30", "--channels", channels, "--rate", "60", "--duration", "1s", "--warmup", "0s", "--out", kept}, args...)
	if code, _, errs := benchRun(t, load...); code != exitOK && (code != exitInvalid || !busyLines(errs)) {
		t.Errorf("%q: exit %d: %s", load, code, errs)
		return
	}
	res, err := report.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}
	if want := uint64(60 * fan); res.Received != want || res.Expected != want || res.Lost+res.Duplicated+res.Reordered+res.Corrupted != 0 {
		t.Errorf("%q: received %d of %d (expected %d), lost %d, duplicated %d, corrupted %d", load, res.Received, res.Expected, want, res.Lost, res.Duplicated, res.Corrupted)
	}
}

// busyLines reports whether this machine was too busy, and nothing else was wrong.
func busyLines(errs string) bool {
	var lines []string
	for line := range strings.Lines(errs) {
		if line, ok := strings.CutPrefix(strings.TrimSpace(line), "weir: "); ok { // others are of the progress
			lines = append(lines, line)
		}
	}
	return busy(errors.New(strings.Join(lines, "\n")))
}

// misunderstood checks a server that is wrongly described, and loads it.
func misunderstood(t *testing.T, args []string, want string, load bool) {
	t.Helper()
	code, out, errs := benchRun(t, append([]string{"check"}, args...)...)
	if code != exitFailure || !strings.HasPrefix(errs, "weir: bench: ") || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) {
		t.Errorf("check %q: exit %d, expected %q: %s\n%s", args, code, want, errs, out)
	}
	if !load {
		return
	}
	args = append([]string{"fanout", "--subscribers", "3", "--rate", "20", "--duration", "500ms", "--warmup", "0s"}, args...)
	code, _, errs = benchRun(t, args...)
	if code != exitUsage && code != exitInvalid || !strings.Contains(errs, "weir: bench: ") {
		t.Errorf("%q: exit %d: %s", args, code, errs)
	}
}
