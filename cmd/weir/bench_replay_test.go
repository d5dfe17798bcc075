package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/loadtest/report"
	"weir/relay/config"
	"weir/relay/relaytest"
)

// What a relay does is recorded without names and data, and played again, in full.
func TestRecordAndReplay(t *testing.T) {
	rig := relaytest.Start(t, func(cfg *config.Config) { *cfg = config.Config{Dev: true, Drain: time.Second} })
	dir := t.TempDir()
	kept, run := filepath.Join(dir, "traffic.weir"), filepath.Join(dir, "run")
	load := make(chan error, 1)
	go func() {
		_, err := bench(t, "many", "--subscribers", "40", "--channels", "20", "--rate", "100", "--duration", "4s", "--warmup", "0s", "--url", rig.URL)
		load <- err
	}()
	var said bytes.Buffer
	p := &program{stdout: &said, stderr: io.Discard}
	for rig.Gauge(`weir_connections`) < 40 { // each look is a request
		runtime.Gosched()
	}
	if code := p.run([]string{"record", "--for", "2s", "--every", "500ms", "--admin", rig.Admin, "--out", kept}); code != exitOK {
		t.Fatal(code, said.String())
	}
	if err := <-load; err != nil && !busy(err) {
		t.Error(err)
	}
	f, err := os.Open(kept)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil || strings.Contains(string(text), "bench:") || !strings.Contains(string(text), `"sizes":{"128"`) {
		t.Errorf("%v: %.300s", err, text)
	}
	if _, err := bench(t, "replay", kept, "--times", "3", "--url", rig.URL, "--out", run); err != nil && !busy(err) {
		t.Error(err)
	}
	res, err := report.ReadFile(run)
	if err != nil {
		t.Fatal(err)
	}
	if res.Setup.Subscribers != 120 || res.Lost+res.Duplicated+res.Corrupted != 0 || res.Received != res.Expected || res.Received == 0 {
		t.Errorf("%d subscribers, received %d of %d", res.Setup.Subscribers, res.Received, res.Expected)
	}
	for _, args := range [][]string{
		{"bench", "replay", run}, {"bench", "replay", "/nowhere"}, {"bench", "replay", kept, "--times", "0"},
		{"record", "--admin", "nowhere"}, {"record", "--admin", rig.URL, "--out", filepath.Join(dir, "x")}, {"record", "--for", "0s"},
	} {
		if code := (&program{stdout: io.Discard, stderr: &said}).run(args); code != exitUsage {
			t.Errorf("%q: exit %d", args, code)
		}
	}
}
