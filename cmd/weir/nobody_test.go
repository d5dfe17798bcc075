package main

import (
	"bufio"
	"encoding/json"
	stdlog "log"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The relay goes on when whoever reads its log and its output has gone away, and no line of the log is foreign.
func TestServeWhenNobodyReads(t *testing.T) {
	log, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = out.Close() // the welcome goes nowhere
	cmd := exec.Command("weir", "serve", "--dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	_, _ = stdout.Close(), stderr.Close()
	lines := bufio.NewScanner(log)
	for ready := false; !ready; {
		if !lines.Scan() {
			t.Fatal("it ends before it is ready")
		}
		var line struct{ Time, Level, Msg string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil || line.Time == "" {
			t.Errorf("a foreign line: %s", lines.Text())
		}
		ready = line.Msg == "ready"
	}
	_ = log.Close()
	for range 3 {
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond) // or they would be one
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// What libraries log are entries of ours.
func TestForeignLines(t *testing.T) {
	var b strings.Builder
	p, log := pipeTo(&b)
	undo := takeForeign(log)
	stdlog.Print("something of a library")
	undo()
	p.close()
	if !strings.Contains(b.String(), `"level":"WARN","msg":"something of a library"`) {
		t.Error(b.String())
	}
}
