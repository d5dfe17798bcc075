package hub

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"weir/relay/cluster"
	"weir/relay/cluster/tunnel"
	"weir/relay/stats"
)

// TestClusterMetrics holds what a node of a cluster counts against the list: a relay by itself shows none of it.
func TestClusterMetrics(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	writeCluster(&b, cluster.Stats{})
	tunnel.Stats{}.Write(&b)
	var got, want []string
	for line := range strings.Lines(b.String()) {
		if name, _, _ := strings.Cut(line, " "); !strings.HasPrefix(name, "#") {
			got = append(got, name)
		}
	}
	for _, m := range stats.Metrics() {
		if m.Part == "cluster" {
			want = append(want, m.Name)
		}
	}
	if !slices.Equal(got, want) || len(want) == 0 {
		t.Errorf("written %v, listed %v", got, want)
	}
}
