//go:build faults

package faults

import (
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"weir/relay/cluster"
)

// weir cluster status, check and move against three real nodes, and against two, when the third is killed.
func TestClusterCommands(t *testing.T) {
	nodes := clusterOf(t, 3)
	run := func(args ...string) (string, int) {
		t.Helper()
		cmd := exec.Command(nodes[0].binary(), append(append([]string{"cluster"}, args...), "--admin", "http://"+nodes[0].admin)...)
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	status := func() (s cluster.Status) {
		t.Helper()
		out, code := run("status", "--json")
		if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 {
			t.Fatalf("status: %d %v\n%s", code, err, out)
		}
		return s
	}
	until(t, "all nodes are ready, and each partition has one", func() bool {
		out, code := run("check")
		return code == 0 && strings.Contains(out, "ok: 3 nodes, 64 partitions")
	})
	if out, code := run("status"); code != 0 || strings.Count(out, "ready") != 3 || !strings.Contains(out, " owns ") {
		t.Errorf("status: %d\n%s", code, out)
	}
	of := make(map[string]string) // where the partition of a channel is to go: to whoever has it not
	for _, p := range status().Partitions[:6] {
		to := "weir-1"
		if p.Node == to {
			to = "weir-2"
		}
		number := strconv.Itoa(p.Partition)
		of[number] = to
		if out, code := run("move", number, to); code != 0 || out != "partition "+number+" is at "+to+"\n" {
			t.Errorf("move: %d %s", code, out)
		}
	}
	until(t, "they are where they were moved to", func() bool {
		for _, p := range status().Partitions[:6] {
			if to := of[strconv.Itoa(p.Partition)]; p.Node != to || !p.Pinned {
				return false
			}
		}
		return true
	})
	if out, code := run("move", "kept:1", "nobody"); code == 0 || !strings.Contains(out, "nobody") {
		t.Errorf("move to nobody: %d %s", code, out)
	}
	if out, code := run("move", "64", "weir-1"); code == 0 {
		t.Errorf("move of a partition that there is not: %d %s", code, out)
	}
	nodes[2].kill()
	until(t, "it is missed", func() bool {
		out, code := run("check")
		return code == 1 && strings.Contains(out, "weir-2 is silent")
	})
	nodes[2].start()
	until(t, "all is well", func() bool { _, code := run("check"); return code == 0 })
}
