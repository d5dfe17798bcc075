package simulate

import (
	"fmt"
	"testing"
	"time"
)

// cluster are the options of a run with three nodes.
func clusterOptions(seed uint64, calm bool) Options {
	return Options{Seed: seed, Span: *span, Pace: *pace, Clients: *clients, Nodes: 3, Calm: calm, Durable: *durable}
}

// Three nodes that fail in every way: each reader gets everything in order or is told, and all nodes agree.
func TestSimulateCluster(t *testing.T) { simulateCluster(t, false) }

// Three nodes of which none is lost, while they are restarted in order, one link loses frames and the table is away: nothing is lost.
func TestSimulateCalmCluster(t *testing.T) { simulateCluster(t, true) }

func simulateCluster(t *testing.T, calm bool) {
	count, from := *seeds, *first
	if *seed != 0 {
		count, from = 1, *seed
	}
	if count == 0 { // three nodes take ten times as long with the race detector
		count = 1
		if testing.Short() && *span == 0 {
			*span = 90 * time.Second
			defer func() { *span = 0 }()
		}
	}
	for s := from; s < from+count; s++ {
		t.Run(fmt.Sprint("seed=", s), func(t *testing.T) {
			o := clusterOptions(s, calm)
			begin := time.Now()
			out := play(t, o)
			t.Logf("%v in %v", out, time.Since(begin).Round(time.Millisecond))
			judge(t, o, out)
		})
	}
}
