package main

import (
	"bytes"
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
	for _, command := range [][]string{{"verify"}, {"stats"}, {"compact"}, {"export"}, {"import", "-"}} {
		var stderr bytes.Buffer
		args := append([]string{"data", command[0], "--data", dir}, command[1:]...)
		code := run(args, nil, strings.NewReader(""), new(bytes.Buffer), &stderr)
		if code != exitFailure || !strings.Contains(stderr.String(), "in use by another process; stop that server first") {
			t.Errorf("%s: exit %d, %s", command, code, &stderr)
		}
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
