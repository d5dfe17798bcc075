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
	Open    int    // ends of tunnels here, dialed and accepted ones
	Waiting int    // bytes that were sent and have not arrived
	Dialed  uint64 // tunnels that were opened from here, since the start
	Lost    uint64 // ends that ended since the other process was lost
}

// counts are what has happened since the start.
type counts struct{ dialed, lost atomic.Uint64 }

// Stats returns the figures.
func (t *Tunnels) Stats() Stats {
	s := Stats{Dialed: t.counts.dialed.Load(), Lost: t.counts.lost.Load()}
	t.mu.Lock()
	peers := slices.Collect(maps.Values(t.peers))
	t.mu.Unlock()
	for _, p := range peers {
		p.mu.Lock()
		s.Open += len(p.tunnels)
		for _, n := range p.tunnels {
			s.Waiting += n.waiting
		}
		p.mu.Unlock()
	}
	return s
}

// Write writes them as metrics of the cluster.
func (s Stats) Write(w io.Writer) {
	metrics.WriteGaugeUint64(w, "weir_cluster_tunnels", uint64(s.Open))
	metrics.WriteGaugeUint64(w, "weir_cluster_tunnel_waiting_bytes", uint64(s.Waiting))
	metrics.WriteCounterUint64(w, "weir_cluster_tunnels_total", s.Dialed)
	metrics.WriteCounterUint64(w, "weir_cluster_tunnels_lost_total", s.Lost)
}
