package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/broker/disk"
)

// While a server has a directory, nothing else touches it, and the user learns what to do.
func TestDataOfARunningServer(t *testing.T) {
	dir := t.TempDir()
	j, err := disk.Open(disk.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	for _, command := range [][]string{{"verify"}, {"stats"}, {"repair"}, {"compact"}, {"export"}, {"import", "-"}} {
		var stderr bytes.Buffer
		args := append([]string{"data", command[0], "--data", dir}, command[1:]...)
		code := run(args, nil, strings.NewReader(""), new(bytes.Buffer), &stderr)
		if code != exitFailure || !strings.Contains(stderr.String(), "in use by another process; stop that server first") {
			t.Errorf("%s: exit %d, %s", command, code, &stderr)
		}
	}
}

// Damage to what was acknowledged is told by every command, and by a server that does not start, until it is repaired.
func TestDataOfADamagedLog(t *testing.T) {
	dir := t.TempDir()
	j, err := disk.Open(disk.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "log", "0000000000000009.wal"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(name string, more ...string) (code int, said string) {
		var out bytes.Buffer
		code = run(append([]string{"data", name, "--data", dir}, more...), nil, strings.NewReader(""), &out, &out)
		return code, out.String()
	}
	if code, said := command("verify"); code != exitOK || !strings.Contains(said, "all whole") || !strings.Contains(said, "4 B at the end of the log are incomplete: left by a crash and never acknowledged") {
		t.Fatal(code, said)
	}
	forget(t, dir)
	for _, name := range []string{"verify", "export", "compact"} {
		if code, said := command(name); code != exitFailure || !strings.Contains(said, "acknowledged changes are lost") {
			t.Errorf("%s: %d, %s", name, code, said)
		}
	}
	if code, said := command("stats"); code != exitOK || !strings.Contains(said, "acknowledged changes are lost") {
		t.Errorf("stats: %d, %s", code, said)
	}
	var stderr bytes.Buffer
	code := run([]string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, nil, strings.NewReader(""), new(bytes.Buffer), &stderr)
	if code == exitOK || !strings.Contains(stderr.String(), "restore a backup, or go on without them: weir data repair") {
		t.Fatalf("serve: %d, %s", code, &stderr)
	}
	if code, said := command("repair"); code != exitOK || !strings.Contains(said, "given up: log: ") {
		t.Fatal(code, said)
	}
	if code, said := command("repair"); code != exitOK || said != "nothing to repair in the log\n" {
		t.Fatal(code, said)
	}
	if code, said := command("verify"); code != exitOK || strings.Contains(said, "lost") {
		t.Fatal(code, said)
	}
}

// forget takes away what says up to where the log was on disk, as of a server that was killed.
func forget(t *testing.T, dir string) {
	t.Helper()
	j, err := disk.Open(disk.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ledgers, err := filepath.Glob(filepath.Join(dir, "log", "*.synced"))
	if err != nil || len(ledgers) != 1 {
		t.Fatal(ledgers, err)
	}
	copied := t.TempDir() // of the database, before it is closed in order
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(copied, "weir.db"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "weir.db"), b, 0o600)
	}
	if err == nil {
		err = os.Remove(ledgers[0])
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A server says why it does not start on a directory that is in use.
func TestServeOnADirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	j, err := disk.Open(disk.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	var stderr bytes.Buffer
	code := run([]string{"serve", "--dev", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, nil, strings.NewReader(""), new(bytes.Buffer), &stderr)
	if code == exitOK || !strings.Contains(stderr.String(), "in use by another process") {
		t.Fatalf("exit %d, %s", code, &stderr)
	}
}
