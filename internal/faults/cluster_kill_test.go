//go:build faults

package faults

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// Goals of a cluster. With servers within the nodes, one that is killed may have led the table: the others elect a leader first.
const (
	takeoverGoal  = 3 * time.Second
	electionGoal  = 15 * time.Second
	restartGoal   = 2 * time.Second // of a node that ends in order
	longestAnswer = 2 * time.Second // of a publisher of these tests, which then asks another node
)

// Nodes of a cluster are killed, one after the other, so that it hits whoever owns, follows, and leads the table; then two at once. They are stopped for a while. Readers are contiguous or
// told, all agree on what stands where, and all goes on.
func TestClusterKills(t *testing.T) {
	nodes := clusterOf(t, 3)
	f := sail(t, nodes, times(30, 12), 6, 5*time.Millisecond, true)
	for i := range times(6, 0) { // TestKillNode is the short form
		s := nodes[i%3]
		took := f.during(fmt.Sprintf("kill -9 of node %d", i%3), s.kill)
		goal(t, took < electionGoal, "taking over took %v", took)
		f.during("it is back", func() { s.start() })
	}
	for range times(2, 0) {
		f.during("kill -9 of two nodes, and their start", func() {
			nodes[1].kill()
			nodes[2].kill()
			nodes[1].launch()
			nodes[2].launch()
			ready(t, nodes)
		})
	}
	stops := []time.Duration{time.Second, 5 * time.Second, 15 * time.Second}
	if short {
		stops = []time.Duration{3 * time.Second}
	}
	for i, d := range stops {
		took := f.during(fmt.Sprintf("node %d is stopped for %v", i, d), func() { nodes[i].stopFor(d) })
		goal(t, took < electionGoal, "taking over took %v", took)
	}
	ready(t, nodes)
	f.judge()
}

// rolling restarts all nodes in order, one after the other.
func rolling(t *testing.T, f *fleet, rounds int, before func(s *server)) {
	t.Helper()
	var slowest time.Duration
	for n := range rounds {
		for i, s := range f.nodes {
			took := f.during(fmt.Sprintf("round %d: restart of node %d", n, i), func() {
				s.drain()
				if before != nil {
					before(s)
				}
				s.launch()
				ready(t, f.nodes)
			})
			slowest = max(slowest, took)
			goal(t, took < electionGoal, "a publication waited for %v", took)
		}
	}
	t.Logf("in %d rounds the longest wait for an acknowledgement was %v", rounds, slowest.Round(time.Millisecond))
}

// All nodes are restarted in order under load, again and again: nothing is lost, no epoch ends and nobody gets a snapshot, though all is kept in memory. Their clocks are an hour
// off, one to each side: that is of no consequence.
func TestClusterRolling(t *testing.T) {
	nodes := clusterWith(t, 3, "", func(i int, s *server) { s.env = []string{"TEST_CLOCK_OFFSET=" + []string{"0s", "1h", "-1h"}[i]} })
	f := sail(t, nodes, times(30, 12), 6, 5*time.Millisecond, false)
	rounds := times(100, 1)
	if text := os.Getenv("FAULTS_ROUNDS"); text != "" {
		_, _ = fmt.Sscan(text, &rounds)
	}
	rolling(t, f, rounds, nil)
	f.judge()
}

// The nodes of an older version are replaced by this one's, one after the other, under load: as in a restart, nothing is lost.
func TestClusterUpgrade(t *testing.T) {
	before := os.Getenv("FAULTS_BEFORE")
	if before == "" {
		t.Skip("FAULTS_BEFORE names no older binary: make faults-cluster does")
	}
	nodes := clusterWith(t, 3, before, nil)
	f := sail(t, nodes, times(30, 12), 6, 5*time.Millisecond, false)
	rolling(t, f, 1, func(s *server) { s.bin = "" })
	f.during("the first one is the older again", func() {
		nodes[0].drain()
		nodes[0].bin = before
		nodes[0].launch()
		ready(t, nodes)
	})
	f.judge()
}

// A node that gets little of a processor falls behind; the others do not.
func TestClusterSlowNode(t *testing.T) {
	long(t)
	nodes := clusterOf(t, 3)
	f := sail(t, nodes, times(30, 12), 6, 5*time.Millisecond, true)
	took := f.during("a node runs for a tenth of the time", func() {
		for end := time.Now().Add(time.Duration(times(30, 5)) * time.Second); time.Now().Before(end); <-time.After(20 * time.Millisecond) {
			nodes[1].stopFor(180 * time.Millisecond)
		}
	})
	goal(t, took < longestAnswer+takeoverGoal, "a publication waited for %v", took)
	f.judge()
}

// long skips what the short form has no time for.
func long(t *testing.T) {
	t.Helper()
	if short {
		t.Skip("only in the full form")
	}
}
