//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/freeport"
)

// TestE2ENodePush: web push is read by a library of others.
func TestE2ENodePush(t *testing.T) { aside(t, "push.mjs") }

// TestE2EMercure: the hub serves clients and a publisher of others.
func TestE2EMercure(t *testing.T) { aside(t, "mercure.mjs") }

// TestE2EMercureBrowser: a page's own EventSource follows the hub with a cookie.
func TestE2EMercureBrowser(t *testing.T) { aside(t, "mercure-browser.mjs") }

const exampleDir = "../../docs/examples/backend"

// exampleSecret is that of the example's configuration.
const exampleSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

const (
	e2eAuth = "WEIR_AUTH_SECRET=0123456789abcdef0123456789abcdef"
	e2eKey  = "0123456789abcdef0123456789abcdef"
)

// startConfigured starts the binary with the example's configuration, whose webhook goes to target.
func startConfigured(t *testing.T, target string, flags ...string) *daemon {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(exampleDir, "weir.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(raw), "http://127.0.0.1:3000/weir/events", target, 1)
	if !strings.Contains(text, target) || !strings.Contains(text, exampleSecret) {
		t.Fatal("the example's configuration is another")
	}
	config := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	listen, admin := freeport.Address(t), freeport.Address(t)
	s := &daemon{url: "http://" + listen, admin: "http://" + admin, log: new(bytes.Buffer)}
	s.cmd = exec.Command(binary(t), append([]string{"serve", "--config", config, "--listen", listen, "--admin", admin}, flags...)...)
	s.cmd.Env = append(os.Environ(), e2eAuth, "WEIR_API_KEY="+e2eKey)
	s.cmd.Stderr = s.log
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
	eventually(t, "readiness", func() bool {
		resp, err := http.Get(s.admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	cmd := exec.Command(binary(t), "token", "--sub", "ann", "--name", "Ann")
	cmd.Env = append(os.Environ(), e2eAuth)
	token, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	s.token = strings.TrimSpace(string(token))
	return s
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// call sends a request and decodes the answer into v.
func (s *daemon) call(t *testing.T, bearer, method, path, body string, v any) int {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if v != nil {
		if err := json.Unmarshal(raw, v); err != nil {
			t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, raw)
		}
	}
	return resp.StatusCode
}

// TestE2EExampleBackend runs the example as its README says: a chat message is answered.
func TestE2EExampleBackend(t *testing.T) {
	weir := freeport.Address(t) // known to both before either runs
	node := exec.Command("node", "backend.mjs")
	node.Dir = exampleDir
	node.Env = append(os.Environ(), e2eAuth, "WEIR_WEBHOOK_SECRET="+exampleSecret, "PORT=0", "WEIR_URL=http://"+weir)
	complaints := new(bytes.Buffer)
	node.Stderr = complaints
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = node.Process.Signal(syscall.SIGTERM)
		_ = node.Wait()
		if complaints.Len() > 0 {
			t.Errorf("the backend complains: %s", complaints)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	target, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if err != nil || !ok {
		t.Fatalf("%q: %v", line, err)
	}
	s := startConfigured(t, target, "--listen", weir)
	s.url = "http://" + weir

	var room struct{ ID string }
	if status := s.call(t, s.token, "POST", "/chat/rooms", `{"name":"Hall","members":["bot"]}`, &room); status != 201 {
		t.Fatal(status)
	}
	messages := "/chat/rooms/" + room.ID + "/messages"
	for _, text := range []string{"hello", "and again"} {
		if status := s.call(t, s.token, "POST", messages, `{"content":"`+text+`"}`, nil); status != 201 {
			t.Fatal(status)
		}
		var list struct {
			Messages []struct{ UserID, Content string }
		}
		eventually(t, "answer to "+text, func() bool {
			s.call(t, s.token, "GET", messages, "", &list)
			last := list.Messages[len(list.Messages)-1]
			return last.UserID == "bot" && last.Content == "You said: "+text
		})
	}
	// What is not weir's is refused: no signature, a wrong one, one that is old.
	for _, header := range []http.Header{
		{},
		{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {"1614265330"}, "Webhook-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}},
	} {
		req, err := http.NewRequest("POST", target, strings.NewReader(`{"test": 2432232314}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%v: %d", header, resp.StatusCode)
		}
	}
}

// TestE2EWebhookSurvivesKill: what was accepted is told after kill -9, if there is a data directory.
func TestE2EWebhookSurvivesKill(t *testing.T) {
	got := make(chan string, 1000)
	hook := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
		w.WriteHeader(http.StatusNoContent)
	}))
	target := "http://" + hook.Listener.Addr().String() + "/"
	hook.Listener.Close() // nobody answers yet
	data := t.TempDir()
	s := startConfigured(t, target, "--data", data)
	const events = 50
	for i := range events {
		if status := s.call(t, e2eKey, "POST", "/v1/events", fmt.Sprintf(`{"topic":"chat.message.sent","key":"room:1","data":%d}`, i), nil); status != 202 {
			t.Fatal(i, status)
		}
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()

	ln, err := net.Listen("tcp", hook.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	hook.Listener = ln
	hook.Start()
	defer hook.Close()
	startConfigured(t, target, "--data", data)
	for i := range events {
		select {
		case body := <-got:
			if want := fmt.Sprintf(`"data":%d}`, i); !strings.HasSuffix(body, want) {
				t.Fatalf("%s where %s is due", body, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d came", i, events)
		}
	}
}

// TestE2ENotificationSurvivesKill: devices, notifications and pushes under way outlive kill -9, if there is a data
// directory.
func TestE2ENotificationSurvivesKill(t *testing.T) {
	got := make(chan string, 1000)
	hook := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("webhook-id")
		w.WriteHeader(http.StatusNoContent)
	}))
	address := hook.Listener.Addr().String()
	hook.Listener.Close() // nobody answers yet
	data := t.TempDir()
	s := startDaemon(t, "--data", data)
	if status := s.call(t, s.token, "POST", "/devices", `{"kind":"webhook","url":"http://`+address+`/"}`, nil); status != 201 {
		t.Fatal(status)
	}
	var sent struct{ ID string }
	if status := s.call(t, "dev", "POST", "/v1/notify", `{"userId":"e2e","title":"Hello"}`, &sent); status != 202 {
		t.Fatal(status)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()

	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	hook.Listener = ln
	hook.Start()
	defer hook.Close()
	s = startDaemon(t, "--data", data)
	select {
	case id := <-got:
		if id != sent.ID {
			t.Errorf("%s, want %s", id, sent.ID)
		}
	case <-time.After(20 * time.Second):
		t.Error("it was not pushed")
	}
	var inbox struct {
		Notifications []struct{ ID, Title string }
		Unread        int
	}
	s.call(t, s.token, "GET", "/notifications", "", &inbox)
	if len(inbox.Notifications) != 1 || inbox.Notifications[0].ID != sent.ID || inbox.Unread != 1 {
		t.Errorf("%+v", inbox)
	}
}
