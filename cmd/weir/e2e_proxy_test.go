//go:build e2e

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/freeport"
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
	if out, err := diagnosis(t, proxy, s.token, "--quick"); err != nil || strings.Contains(out, "FAILED") || strings.Count(out, "OK") != 9 {
		t.Errorf("weir doctor: %v\n%s", err, out)
	}
}

// startNginx starts nginx with the shipped configuration before a relay, and returns its address.
func startNginx(t *testing.T, relay string, replace ...string) string {
	t.Helper()
	front, dir := freeport.Address(t), t.TempDir()
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

func TestE2ENginx(t *testing.T) {
	t.Parallel()
	s := startDaemon(t)
	through(t, s, startNginx(t, strings.TrimPrefix(s.url, "http://")))
}

// TestE2EBrowserBehindNginx is TestE2EBrowser through nginx. The demos play the backend, too, so that this nginx
// lets the API for backends through.
func TestE2EBrowserBehindNginx(t *testing.T) {
	listen := freeport.Address(t)
	browse(t, listen, startNginx(t, listen, "location /v1/ { return 403; }", ""))
}

func TestE2ECaddy(t *testing.T) {
	t.Parallel()
	s := startDaemon(t)
	through(t, s, startCaddy(t, strings.TrimPrefix(s.url, "http://")))
}

// startCaddy starts Caddy with the shipped configuration before a relay, and returns its address.
func startCaddy(t *testing.T, relay string, replace ...string) string {
	t.Helper()
	front, dir := freeport.Address(t), t.TempDir()
	site := shipped(t, "Caddyfile", append(replace, ":80 {", "http://"+front+" {", "127.0.0.1:8080", relay)...)
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, []byte("{\n\tadmin off\n\tauto_https off\n\tgrace_period 1s\n}\n"+site), 0o600); err != nil {
		t.Fatal(err)
	}
	startProxy(t, "http://"+front+"/", "caddy", "run", "--config", path, "--adapter", "caddyfile")
	return "http://" + front
}

// TestE2EAlertRules lets Prometheus judge the rules that are shipped.
func TestE2EAlertRules(t *testing.T) {
	out, err := exec.Command("promtool", "check", "rules", filepath.Join(docs, "monitoring", "alerts.yml")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v (make setup installs it)\n%s", err, out)
	}
}
