//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every scenario of the load tester runs against the real relay for a second or two and must account for every
// message. Nothing here depends on how fast that goes.
func TestE2EScenarios(t *testing.T) {
	relay := startDaemon(t)
	bin := binary(t)
	for _, one := range []struct {
		scenario string
		flags    []string
		expects  bool // deliveries
	}{
		{"fanout", []string{"--subscribers", "50", "--channels", "2", "--rate", "200"}, true},
		{"fanout", []string{"--transport", "sse", "--subscribers", "20", "--channels", "1", "--rate", "100"}, true},
		{"many", []string{"--subscribers", "60", "--channels", "20", "--rate", "200"}, true},
		{"chat", []string{"--subscribers", "40", "--channels", "4", "--rate", "100"}, true},
		{"presence", []string{"--subscribers", "40", "--channels", "2", "--rate", "40"}, true},
		{"analytics", []string{"--subscribers", "10", "--channels", "1", "--rate", "200"}, true},
		{"idle", []string{"--subscribers", "100", "--channels", "10"}, false},
		{"connect", []string{"--rate", "50"}, true},
		{"ingress", []string{"--rate", "500"}, false},
		{"ingress", []string{"--rate", "2000", "--batch", "100"}, false},
		{"herd", []string{"--subscribers", "60", "--channels", "3"}, true},
		{"slow", []string{"--subscribers", "100", "--channels", "1", "--rate", "100"}, true},
	} {
		t.Run(one.scenario, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "run.weir")
			args := append([]string{"bench", one.scenario, "--url", relay.url, "--duration", "2s", "--warmup", "200ms", "--json", "--out", out,
				"--fail-if", "lost>0", "--fail-if", "duplicated>0", "--fail-if", "reordered>0", "--fail-if", "corrupted>0"}, one.flags...)
			cmd := exec.Command(bin, args...)
			var said bytes.Buffer
			cmd.Stderr = &said
			raw, err := cmd.Output()
			if err != nil && cmd.ProcessState.ExitCode() != exitInvalid {
				t.Fatalf("%v: %v\n%s", args, err, &said)
			}
			var report struct {
				Expected, Received  int64
				PublishesPerSecond  float64
				DeliveriesPerSecond float64
				Valid               *bool
				InvalidBecause      []string
				Connections         struct{ Other int64 }
			}
			if err := json.Unmarshal(raw, &report); err != nil {
				t.Fatalf("%v: %s", err, raw)
			}
			for _, why := range report.InvalidBecause { // a busy machine is no fault here
				if !strings.HasPrefix(why, "the load generator ") {
					t.Errorf("not valid: %s", why)
				}
			}
			if report.Valid == nil || one.expects && (report.Expected == 0 || report.Received < report.Expected) {
				t.Fatalf("%s", raw)
			}
			if one.scenario == "chat" && report.Connections.Other == 0 {
				t.Errorf("nobody was seen to type: %s", raw)
			}
			// The kept results make the same report again.
			again, err := exec.Command(bin, "bench", "report", out, "--json").Output()
			if err != nil || string(again) != string(raw) {
				t.Fatalf("a report of what was kept differs: %v\n%s\n%s", err, again, raw)
			}
		})
	}
}
