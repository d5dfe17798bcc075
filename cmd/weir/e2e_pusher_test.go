//go:build e2e

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/freeport"
)

// Apps of the Pusher protocol, driven by its own clients and their suites.

// The apps of the suite, whose hosts and keys are fixed.
const (
	mt1Key, mt1Secret = "c49a449b916bb4246729", "a secret of the first app"
	euKey, euSecret   = "cb7d5e50f5669e5c9ae6", "a secret of the second app"
)

// pusherConfig is the configuration of a relay with both apps.
func pusherConfig(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "weir.yaml")
	text := fmt.Sprintf(`systems: [pusher]
auth: {keys: [{algorithm: HS256, secret: "%[5]s"}]}
api: {keys: [{name: backend, secret: "%[5]s2"}]}
drain: 0s
pusher:
  apps:
    - {id: "1", keys: [{key: %[1]s, secret: "%[2]s"}]}
    - {id: "2", name: eu, namespace: eu, keys: [{key: %[3]s, secret: "%[4]s"}]}
    - {id: "3", name: few, namespace: few, keys: [{key: few, secret: "%[4]s"}], limits: {connections: 12}}
`, mt1Key, mt1Secret, euKey, euSecret, strings.Repeat("k", 40))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startPusher starts a relay with the apps.
func startPusher(t *testing.T, flags ...string) *daemon {
	t.Helper()
	return startRelay(t, nil, append([]string{"--config", pusherConfig(t)}, flags...)...)
}

// inPusher runs a program in the folder of the suites, or below it.
func inPusher(t *testing.T, patience time.Duration, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = filepath.Join("testdata", "pusher", dir)
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it has started ends with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestE2EPusherSDK runs the remote tests of the Node.js SDK, as its package brings them, over plain connections and TLS.
func TestE2EPusherSDK(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, s *daemon, scheme string, env ...string) {
		t.Helper()
		port := s.url[strings.LastIndexByte(s.url, ':'):]
		address := scheme + "://" + mt1Key + ":" + strings.ReplaceAll(mt1Secret, " ", "%20") + "@localhost" + port + "/apps/1"
		out := inPusher(t, 2*time.Minute, "node_modules/pusher", append(env, "PUSHER_URL="+address), "node", "../mocha/bin/mocha", "tests/remote/**/*.js")
		if !strings.Contains(out, "7 passing") {
			t.Error(out)
		}
	}
	t.Run("plain", func(t *testing.T) { run(t, startPusher(t), "http") })
	t.Run("TLS", func(t *testing.T) {
		cert, key := certificate(t, t.TempDir())
		run(t, startPusher(t, "--tls-cert", cert, "--tls-key", key), "https", "NODE_EXTRA_CA_CERTS="+cert)
	})
}

// TestE2EOneChannel has a page with a login hear one channel by weir.js, EventSource and pusher-js at once.
func TestE2EOneChannel(t *testing.T) {
	t.Parallel()
	app, apiKey := freeport.Address(t), strings.Repeat("k", 40)
	here := "http://localhost" + app[strings.LastIndexByte(app, ':'):]
	file := filepath.Join(t.TempDir(), "weir.yaml")
	text := fmt.Sprintf(`systems: [pusher]
api: {keys: [{name: backend, secret: %q}]}
origins: [%q]
hooks: {url: "%s/weir", allow_insecure: true, cookies: [session], secrets: [whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=]}
pusher: {apps: [{id: "1", keys: [{key: %s, secret: %q}]}]}
drain: 0s
`, apiKey, here, here, mt1Key, mt1Secret)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	startRelay(t, []string{"E2E_APP=" + app, "E2E_API_KEY=" + apiKey, "E2E_KEY=" + mt1Key, "E2E_SECRET=" + mt1Secret}, "--config", file).node(t, "onechannel.mjs")
}

// TestE2EPusherClients drives apps as Laravel's pages do, and has pusher-js come back after everything that a relay closes it for.
func TestE2EPusherClients(t *testing.T) {
	t.Parallel()
	out := inPusher(t, 10*time.Minute, "", []string{
		"E2E_BINARY=" + binary(t), "E2E_CONFIG=" + pusherConfig(t), "E2E_LISTEN=" + freeport.Address(t), "E2E_ADMIN=" + freeport.Address(t),
		"E2E_ID=3", "E2E_KEY=few", "E2E_SECRET=" + euSecret, "WEIR_LIMITS_QUEUE=64KiB",
	}, "node", "clients.mjs")
	if !strings.HasSuffix(out, "all\n") {
		t.Error(out)
	}
}

// TestE2EPusherIntegration runs the integration suite of pusher-js, as its package brings it, over plain connections and TLS. It takes
// two minutes and the ports 3000 and 3001: SUITES=1 has it run.
func TestE2EPusherIntegration(t *testing.T) {
	if os.Getenv("SUITES") == "" {
		t.Skip("make suites runs it")
	}
	s := startPusher(t)
	cert, key := certificate(t, t.TempDir())
	out := inPusher(t, 9*time.Minute, "", nil, "node", "integration.mjs", s.url[strings.LastIndexByte(s.url, ':')+1:], mt1Secret, euSecret, cert, key)
	if !strings.Contains(out, "84 of 84 specs") {
		t.Error(out)
	}
}
