//go:build e2e

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"weir/internal/freeport"
)

// The tests in this file start the real binary, as E2E_BINARY names it, and drive it with clients that are
// not ours: npm ws, npm eventsource, coder/websocket, and curl where there is one.

// daemon is a running binary.
type daemon struct {
	url, admin, token string
	cmd               *exec.Cmd
	log               *bytes.Buffer
	env               []string // of the relay, and of what drives it
}

func binary(t testing.TB) string {
	t.Helper()
	bin := os.Getenv("E2E_BINARY")
	if bin == "" {
		t.Fatal("E2E_BINARY names no binary: run make e2e")
	}
	return bin
}

// startRelay starts the binary as a relay, with variables beside those of this process, and waits until it is ready.
func startRelay(t testing.TB, env []string, flags ...string) *daemon {
	t.Helper()
	listen, admin := freeport.Address(t), freeport.Address(t)
	s := &daemon{url: "http://" + listen, admin: "http://" + admin, log: new(bytes.Buffer), env: env}
	s.cmd = exec.Command(binary(t), append([]string{"serve", "--listen", listen, "--admin", admin}, flags...)...)
	s.cmd.Stderr, s.cmd.Env = s.log, append(os.Environ(), env...)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.log)
		}
	})
	deadline := time.Now().Add(30 * time.Second)
	for {
		resp, err := http.Get(s.admin + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// startDaemon starts a relay in development mode.
func startDaemon(t testing.TB, flags ...string) *daemon {
	t.Helper()
	s := startRelay(t, nil, append([]string{"--dev"}, flags...)...)
	token, err := exec.Command(binary(t), "token", "--dev", "--sub", "e2e").Output()
	if err != nil {
		t.Fatal(err)
	}
	s.token = strings.TrimSpace(string(token))
	return s
}

// aside runs a script that drives a relay of its own, beside other tests.
func aside(t *testing.T, script string, flags ...string) {
	t.Helper()
	t.Parallel()
	startDaemon(t, flags...).node(t, script)
}

func (s *daemon) node(t *testing.T, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Dir = filepath.Join("testdata", "e2e")
	cmd.Env = append(append(os.Environ(), s.env...), "E2E_URL="+s.url, "E2E_TOKEN="+s.token)
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// TestE2EBrowser lets Chromium run the demos and the dashboard, with the server killed under them, and show the reports
// of load tests at several widths. The script starts the server itself. Pictures go to bin/screenshots.
func TestE2EBrowser(t *testing.T) { browse(t, freeport.Address(t), "") }

// browse runs the browser's script with a relay that listens on an address, by way of base if that is not empty.
func browse(t *testing.T, listen, base string) {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "browser.mjs")
	cmd.Dir = filepath.Join("testdata", "e2e")
	cmd.Env = append(os.Environ(), "E2E_BINARY="+binary(t), "E2E_LISTEN="+listen, "E2E_ADMIN="+freeport.Address(t), "E2E_SHOTS="+screenshots(t))
	if base != "" {
		cmd.Env = append(cmd.Env, "E2E_BASE="+base)
	}
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Fatalf("browser.mjs: %v\n%s", err, out)
	}
}

func TestE2ENodeWS(t *testing.T)           { aside(t, "ws.mjs") }
func TestE2ESimplestFrontEnd(t *testing.T) { aside(t, "plain.mjs") }
func TestE2ENodeEventSource(t *testing.T)  { aside(t, "sse.mjs") }
func TestE2EClient(t *testing.T)           { aside(t, "client.mjs") }

// TestE2EBreak: the page that breaks things says what came of it. Pictures go to bin/screenshots, as those of TestE2EBrowser do.
func TestE2EBreak(t *testing.T) { startPictured(t, "--data", t.TempDir()).node(t, "break.mjs") }

// TestE2EAnswer: a text that grows token by token, on pages that are closed and opened in the middle.
func TestE2EAnswer(t *testing.T) { startPictured(t).node(t, "answer.mjs") }

// TestE2EClusterDemo: the same demo in two browsers on two nodes of a cluster, one of which is killed. The script starts the nodes.
func TestE2EClusterDemo(t *testing.T) {
	t.Parallel()
	clustered(t, "cluster.mjs")
}

// TestE2EClusterDemos: all that people do in the other demos, as well. It has ten pages, and no other test beside it.
func TestE2EClusterDemos(t *testing.T) { clustered(t, "cluster-demos.mjs") }

// clustered runs a script that starts nodes itself.
func clustered(t *testing.T, script string) {
	t.Helper()
	s := &daemon{env: []string{"E2E_BINARY=" + binary(t), "E2E_SHOTS=" + screenshots(t)}}
	s.node(t, script)
}

// startPictured starts a relay in development mode for a script that takes pictures.
func startPictured(t *testing.T, flags ...string) *daemon {
	t.Helper()
	s := startDaemon(t, flags...)
	s.env = append(s.env, "E2E_SHOTS="+screenshots(t))
	return s
}

// screenshots is the folder for pictures of a test.
func screenshots(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "bin", "screenshots", strings.ReplaceAll(t.Name(), "TestE2E", "")))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestE2EFrameworks: apps in React and Vue, in Chromium.
func TestE2EFrameworks(t *testing.T) { startDaemon(t).node(t, "frameworks.mjs") }

// TestE2ETabs: eight tabs in Chromium share a connection.
func TestE2ETabs(t *testing.T) { aside(t, "tabs.mjs") }

// message is what this test looks at of what the relay sends.
type message struct {
	Type     string          `json:"type"`
	ID       int             `json:"id"`
	Channel  string          `json:"channel"`
	Seq      uint64          `json:"seq"`
	Data     json.RawMessage `json:"data"`
	Messages []message       `json:"messages"`
}

func TestE2ECoderWebSocket(t *testing.T) {
	s := startDaemon(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, s.url+"/ws", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + s.token}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(1 << 20) // a hundred messages in one
	read := func() (m message) {
		t.Helper()
		if err := wsjson.Read(ctx, c, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := read(); m.Type != "connected" {
		t.Fatalf("first frame %+v", m)
	}
	if err := wsjson.Write(ctx, c, map[string]any{"type": "subscribe", "id": 1, "channel": "e2e:go"}); err != nil {
		t.Fatal(err)
	}
	if m := read(); m.Type != "subscribed" || m.ID != 1 {
		t.Fatalf("answer %+v", m)
	}
	const n = 500
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, "{\"channel\":\"e2e:go\",\"data\":%d}\n", i)
	}
	s.post(t, "/v1/publish", "application/x-ndjson", lines.String())
	for next := 0; next < n; {
		m := read()
		list := m.Messages
		if m.Type == "channel_update" {
			list = []message{m}
		}
		for _, x := range list {
			if string(x.Data) != fmt.Sprint(next) {
				t.Fatalf("message %s where %d is due", x.Data, next)
			}
			next++
		}
	}
	// The process drains: what was accepted arrives, then the close, then exit 0.
	s.post(t, "/v1/publish", "application/json", `{"channel":"e2e:go","data":"last"}`)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if m := read(); string(m.Data) != `"last"` {
		t.Fatalf("before the close: %+v", m)
	}
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != 4100 {
		t.Fatalf("close: %v", err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("exit: %v", err)
	}
}

func (s *daemon) post(t *testing.T, path, kind, body string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer dev")
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answered %d %s", path, resp.StatusCode, b)
	}
}

// TestE2EChannelsOfADirectory lists what an earlier process has stored, and ends in order then.
func TestE2EChannelsOfADirectory(t *testing.T) {
	dir := t.TempDir()
	s := startDaemon(t, "--data", dir)
	var made struct{ ID string }
	if status := s.call(t, s.token, "POST", "/chat/rooms", `{"name":"Hall"}`, &made); status != 201 {
		t.Fatal(status)
	}
	for round := range 2 {
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := s.cmd.Wait(); err != nil {
			t.Fatalf("exit of %d: %v", round, err)
		}
		s = startDaemon(t, "--data", dir)
		var list struct{ Channels []struct{ Channel string } }
		if status := s.call(t, "dev", "GET", "/v1/channels", "", &list); status != 200 || len(list.Channels) == 0 {
			t.Fatalf("%d, %+v", status, list)
		}
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("exit: %v", err)
	}
}

// TestE2ERefusesWithoutKeys holds that nothing starts open by accident.
func TestE2ERefusesWithoutKeys(t *testing.T) {
	out, err := exec.Command(binary(t), "serve").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--dev") {
		t.Fatalf("serve without keys: %v\n%s", err, out)
	}
}
