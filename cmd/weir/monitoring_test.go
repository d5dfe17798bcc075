package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"weir/loadtest/report"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/systems/hooks"
	"weir/relay/systems/outbox"
	"weir/relay/systems/webhook"
)

const docs = "../../docs"

// scrape starts a relay with all that can be counted switched on and returns what it exposes.
func scrape(t *testing.T) []byte {
	t.Helper()
	cfg := config.Config{Dev: true, Data: t.TempDir(), Known: known()}.WithDefaults()
	cfg.Namespaces["kept"] = config.Namespace{Durable: true}
	endpoints := webhook.Config{{Name: "backend", URL: "http://127.0.0.1:1/", Topics: []string{"none"},
		Secrets: []string{"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}}}
	*config.Of[webhook.Config](&cfg) = endpoints
	cfg.Auth.Webhook = config.AuthWebhook{URL: "http://127.0.0.1:1/", Secrets: endpoints[0].Secrets}
	*config.Of[hooks.Config](&cfg) = hooks.Config{URL: "http://127.0.0.1:1/", Secrets: endpoints[0].Secrets}
	config.Of[outbox.Config](&cfg).Postgres = "postgres://weir@127.0.0.1:1/shop"
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
	return body
}

// TestMetricsInDocs holds every metric that the dashboard, the alerts and the pages name against those there are.
func TestMetricsInDocs(t *testing.T) {
	known := make(map[string]bool)
	for _, m := range relay.Metrics() {
		if m.Part == "cluster" { // TestClusterMetrics (package hub) holds that they are counted
			known[m.Name] = true
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)[ {]`).FindAllSubmatch(scrape(t), -1) {
		known[string(m[1])] = true
	}
	for _, s := range (&report.Result{Series: make([]report.Point, 1)}).Metrics() { // of weir bench
		known[s.Name] = true
	}
	name := regexp.MustCompile(`\b(weir|process|go)_[a-z0-9_]+\b`)
	notMetrics := map[string]bool{"weir_0": true, "weir_controller": true, "weir_poll_votes_total": true, "weir_outbox": true, "weir_name_owners": true} // names in guides, of a package, and of a bucket
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
	inside := func(name string) string {
		first, _, _ := strings.Cut(read(name), "\n---\n")
		object.Data = nil
		if err := yaml.Unmarshal([]byte(first), &object); err != nil {
			t.Fatal(err)
		}
		return object.Data["weir.yaml"]
	}
	secrets := []string{"WEIR_AUTH_SECRET=" + testSecret, "WEIR_API_KEY=" + testSecret + "b", "WEIR_ADMIN_TOKEN=" + testSecret + "c"}
	for _, one := range []struct {
		name, text string
		env        []string
	}{
		{"weir.yaml", strings.ReplaceAll(read("weir.yaml"), "/etc/weir/", dir+"/"), nil},
		{"kubernetes.yaml", inside("kubernetes.yaml"), secrets},
		{"weir-cluster.yaml", strings.ReplaceAll(read("weir-cluster.yaml"), "/etc/weir/", dir+"/"), nil},
		{"kubernetes-cluster.yaml", inside("kubernetes-cluster.yaml"), append(secrets, "WEIR_CLUSTER_EMBED_PASSWORD="+testSecret+"d")},
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

// exposed is a line of what is exposed.
var exposed = regexp.MustCompile(`(?m)^(\w+)(?:\{(.*)\})? \S+$`)

// family is the metric of a sample: those of a histogram have three.
func family(name string, known map[string]*relay.Metric) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && known[base] != nil && known[base].Type == "histogram" {
			return base
		}
	}
	return name
}

// TestMetricTable holds the list of what is counted against what is exposed: names, types and labels, each with one # HELP
// and one # TYPE before its samples, and no metric in two places.
func TestMetricTable(t *testing.T) {
	known := make(map[string]*relay.Metric)
	for _, m := range relay.Metrics(modules()...) {
		if known[m.Name] != nil || m.Help == "" || strings.ContainsAny(m.Help, "\\\n") {
			t.Errorf("%s: listed twice, or without a line of help", m.Name)
		}
		known[m.Name] = &m
	}
	seen, current := make(map[string]bool), ""
	for line := range strings.Lines(string(scrape(t))) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			if seen[name] {
				t.Errorf("%s has two # TYPE", name)
			}
			seen[name], current = true, name
			if m := known[name]; m == nil && strings.HasPrefix(name, "weir_") {
				t.Errorf("%s is not listed", name)
			} else if m != nil && m.Type != kind {
				t.Errorf("%s is a %s, listed as %s", name, kind, m.Type)
			}
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := exposed.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("no sample: %s", line)
		}
		name := family(m[1], known)
		if !strings.HasPrefix(name, "weir_") {
			continue
		}
		if name != current {
			t.Errorf("%s stands under %s", name, current)
		}
		var labels []string
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[2], -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		if k := known[name]; k != nil && !slices.Equal(labels, k.Labels) {
			t.Errorf("%s has the labels %v, listed are %v", name, labels, k.Labels)
		}
	}
	for name, m := range known {
		if !seen[name] && m.Part != "cluster" { // TestClusterMetrics (package hub) holds these
			t.Errorf("%s is listed, and not exposed", name)
		}
	}
}

// TestMetricsPage holds docs/metrics.md against the list; with -update it is written anew.
func TestMetricsPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Metrics\n\nThe admin listener serves metrics at `/metrics`, in the text format of Prometheus, with `# HELP` and `# TYPE`. " +
		"This page is generated\nfrom the code: `go test ./cmd/weir -run TestMetricsPage -update` writes it. Labels have values from a fixed list or from\nthe configuration: " +
		"nothing that a client sends becomes one. Metrics of the process and of Go's runtime\nbegin with `process_` and `go_`. [operations.md](operations.md) says what to watch.\n")
	part := ""
	for _, m := range relay.Metrics(modules()...) {
		if m.Part != part {
			part = m.Part
			b.WriteString("\n## " + strings.ToUpper(part[:1]) + part[1:] + "\n\n| metric | type | labels | |\n|---|---|---|---|\n")
		}
		labels := ""
		for i, l := range m.Labels {
			if i > 0 {
				labels += ", "
			}
			labels += "`" + l + "`"
		}
		b.WriteString("| `" + m.Name + "` | " + m.Type + " | " + labels + " | " + m.Help + " |\n")
	}
	path := filepath.Join(docs, "metrics.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil { //nolint:gosec // a page
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != b.String() {
		t.Errorf("docs/metrics.md is not what the list says (%v): go test ./cmd/weir -run TestMetricsPage -update", err)
	}
}

var update = flag.Bool("update", false, "write the pages that are made from the code")

// TestDashboardLabels holds what the dashboard and the alerts group by, show and select against the labels that there are,
// and that every system has a row.
func TestDashboardLabels(t *testing.T) {
	known := make(map[string]*relay.Metric)
	for _, m := range relay.Metrics(modules()...) {
		known[m.Name] = &m
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	b, err := os.ReadFile(filepath.Join(docs, "monitoring", "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	metric := regexp.MustCompile(`\bweir_\w+`)
	grouped := regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	chosen := regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	shown := regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	charted := make(map[string]bool)
	check := func(where, expr, legend string) {
		names := metric.FindAllString(expr, -1)
		var labels []string
		for _, m := range grouped.FindAllStringSubmatch(expr, -1) {
			for l := range strings.SplitSeq(m[1], ",") {
				if l = strings.TrimSpace(l); l != "" {
					labels = append(labels, l)
				}
			}
		}
		for _, m := range append(chosen.FindAllStringSubmatch(expr, -1), shown.FindAllStringSubmatch(legend, -1)...) {
			labels = append(labels, m[1])
		}
		for _, l := range labels {
			if l == "instance" || l == "job" {
				continue
			}
			for _, n := range names {
				base := family(n, known)
				if m := known[base]; m != nil && !slices.Contains(m.Labels, l) && !(l == "le" && m.Type == "histogram") {
					t.Errorf("%s: %s has no label %s", where, base, l)
				}
			}
		}
		for _, n := range names {
			charted[family(n, known)] = true
		}
	}
	for _, p := range board.Panels {
		for _, x := range p.Targets {
			check("grafana.json, "+p.Title, x.Expr, x.LegendFormat)
		}
	}
	for _, part := range []string{"presence", "chat", "documents", "feed", "notify", "analytics", "webhook", "disk", "authorization"} {
		if !slices.ContainsFunc(relay.Metrics(modules()...), func(m relay.Metric) bool { return m.Part == part && charted[m.Name] }) {
			t.Errorf("no panel shows %s", part)
		}
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	if b, err = os.ReadFile(filepath.Join(docs, "monitoring", "alerts.yml")); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			check("alerts.yml, "+r.Alert, r.Expr, "")
		}
	}
}
