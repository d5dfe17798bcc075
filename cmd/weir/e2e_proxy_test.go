//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The proxies run with the configuration that docs/deploy ships; only its addresses are replaced.

// shipped is a file of docs/deploy with replacements, each of which must be there to be replaced.
func shipped(t *testing.T, name string, replace ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(docs, "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(text, replace[i]) {
			t.Fatalf("%s does not hold %q", name, replace[i])
		}
		text = strings.ReplaceAll(text, replace[i], replace[i+1])
	}
	return text
}

// startProxy starts a command that runs until the test ends, and waits until url answers.
func startProxy(t *testing.T, url string, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = filepath.Join("/usr/sbin", name) // where Debian puts servers
	}
	cmd := exec.Command(path, args...)
	dir := t.TempDir()
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (make setup installs it)", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, &log)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(20 * time.Millisecond) {
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer", name)
		}
	}
}

// through drives the relay by way of a proxy, with clients that are not ours.
func through(t *testing.T, s *daemon, proxy string) {
	behind := &daemon{url: proxy, token: s.token, env: []string{"E2E_API=" + s.url}}
	behind.node(t, "ws.mjs")
	behind.node(t, "sse.mjs")
	behind.node(t, "client.mjs")
	req, err := http.NewRequest(http.MethodPost, proxy+"/v1/publish", strings.NewReader(`{"channel":"e2e:x","data":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer dev")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("the API for backends is open through the proxy: %d", resp.StatusCode)
	}
	if out, err := diagnosis(t, s, proxy); err != nil || strings.Contains(out, "FAILED") || strings.Count(out, "OK") != 9 {
		t.Errorf("weir doctor: %v\n%s", err, out)
	}
}

// startNginx starts nginx with the shipped configuration before a relay, and returns its address.
func startNginx(t *testing.T, relay string, replace ...string) string {
	t.Helper()
	front, dir := freeAddress(t), t.TempDir()
	text := shipped(t, "nginx.conf", append(replace, "listen 80;", "listen "+front+";", "server 127.0.0.1:8080;", "server "+relay+";")...)
	conf := fmt.Sprintf("daemon off; master_process off; pid %[1]s/pid; error_log stderr notice;\nevents { worker_connections 512; }\n"+
		"http { access_log off; client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;\n%[2]s\n}\n", dir, text)
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	startProxy(t, "http://"+front+"/", "nginx", "-p", dir, "-c", path)
	return "http://" + front
}

// diagnosis is what weir doctor says of a relay behind a proxy.
func diagnosis(t *testing.T, s *daemon, proxy string) (string, error) {
	t.Helper()
	out, err := exec.Command(binary(t), "doctor", proxy, "--token", s.token, "--channel", "e2e:doctor").Output()
	return string(out), err
}

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

// TestE2EDoctor finds what is wrong with nginx, and says what to change.
func TestE2EDoctor(t *testing.T) {
	s := startDaemon(t)
	for name, c := range map[string]struct{ line, instead, check, advice string }{
		"no upgrade":  {"proxy_set_header Connection $weir_connection;", "", "upgrade", "proxy_set_header Connection upgrade"},
		"Host":        {"proxy_set_header Host $http_host;", "", "reach", "proxy_set_header Host"},
		"backends":    {"location /v1/ { return 403; }", "location /v1/ { proxy_pass http://weir; proxy_set_header Host $http_host; proxy_set_header Authorization \"Bearer dev\"; }", "keys", "key"},
		"other paths": {"location / {", "location /sse { return 404; }\nlocation / {", "stream", "route /sse"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := diagnosis(t, s, startNginx(t, strings.TrimPrefix(s.url, "http://"), c.line, c.instead))
			if err == nil || strings.Count(out, "FAILED") != 1 || !regexp.MustCompile("(?m)^"+c.check+" +FAILED").MatchString(out) || !strings.Contains(out, c.advice) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestE2ENginx(t *testing.T) {
	t.Parallel()
	s := startDaemon(t)
	through(t, s, startNginx(t, strings.TrimPrefix(s.url, "http://")))
}

// TestE2EBrowserBehindNginx is TestE2EBrowser through nginx. The demos play the backend, too, so that this nginx
// lets the API for backends through.
func TestE2EBrowserBehindNginx(t *testing.T) {
	listen := freeAddress(t)
	browse(t, listen, startNginx(t, listen, "location /v1/ { return 403; }", ""))
}

func TestE2ECaddy(t *testing.T) {
	t.Parallel()
	s := startDaemon(t)
	front, dir := freeAddress(t), t.TempDir()
	text := "{\n\tadmin off\n\tauto_https off\n\tgrace_period 1s\n}\n" + shipped(t, "Caddyfile", ":80 {", "http://"+front+" {", "127.0.0.1:8080", strings.TrimPrefix(s.url, "http://"))
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startProxy(t, "http://"+front+"/", "caddy", "run", "--config", path, "--adapter", "caddyfile")
	through(t, s, "http://"+front)
}

// TestE2EAlertRules lets Prometheus judge the rules that are shipped.
func TestE2EAlertRules(t *testing.T) {
	out, err := exec.Command("promtool", "check", "rules", filepath.Join(docs, "monitoring", "alerts.yml")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v (make setup installs it)\n%s", err, out)
	}
}
