package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"

	"weir/loadtest/protocol"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
)

const referenceTitle = "## Reference\n"

// TestBenchReference holds the reference of docs/bench.md against the code; with -update it is written anew.
func TestBenchReference(t *testing.T) {
	path := filepath.Join(docs, "bench.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text, _, _ := strings.Cut(string(page), referenceTitle)
	var b strings.Builder
	b.WriteString(text + referenceTitle + "\nMade from the code: `go test ./cmd/weir -run TestBenchReference -update` writes it.\n")
	b.WriteString("\n### Scenarios\n\n| name | what it does | subscribers | channels | rate |\n|---|---|---|---|---|\n")
	for _, s := range scenario.Presets() {
		rate := s.Rate
		for _, st := range s.Stages {
			rate = max(rate, st.Rate)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d | %d | %g |\n", s.Name, s.About, s.Subscribers, max(s.Channels, 1), rate)
	}
	b.WriteString("\n### Presets of targets\n\n| name | what it is |\n|---|---|\n")
	for _, name := range protocol.Names() {
		fmt.Fprintf(&b, "| [`%s`](../loadtest/protocol/presets/%s.yaml) | %s |\n", name, name, cell(protocol.About(name)))
	}
	keys := func(title, file, name, prefix string) {
		fmt.Fprintf(&b, "\n### %s\n\n| key | meaning; default |\n|---|---|\n", title)
		for _, f := range fields(t, file, name) {
			fmt.Fprintf(&b, "| `%s%s` | %s |\n", prefix, f[0], cell(f[1]))
		}
	}
	keys("Keys of a scenario file", "../../loadtest/scenario/scenario.go", "Scenario", "")
	keys("Keys of a stage", "../../loadtest/scenario/scenario.go", "Stage", "stages[].")
	keys("Keys of a step of a script", "../../loadtest/scenario/script.go", "Action", "script[].")
	keys("Keys of wait-for", "../../loadtest/scenario/script.go", "Awaited", "script[].wait-for.")
	const described = "../../loadtest/protocol/protocol.go"
	keys("Keys of a target", described, "Protocol", "target.")
	keys("Keys of a step (open, publish.open)", described, "Step", "")
	keys("Keys of a pattern (expect, refused, when, message)", described, "Pattern", "")
	keys("Keys of message", described, "Arrival", "target.message.")
	keys("Keys of answer", described, "Answer", "target.answer[].")
	keys("Keys of heartbeat", described, "Heartbeat", "target.heartbeat.")
	keys("Keys of publish", described, "Publish", "target.publish.")
	b.WriteString("\n### Variables\n\n| variable | what it stands for |\n|---|---|\n")
	for _, v := range protocol.Variables() {
		fmt.Fprintf(&b, "| `{{%s}}` | %s |\n", v.Name, v.About)
	}
	b.WriteString("\n### Numbers\n\nThose of conditions. In `weir bench compare`, a limit may be a change: `p99>+10%`.\n\n| number | limit |\n|---|---|\n")
	for _, n := range report.Numbers() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", n.Name, n.Kind)
	}
	flagTables(t, &b)
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil { //nolint:gosec // a page
			t.Fatal(err)
		}
		return
	}
	if string(page) != b.String() {
		t.Error("docs/bench.md is not what the code says: go test ./cmd/weir -run TestBenchReference -update")
	}
}

// flagTables writes the flags of every command of weir bench.
func flagTables(t *testing.T, w io.Writer) {
	t.Helper()
	parser, err := kong.New(&commands{}, kong.Name("weir"))
	if err != nil {
		t.Fatal(err)
	}
	for _, top := range parser.Model.Children {
		if top.Name != "bench" {
			continue
		}
		for _, c := range top.Children {
			name := "weir bench " + c.Name
			if c.Name == "run" {
				name = "weir bench SCENARIO"
			}
			_, _ = fmt.Fprintf(w, "\n### %s\n\n%s\n\n| flag | meaning |\n|---|---|\n", name, c.Help)
			for _, f := range c.Flags {
				if f.Name == "help" {
					continue
				}
				_, _ = fmt.Fprintf(w, "| `%s` | %s |\n", strings.ReplaceAll(f.Summary(), "|", "\\|"), cell(f.Help))
			}
		}
	}
}

// cell is a text as it stands in a table.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(strings.TrimSpace(text))
}

// fields are the yaml names and the comments of a struct's fields.
func fields(t *testing.T, file, name string) (list [][2]string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != name {
			return true
		}
		for _, f := range spec.Type.(*ast.StructType).Fields.List {
			key, _, _ := strings.Cut(reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("yaml"), ",")
			about := strings.TrimSpace(f.Comment.Text())
			if key == "" || key == "-" { // embedded, or no key
				continue
			}
			if about == "" {
				t.Errorf("%s: %s.%s has no comment", file, name, key)
			}
			list = append(list, [2]string{key, about})
		}
		return false
	})
	if len(list) == 0 {
		t.Fatalf("no %s in %s", name, file)
	}
	return list
}

// Every scenario file on the page is one, and the examples for CI are YAML.
func TestBenchPageSamples(t *testing.T) {
	scenarios := 0
	for _, s := range samples(t, filepath.Join(docs, "bench.md")) {
		if s.lang != "yml" {
			continue
		}
		var any map[string]any
		if err := yaml.Unmarshal([]byte(s.text), &any); err != nil {
			t.Errorf("line %d: %v", s.line, err)
		}
		if any["target"] == nil && any["script"] == nil {
			continue
		}
		scenarios++
		file, err := scenario.Parse("bench.md", []byte(s.text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&targetFlags{}).config(&program{}, file); err != nil {
			t.Error(err)
		}
		if _, err := (outputs{}).limits(file); err != nil {
			t.Error(err)
		}
	}
	if scenarios == 0 {
		t.Error("no scenario file on the page")
	}
}
