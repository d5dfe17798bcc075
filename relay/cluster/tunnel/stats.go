package tunnel

import (
	"io"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
)

// Stats are the figures of a process's tunnels.
type Stats struct {
	open    int    // ends of tunnels here, dialed and accepted ones
	waiting int    // bytes that were sent and have not arrived
	dialed  uint64 // tunnels that were opened from here, since the start
	lost    uint64 // ends that ended since the other process was lost
}

// counts are what has happened since the start.
type counts struct{ dialed, lost atomic.Uint64 }

// Stats returns the figures.
func (t *Tunnels) Stats() Stats {
	s := Stats{dialed: t.counts.dialed.Load(), lost: t.counts.lost.Load()}
	t.mu.Lock()
	peers := slices.Collect(maps.Values(t.peers))
	t.mu.Unlock()
	for _, p := range peers {
		p.mu.Lock()
		s.open += len(p.tunnels)
		for _, n := range p.tunnels {
			s.waiting += n.waiting
		}
		p.mu.Unlock()
	}
	return s
}

// Write writes them as metrics of the cluster.
func (s Stats) Write(w io.Writer) {
	metrics.WriteGaugeUint64(w, "weir_cluster_tunnels", uint64(s.open))
	metrics.WriteGaugeUint64(w, "weir_cluster_tunnel_waiting_bytes", uint64(s.waiting))
	metrics.WriteCounterUint64(w, "weir_cluster_tunnels_total", s.dialed)
	metrics.WriteCounterUint64(w, "weir_cluster_tunnels_lost_total", s.lost)
}
