package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/loadtest/report"
	"weir/relay/config"
	"weir/relay/relaytest"
)

// Connections and publishers take the nodes that --url names in turn, and what is published on one arrives on all.
func TestBenchOfNodes(t *testing.T) {
	n := relaytest.Cluster(t, 3, func(cfg *config.Config) { *cfg = config.Config{Dev: true, Drain: time.Second} }, nil)
	run := filepath.Join(t.TempDir(), "run")
	addresses := strings.Join([]string{n.Rigs[0].URL, n.Rigs[1].URL, n.Rigs[2].URL}, ",")
	load := make(chan error, 1)
	go func() {
		_, err := bench(t, "many", "--subscribers", "30", "--channels", "10", "--publishers", "3", "--rate", "50", "--duration", "3s", "--warmup", "0s", "--url", addresses, "--out", run)
		load <- err
	}()
	for _, g := range n.Rigs {
		relaytest.Until(t, "each has its share", func() bool { return g.Gauge(`weir_connections_open{transport="ws"}`) >= 9 })
	}
	if err := <-load; err != nil && !busy(err) {
		t.Error(err)
	}
	res, err := report.ReadFile(run)
	if err != nil {
		t.Fatal(err)
	}
	if res.Lost+res.Duplicated+res.Corrupted != 0 || res.Received != res.Expected || res.Received == 0 {
		t.Errorf("received %d of %d, lost %d, twice %d", res.Received, res.Expected, res.Lost, res.Duplicated)
	}
	for _, wrong := range []string{"http://127.0.0.1:1,https://127.0.0.1:2", "http://127.0.0.1:1,http://127.0.0.1:2/other"} {
		if _, err := bench(t, "fanout", "--url", wrong); err == nil || !strings.Contains(err.Error(), "the scheme and the path of the first one") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if _, err := bench(t, "fanout", "--url", "http://127.0.0.1:1,http://192.0.2.7"); err == nil || !strings.Contains(err.Error(), "--i-own-this-target") {
		t.Error(err)
	}
}
