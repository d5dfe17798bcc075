package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"weir/internal/units"
	"weir/loadtest/replay"
	"weir/loadtest/scenario"
)

// wrongTexts are wrong values of flags that take texts. A flag that is in neither list fails the test.
var wrongTexts = map[string][]string{
	"target": {"--target", "nothing"}, "url": {"--url", "nowhere"}, "publish-url": {"--publish-url", "nowhere"}, "transport": {"--transport", "pigeon"},
	"token": {"--token", "two\nlines"}, "key": {"--key", "two\nlines"}, "token-file": {"--token-file", "/nowhere"}, "token-key": {"--token-key", "/nowhere"},
	"kid": {"--kid", "1", "--token", "x"}, "claims": {"--claims", "{"}, "header": {"--header", "nameless"}, "cookie": {"--cookie", "nameless"},
	"origin": {"--origin", "two\nlines"}, "subprotocol": {"--subprotocol", "two\nlines"}, "ca": {"--ca", "/nowhere", "--url", "https://127.0.0.1:1"}, "var": {"--var", "nameless"},
	"rows": {"--target", "json", "--rows", "/nowhere", "--publish-body", "{}"}, "send": {"--send", "x"}, "answer": {"--target", "json", "--answer", "ping"},
	"message-channel": {"--target", "json", "--publish-body", "{}", "--message-channel", "a["}, "message-data": {"--target", "json", "--publish-body", "{}", "--message-data", "a["},
	"message-prefix": {"--message-prefix", "x"}, "publish-body": {"--target", "json", "--publish-body", "{{nothing}}"}, "publish-method": {"--publish-method", "GET"},
	"publish-header": {"--target", "json", "--publish-header", "nameless"}, "publish-send": {"--target", "json", "--publish-send", "x", "--publish-body", "x"},
	"stage": {"--stage", "soon:5"}, "metrics": {"--metrics", "nowhere"}, "out": {"--out", "/nowhere/x"}, "html": {"--html", "/nowhere/x"}, "csv": {"--csv", "/nowhere/x"},
	"junit": {"--junit", "/nowhere/x"}, "remote-write": {"--remote-write", "nowhere"}, "fail-if": {"--fail-if", "fast"},
	"agents": {"--agents", "nowhere", "--agent-secret", "long enough"}, "agent-secret": {"--agents", "127.0.0.1:1", "--agent-secret", "short"},
	"admin": {"--admin", "nowhere"}, "admin-token": {"--admin-token", "two\nlines"},
	"listen": {"--listen", "nowhere", "--agent-secret", "long enough"}, "baseline": {"--baseline", "/nowhere"},
}

// free are flags that take any text.
var free = []string{"secret", "prefix"}

// Every wrong usage is one line that says what is wrong, and exit code 2.
func TestEveryFlagRefusesWhatIsWrong(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Name("weir"))
	if err != nil {
		t.Fatal(err)
	}
	run := keep(t, t.TempDir(), "run", 10, true)
	begin := map[string][]string{
		"run": {"fanout"}, "check": {}, "compare": {run, run}, "report": {run}, "replay": {recording(t)}, "unit": {}, "agent": {"--listen", "127.0.0.1:0"},
	}
	for _, top := range parser.Model.Children {
		commands := top.Children
		switch top.Name {
		case "record":
			commands = []*kong.Node{top}
		case "bench":
		default:
			continue
		}
		for _, c := range commands {
			for _, f := range c.Flags {
				args := wrongArgs(t, f)
				switch {
				case args == nil:
					continue
				case c.Name == "agent" && f.Name == "agent-secret":
					args = args[2:]
				}
				line := append([]string{"bench", c.Name}, begin[c.Name]...)
				switch c.Name {
				case "run":
					line = append([]string{"bench"}, begin[c.Name]...)
				case "record":
					line = []string{"record"}
				}
				var said bytes.Buffer
				code := (&program{stdout: io.Discard, stderr: &said}).run(append(line, args...))
				text := said.String()
				name := strings.TrimPrefix(f.Name, "message-") // some are said by where they go in a file
				name = strings.TrimPrefix(strings.TrimPrefix(name, "publish-"), "token-")
				if code != exitUsage || !strings.HasPrefix(text, "weir: ") || strings.Count(text, "\n") != 1 || !strings.Contains(text, name) && !strings.Contains(text, args[len(args)-1]) {
					t.Errorf("weir %q: exit %d: %s", append(line, args...), code, text)
				}
			}
		}
	}
	for _, args := range [][]string{
		{"bench", "fanout", "--p99", "5ms"}, {"bench", "fanout", "--probe", "1s"}, {"bench", "fanout", "--inflight", "5"}, {"bench", "fanout", "--agent-secret", "long enough"},
		{"bench", "fanout", "--target", "nchan", "--transport", "sse"}, {"bench", "fanout", "--target", "ws", "--channels", "2"},
		{"bench"}, {"bench", "nothing"}, {"bench", "fanout", "extra"}, {"bench", "fanout", "--nothing"}, {"bench", "/nowhere.yaml"}, {"bench", "fanout", "--rate"},
		{"bench", "compare"}, {"bench", "report"}, {"bench", "report", "/nowhere"}, {"bench", "replay"}, {"bench", "check", "nothing"}, {"bench", "agent"},
	} {
		var said bytes.Buffer
		code := (&program{stdout: io.Discard, stderr: &said}).run(args)
		if len(args) == 1 && code == exitOK { // the help
			continue
		}
		if code != exitUsage || !strings.HasPrefix(said.String(), "weir: ") || strings.Count(said.String(), "\n") != 1 {
			t.Errorf("weir %q: exit %d: %s", args, code, said.String())
		}
	}
}

// wrongArgs is a wrong use of a flag; nil: there is none.
func wrongArgs(t *testing.T, f *kong.Flag) []string {
	t.Helper()
	if args, ok := wrongTexts[f.Name]; ok {
		return args
	}
	kind := f.Target.Type()
	for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
		kind = kind.Elem()
	}
	switch {
	case kind == reflect.TypeFor[time.Duration]():
		return []string{"--" + f.Name, "soon"}
	case kind == reflect.TypeFor[units.Size](), kind == reflect.TypeFor[scenario.Checked]():
		return []string{"--" + f.Name, "many"}
	case kind.Kind() == reflect.Bool:
		return []string{"--" + f.Name + "=perhaps"}
	case kind.Kind() == reflect.String:
		for _, name := range free {
			if f.Name == name {
				return nil
			}
		}
		t.Errorf("no wrong value is known of --%s", f.Name)
		return nil
	}
	return []string{"--" + f.Name, "some"}
}

// recording is a file of weir record.
func recording(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "traffic")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w, err := replay.NewWriter(f, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := w.Add(replay.Sample{At: time.Duration(i) * time.Second, Connections: 1, Channels: []replay.Channel{{ID: "a", Subscribers: 1, Sizes: map[int]uint64{64: 1}}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}
