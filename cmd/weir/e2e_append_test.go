//go:build e2e

package main

import (
	"bufio"
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// printed are the lines of a command that runs.
type printed struct {
	*bufio.Scanner
	t *testing.T
}

// prints starts a command that is ended with the test.
func prints(t *testing.T, stdin io.Reader, args ...string) printed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Stdin = stdin
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	return printed{bufio.NewScanner(out), t}
}

// next wants a line that ends with this.
func (p printed) next(want string) {
	p.t.Helper()
	if !p.Scan() || !strings.HasSuffix(p.Text(), want) {
		p.t.Fatalf("%q %v, want %q", p.Text(), p.Err(), want)
	}
}

// TestE2EPubAppend appends what comes on the standard input, cut within a character, and watches it grow.
func TestE2EPubAppend(t *testing.T) {
	s := startDaemon(t)
	item := []string{"pub", "cli:2", "-u", s.url, "--append", "--key", "a"}
	if out, err := exec.Command(binary(t), "pub", "cli:2", "ready", "-u", s.url, "--key", "r").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	grows := prints(t, nil, "tail", "cli:2", "-u", s.url)
	whole := prints(t, nil, "sub", "cli:2", "-u", s.url, "--whole")
	raw := prints(t, nil, "sub", "cli:2", "-u", s.url, "--json")
	for _, p := range []printed{grows, whole} {
		p.next(` item items/r "ready"`)
	}
	for !strings.Contains(raw.Text(), `"type":"subscribed"`) && raw.Scan() {
	}
	text, stdin := io.Pipe()
	defer stdin.Close()
	pub := prints(t, text, append(item, "--offset", "0")...)
	tell := func(b string) {
		t.Helper()
		if _, err := io.WriteString(stdin, b); err != nil {
			t.Fatal(err)
		}
	}
	tell("H\xc3")
	pub.next(":2")
	grows.next(`cli:2 2 append items/a "H"`)
	whole.next(`cli:2 2 set items/a "H"`)
	raw.next(`"seq":2,"op":"append","group":"items","key":"a","data":"H"}`)
	tell("\xa9 <wörld> 🌊\n\"")
	pub.next(":3")
	grows.next(`cli:2 3 append items/a "é <wörld> 🌊\n\""`)
	whole.next(`cli:2 3 set items/a "Hé <wörld> 🌊\n\""`)
	stdin.Close()
	if pub.Scan() {
		t.Errorf("after the end: %q", pub.Text())
	}
	// Text is taken as it is, and an offset that is wrong is said.
	out, err := exec.Command(binary(t), append(item, "5", "--offset", "4")...).CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("wrong_offset: the text has 14 code points: offset must be 14")) {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := exec.Command(binary(t), append(item, "5", "--offset", "14")...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	grows.next(`cli:2 4 append items/a "5"`)
	late := prints(t, nil, "sub", "cli:2", "-u", s.url)
	late.next(`cli:2 4 item items/a "Hé <wörld> 🌊\n\"5"`)
}
