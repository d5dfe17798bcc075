package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/broker/disk"
	"weir/relay/cluster"
)

// The commands ask a node, print what it says, and end with 1 if something is wrong.
func TestClusterCommands(t *testing.T) {
	good := cluster.Status{Node: "weir-1", Nodes: []cluster.NodeStatus{{Node: "weir-1", State: "ready", Owned: 2}, {Node: "weir-2", State: "ready", HeardMS: 100, Owned: 2}},
		Partitions: []cluster.PartitionStatus{{Partition: 0, Node: "weir-1"}, {Partition: 1, Node: "weir-1"}, {Partition: 2, Node: "weir-2", Pinned: true}, {Partition: 3, Node: "weir-2"}}}
	bad := good
	bad.Trouble = "some partitions have no owner yet"
	bad.Nodes = []cluster.NodeStatus{good.Nodes[0], {Node: "weir-2", State: "silent", HeardMS: 9000}}
	bad.Partitions = append([]cluster.PartitionStatus{{Partition: 9}}, good.Partitions...)
	said := &clusterView{Status: good}
	var ordered string
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+"/cluster", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(said) })
	mux.HandleFunc("POST "+"/cluster/move", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		ordered = string(b)
		_, _ = io.WriteString(w, `{"partition":3,"node":"weir-1"}`)
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	run := func(args ...string) (string, int) {
		var out bytes.Buffer
		code := (&program{stdout: &out, stderr: &out}).run(append(append([]string{"cluster"}, args...), "--admin", s.URL))
		return out.String(), code
	}
	if out, code := run("status"); code != exitOK || !strings.Contains(out, "weir-1 owns 0-1\n") || !strings.Contains(out, "weir-2 owns 2* 3\n") {
		t.Errorf("status: %d\n%s", code, out)
	}
	if out, code := run("check"); code != exitOK || !strings.Contains(out, "ok: 2 nodes, 4 partitions") {
		t.Errorf("check: %d\n%s", code, out)
	}
	if out, code := run("move", "room:1", "weir-1"); code != exitOK || out != "partition 3 is at weir-1\n" || ordered != `{"channel":"room:1","node":"weir-1"}` {
		t.Errorf("move: %d %s ordered %s", code, out, ordered)
	}
	if _, code := run("move", "3", "weir-1", "--json"); code != exitOK || ordered != `{"node":"weir-1","partition":3}` {
		t.Errorf("move: %d, ordered %s", code, ordered)
	}
	for sync, want := range map[string]string{"always": "sync before they acknowledge", "off": "weir-1 does not sync", "unknown": "it is not known"} {
		said.Sync = sync
		if out, code := run("check"); code != exitOK || !strings.Contains(out, want) || !strings.Contains(out, "ok: ") {
			t.Errorf("check: %d, want %q in\n%s", code, want, out)
		}
	}
	said = &clusterView{Status: bad}
	for _, want := range []string{"weir-1 is not ready: some", "weir-2 is silent", "partition 9 has no owner", "partition 2 belongs to node weir-2, which is gone or cannot be reached"} {
		if out, code := run("check"); code == exitOK || !strings.Contains(out, want) {
			t.Errorf("check: %d, want %q in\n%s", code, want, out)
		}
	}
	if out, code := run("check", "--json"); code == exitOK || !strings.Contains(out, `"ok":false`) {
		t.Errorf("check --json: %d\n%s", code, out)
	}
}

// A listener that is none for administration is said to be none, by all commands that ask one. What an admin listener does not have is not taken for that.
func TestAdminOfAnotherListener(t *testing.T) {
	answers := map[string]string{
		"a relay's public listener": `{"code":"not_found","title":"not found","detail":"/cluster is on the admin listener"}`,
		"an older one":              `{"code":"not_found","title":"not found"}`,
		"no relay":                  "404 page not found",
	}
	for name, answer := range answers {
		for _, args := range [][]string{
			{"cluster", "status"}, {"cluster", "check"}, {"cluster", "move", "1", "weir-1"}, {"cluster", "export"}, {"cluster", "import", "-"},
			{"top"}, {"why", "room:1"}, {"trace", "room:1", "1"}, {"record", "--out", filepath.Join(t.TempDir(), "x")},
		} {
			out, code := answeredBy(t, answer, args...)
			if code != exitUsage || !strings.Contains(out, "is not the address of an admin listener (--admin)") || strings.Count(out, "\n") != 1 {
				t.Errorf("%s, %q: %d %s", name, args, code, out)
			}
		}
	}
	if out, code := answeredBy(t, `{"code":"not_found","title":"this relay is not a node of a cluster"}`, "cluster", "status"); code != exitFailure || strings.Contains(out, "--admin") {
		t.Errorf("no node of a cluster: %d %s", code, out)
	}
}

// answeredBy runs a command against an admin listener that answers everything with 404.
func answeredBy(t *testing.T, answer string, args ...string) (string, int) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, answer, http.StatusNotFound) }))
	defer s.Close()
	var export, out bytes.Buffer
	if err := disk.NewExporter(&export, time.Now()).End(); err != nil {
		t.Fatal(err)
	}
	code := (&program{stdin: &export, stdout: io.Discard, stderr: &out}).run(append(args, "--admin", s.URL))
	return out.String(), code
}
