//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestE2EPubSub publishes and subscribes from the command line.
func TestE2EPubSub(t *testing.T) {
	s := startDaemon(t)
	pub := func(args ...string) string {
		out, err := exec.Command(binary(t), append([]string{"pub", "cli:1", "-u", s.url}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	at := regexp.MustCompile(`^\w+:1\n$`)
	if out := pub(`{"n":1}`, "--key", "score"); !at.MatchString(out) {
		t.Errorf("%q is no position", out)
	}
	var got bytes.Buffer
	sub := exec.Command(binary(t), "tail", "cli:1", "-u", s.url, "-n", "1")
	sub.Stdout, sub.Stderr = &got, &got
	if err := sub.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sub.Wait() }() // the first change that it hears ends it
	for {
		pub("hello")
		select {
		case err := <-ended:
			if err != nil || !regexp.MustCompile(`(?m)^cli:1 \d+ item items/score {"n":1}\ncli:1 \d+ send - "hello"\n\z`).MatchString(got.String()) {
				t.Errorf("%v: %q", err, got.String())
			}
			return
		default:
		}
	}
}

// TestE2EWhy asks a relay about clients that are not there.
func TestE2EWhy(t *testing.T) {
	s := startDaemon(t)
	for _, tt := range []struct{ claims, channel, last string }{
		{"", "room:1", "ALLOWED: subscribe on room:1"},
		{"", "chat:1", "REFUSED: subscribe on chat:1: forbidden"},
		{"chat:*:subscribe", "chat:1", "ALLOWED: subscribe on chat:1"},
	} {
		args := []string{"token", "--dev", "--sub", "u1"}
		if tt.claims != "" {
			args = append(args, "--channel", tt.claims)
		}
		token, err := exec.Command(binary(t), args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		why := exec.Command(binary(t), "why", tt.channel, "--admin", s.admin, "--token", "-")
		why.Stdin = bytes.NewReader(token)
		out, err := why.Output()
		if (err == nil) != strings.HasPrefix(tt.last, "ALLOWED") || !strings.HasSuffix(string(out), tt.last+"\n") || !strings.Contains(string(out), "the client is user u1\n") {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// TestE2ETop watches a relay, as lines and as JSON.
func TestE2ETop(t *testing.T) {
	s := startDaemon(t)
	out, err := exec.Command(binary(t), "top", "--admin", s.admin, "-n", "1").CombinedOutput()
	if err != nil || !regexp.MustCompile(`(?m)^connections 0 \(ws 0, sse 0\)  channels \d+  subscriptions 0$`).Match(out) {
		t.Errorf("%v: %s", err, out)
	}
	out, err = exec.Command(binary(t), "top", "--admin", s.admin, "-n", "1", "--json").Output()
	var x struct{ Series map[string][]*float64 }
	if err != nil || json.Unmarshal(out, &x) != nil || len(x.Series["connections"]) == 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// TestE2ETrace: a message is found by the position that its publication was told, and one that there is not is said to be none.
func TestE2ETrace(t *testing.T) {
	s := startDaemon(t)
	if out, err := exec.Command(binary(t), "pub", "-u", s.url, "room:1", `"hello"`).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command(binary(t), "trace", "--admin", s.admin, "room:1", "1").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "\nin the log: ") || !strings.Contains(string(out), `"hello"`) {
		t.Errorf("%v: %s", err, out)
	}
	out, err = exec.Command(binary(t), "trace", "--admin", s.admin, "room:1", "1", "--json").Output()
	if err != nil || !json.Valid(out) {
		t.Errorf("%v: %s", err, out)
	}
	if err := exec.Command(binary(t), "trace", "--admin", s.admin, "room:1", "2").Run(); err == nil {
		t.Error("a message that there is not is found")
	}
}

// TestE2EWhyHook: the backend's answer is part of the way, whatever it is.
func TestE2EWhyHook(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct{ Channel string }
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Channel == "room:broken" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"allow":%v}`, q.Channel == "room:yes")
	}))
	t.Cleanup(backend.Close)
	path := filepath.Join(t.TempDir(), "weir.yaml")
	text := fmt.Sprintf("hooks: {url: %q, allow_insecure: true, secrets: [%s], ask: [subscribe]}\nnamespaces: {room: {subscribe: webhook}}\n", backend.URL, exampleSecret)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startRelay(t, []string{"WEIR_AUTH_SECRET=" + e2eKey, "WEIR_API_KEY=" + e2eKey}, "--config", path)
	mint := exec.Command(binary(t), "token", "--sub", "u1", "--secret", e2eKey)
	token, err := mint.Output()
	if err != nil {
		t.Fatal(err)
	}
	for channel, want := range map[string]struct {
		allowed bool
		code    string
		step    string
	}{
		"room:yes":    {true, "", "the backend allows it"},
		"room:no":     {false, "forbidden", "the backend does not allow it"},
		"room:broken": {false, "unavailable", "the backend gave no decision"},
	} {
		why := exec.Command(binary(t), "why", channel, "--admin", s.admin, "--token", "-", "--json")
		why.Stdin = bytes.NewReader(token)
		out, err := why.Output()
		var e explanation
		if bad := json.Unmarshal(out, &e); bad != nil || e.Allowed != want.allowed || e.Code != want.code || (err == nil) != want.allowed {
			t.Errorf("%s: %v, %v: %s", channel, bad, err, out)
		}
		if n := len(e.Steps); n < 4 || e.Steps[0] != "the token is signed by a key for HS256" || !strings.Contains(e.Steps[n-2], `namespace room: subscribe is "webhook"`) || !strings.Contains(e.Steps[n-1], want.step) {
			t.Errorf("%s: %q", channel, e.Steps)
		}
	}
}

// TestE2EToolsEndQuietly: Ctrl-C and a pipe that nobody reads any more end the commands that go on, without a word, and with --json each of their lines
// is JSON.
func TestE2EToolsEndQuietly(t *testing.T) {
	t.Parallel()
	s := startDaemon(t)
	publish := func(t *testing.T) {
		s.call(t, "dev", "POST", "/v1/publish", `{"channel":"quiet:1","data":{"n":1}}`, nil)
	}
	publish(t)
	for name, args := range map[string][]string{
		"sub":  {"sub", "quiet:1", "-u", s.url, "--json"},
		"tail": {"tail", "quiet:1", "-u", s.url, "--json"},
		"top":  {"top", "--admin", s.admin, "--json"},
		"pub":  {"pub", "quiet:1", "-u", s.url, "--json"},
	} {
		for _, closed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, pipe closed %v", name, closed), func(t *testing.T) {
				t.Parallel()
				cmd := exec.Command(binary(t), args...)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				in, err := cmd.StdinPipe()
				if err != nil {
					t.Fatal(err)
				}
				var said bytes.Buffer
				cmd.Stderr = &said
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = cmd.Process.Kill() })
				if name == "pub" {
					_, _ = io.WriteString(in, "one line\n")
				}
				line, err := bufio.NewReader(out).ReadBytes('\n') // it is at work
				if err != nil || !json.Valid(line) {
					t.Errorf("%v: %s", err, line)
				}
				if closed {
					_ = out.Close()
				} else if err := cmd.Process.Signal(os.Interrupt); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- cmd.Wait() }() // ends with the command
				deadline := time.After(time.Minute)
				for {
					publish(t) // a closed pipe shows when something is to be written
					if name == "pub" {
						_, _ = io.WriteString(in, "another line\n")
					}
					select {
					case err := <-ended:
						// A signal of the system's may end it, too: what matters is that nothing is said.
						if exit, ok := errors.AsType[*exec.ExitError](err); said.Len() > 0 || err != nil && (!ok || exit.ExitCode() > 0) {
							t.Errorf("%v: %q", err, said.String())
						}
						return
					case <-deadline:
						t.Fatal("it goes on")
					case <-time.After(20 * time.Millisecond):
					}
				}
			})
		}
	}
}
