package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"weir/relay"
)

const docs = "../../docs"

// scrape starts a relay with all that can be counted switched on and answers the names of its metrics.
func scrape(t *testing.T) map[string]bool {
	t.Helper()
	cfg := relay.Config{Dev: true, Data: t.TempDir()}.WithDefaults()
	cfg.Namespaces["kept"] = relay.Namespace{Durable: true}
	cfg.Webhooks = []relay.Webhook{{Name: "backend", URL: "http://127.0.0.1:1/", Topics: []string{"none"},
		Secrets: []string{"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}}}
	cfg.Auth.Webhook = relay.AuthWebhook{URL: "http://127.0.0.1:1/", Secrets: cfg.Webhooks[0].Secrets}
	srv, err := newServer(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	public, admin := loopbackListener(t), loopbackListener(t)
	ended := make(chan error, 1)
	go func() { ended <- srv.(*relay.Relay).ServeOn(ctx, public, admin) }() // cancel ends it; waited for below
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	<-srv.Ready()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + admin.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	known := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^(\w+)[ {]`).FindAllSubmatch(body, -1) {
		known[string(m[1])] = true
	}
	return known
}

// TestMetricsInDocs holds every metric that the dashboard, the alerts and the pages name against those there are.
func TestMetricsInDocs(t *testing.T) {
	known := scrape(t)
	name := regexp.MustCompile(`\b(weir|process|go)_[a-z0-9_]+\b`)
	notMetrics := map[string]bool{"weir_tokens_controller": true}
	files := []string{"../../README.md"}
	for _, pattern := range []string{"*.md", "monitoring/*", "guides/*"} {
		found, err := filepath.Glob(filepath.Join(docs, pattern))
		if err != nil || len(found) == 0 {
			t.Fatal(pattern, found, err)
		}
		files = append(files, found...)
	}
	n := 0
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllString(string(b), -1) {
			if notMetrics[m] || known[m] || known[m+"_bucket"] {
				n++
				continue
			}
			t.Errorf("%s names %s, which is not counted", filepath.Base(path), m)
		}
	}
	if n < 50 {
		t.Errorf("only %d names found: is this test reading the right files?", n)
	}
}

// TestAlertRules holds what Prometheus does not check: every rule says how bad it is, what is wrong and what to do.
func TestAlertRules(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(docs, "monitoring", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			if seen[r.Alert] || r.Expr == "" || r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
				t.Errorf("%s: given twice, or without expr, summary or action", r.Alert)
			}
			if s := r.Labels["severity"]; s != "critical" && s != "warning" {
				t.Errorf("%s: severity %q", r.Alert, s)
			}
			seen[r.Alert] = true
		}
	}
	if len(seen) == 0 {
		t.Error("no rules")
	}
}

// TestShippedConfig holds that the configuration that is shipped for production, and the one inside the example
// for Kubernetes, are good.
func TestShippedConfig(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"token-secret": testSecret, "api-key": testSecret + "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(docs, "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	var object struct {
		Data map[string]string
	}
	first, _, _ := strings.Cut(read("kubernetes.yaml"), "\n---\n")
	if err := yaml.Unmarshal([]byte(first), &object); err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		name, text string
		env        []string
	}{
		{"weir.yaml", strings.ReplaceAll(read("weir.yaml"), "/etc/weir/", dir+"/"), nil},
		{"kubernetes.yaml", object.Data["weir.yaml"], []string{
			"WEIR_AUTH_SECRET=" + testSecret, "WEIR_API_KEY=" + testSecret + "b", "WEIR_ADMIN_TOKEN=" + testSecret + "c"}},
	} {
		path := filepath.Join(dir, one.name)
		if err := os.WriteFile(path, []byte(one.text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		p := &program{env: one.env, stdin: strings.NewReader(""), stdout: &out, stderr: &out}
		if code := p.run([]string{"config", "check", "--config", path}); code != exitOK || one.text == "" {
			t.Errorf("%s: %s", one.name, out.String())
		}
	}
}
