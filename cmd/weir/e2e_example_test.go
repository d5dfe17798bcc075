//go:build e2e

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"weir/internal/freeport"
)

// TestE2EExampleAsItsPageSays runs the lines of the example's page, one after the other, as somebody types them: when what
// was started before listens. Only addresses are replaced.
func TestE2EExampleAsItsPageSays(t *testing.T) {
	relay, admin, backend := freeport.Address(t), freeport.Address(t), freeport.Address(t)
	dir := t.TempDir()
	config, err := os.ReadFile(filepath.Join(exampleDir, "weir.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := "listen: " + relay + "\nadmin: " + admin + "\n" + strings.Replace(string(config), "127.0.0.1:3000", backend, 1)
	if err := os.WriteFile(filepath.Join(dir, "weir.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bin, err := filepath.Abs(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(bin, filepath.Join(dir, "weir")); err != nil {
		t.Fatal(err)
	}
	lines := samples(t, "../../docs/examples/backend/README.md")[0].text
	_, port, _ := strings.Cut(backend, ":")
	lines = strings.NewReplacer("docs/examples/backend/weir.yaml", filepath.Join(dir, "weir.yaml"), "http://127.0.0.1:8080", "http://"+relay,
		"weir.yaml &\n", "weir.yaml &\n", "node docs/", "PORT="+port+" WEIR_URL=http://"+relay+" node docs/").Replace(lines)
	listens := func(address string) string {
		host, port, _ := strings.Cut(address, ":")
		return "until (exec 3<>/dev/tcp/" + host + "/" + port + ") 2>/dev/null; do sleep 0.05; done\n"
	}
	before, last, found := strings.Cut(lines, "\ncurl -H \"Authorization: Bearer $TOKEN\" http")
	first, rest, also := strings.Cut(before, "\n\nTOKEN=")
	if !found || !also {
		t.Fatalf("the page is another: %s", lines)
	}
	last, _, _ = strings.Cut(last, "#")
	script := "set -e\n" + strings.Replace(first, "weir.yaml &\n", "weir.yaml &\n"+listens(relay), 1) + "\n" + listens(backend) + "TOKEN=" + rest +
		"\nuntil curl -sS -H \"Authorization: Bearer $TOKEN\" http" + strings.TrimSpace(last) + " | grep 'You said: hello'; do sleep 0.1; done\n"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second // what it started in the background keeps its output open
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process, whose output has then been read; received below
	select {
	case <-ended:
	case <-ctx.Done():
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if !strings.Contains(out.String(), "You said: hello") || strings.Contains(out.String(), "unknown variable:") {
		t.Errorf("%s\n%s", script, out)
	}
}
