//go:build e2e

package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weir/loadtest/report"
)

// weir bench measures a server of the npm package ws: broadcast, echo and a script of users, in full.
func TestE2EBenchNodeServer(t *testing.T) {
	node := exec.Command("node", "bench.mjs")
	node.Dir, node.Stderr = "testdata/e2e", os.Stderr
	in, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = node.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	address = strings.TrimSpace(address)
	script := filepath.Join(t.TempDir(), "script.yaml")
	if err := os.WriteFile(script, []byte("subscribers: 10\nduration: 2s\nwarmup: -1s\nscript: [connect, publish, {wait-for: {messages: 1}}, disconnect]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"fanout", "--subscribers", "50", "--rate", "50", "--url", address},
		{"echo", "--subscribers", "20", "--rate", "100", "--url", address + "/echo"},
		{"echo", "--subscribers", "20", "--think", "100ms", "--url", address + "/echo"},
		{script, "--url", address},
	} {
		kept := filepath.Join(t.TempDir(), "run")
		if _, err := bench(t, append(args, "--target", "ws", "--out", kept, "--duration", "2s")...); err != nil && !busy(err) {
			t.Errorf("%q: %v", args, err)
		}
		res, err := report.ReadFile(kept)
		if err != nil {
			t.Fatal(err)
		}
		if res.Received == 0 || res.Received != res.Expected || res.Duplicated+res.Corrupted+res.Reordered != 0 || res.LatencyMs.Count == 0 {
			t.Errorf("%q: received %d of %d, duplicated %d, corrupted %d", args, res.Received, res.Expected, res.Duplicated, res.Corrupted)
		}
	}
}
