package mutations

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// root is the module's directory.
const root = "../.."

// apply returns the files of a mutation as they are with it.
func (m *mutation) apply(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, e := range m.edits {
		text, ok := files[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Errorf("%s: found %d times in %s, expected once: %q", m.name, n, e.file, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files
}

// Each mutation is of what is there.
func TestMutationsFit(t *testing.T) {
	for i := range mutations {
		mutations[i].apply(t)
	}
}

// Each mutation is found by the tests that are to find it. It takes some minutes; RUN=regexp of go test selects some.
func TestMutations(t *testing.T) {
	if os.Getenv("SUITES") == "" {
		t.Skip("SUITES=1 runs it")
	}
	for i := range mutations {
		m := &mutations[i]
		t.Run(m.name, func(t *testing.T) {
			begin := time.Now()
			found, out := m.found(t)
			if !found {
				t.Errorf("no test has found it in %v:\n%s", time.Since(begin), out)
			}
			t.Logf("found in %v by go test %s", time.Since(begin).Round(time.Second), strings.Join(m.by, " "))
		})
	}
}

// found runs the tests against a mutation.
func (m *mutation) found(t *testing.T) (found bool, out string) {
	t.Helper()
	dir := t.TempDir()
	overlay := struct{ Replace map[string]string }{make(map[string]string)}
	for file, text := range m.apply(t) {
		original, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		mutated := filepath.Join(dir, strings.ReplaceAll(file, "/", "-"))
		if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[original] = mutated
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, b, 0o600); err != nil {
		t.Fatal(err)
	}
	// It has to compile, or that would be what fails.
	args := append([]string{"test", "-overlay", list, "-vet=off", "-count=1", "-failfast", "-timeout", "10m"}, m.by...)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", append([]string{"test", "-overlay", list, "-vet=off", "-c", "-o", os.DevNull}, m.by[0])...)
	build.Dir = root
	if b, err := build.CombinedOutput(); err != nil {
		t.Fatalf("it does not compile: %s", b)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	b, err = cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatal("it takes too long")
	}
	out = string(b[:min(len(b), 4000)])
	if err != nil && !strings.Contains(string(b), "--- FAIL") && !strings.Contains(string(b), "panic:") && !strings.Contains(string(b), "fatal error:") {
		t.Fatalf("the tests were not run: %v\n%s", err, out)
	}
	return err != nil, out
}
