package hub

import (
	"io"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/broker"
	"weir/broker/disk"
)

// openDisk opens the data directory if there is to be one; the broker closes it.
func (h *Hub) openDisk() (broker.Store, error) {
	if h.Config.Data == "" {
		return nil, nil
	}
	latency := h.Counters.Set.NewPrometheusHistogramExt("weir_disk_commit_seconds", commitBounds)
	fs := h.Config.Wal
	if h.Config.Dev && fs == nil {
		h.DevDisk = disk.NewFillable(h.Config.Data)
		fs = h.DevDisk
	}
	j, err := disk.Open(disk.Config{
		Dir: h.Config.Data,
		FS:  fs,
		Now: h.Config.Clock,
		Policy: func(channel string) broker.Policy { // asked by the checkpointer only
			<-h.Started
			return h.Namespaces.Of(channel).Log
		},
		Panic:   h.Contain,
		Log:     h.Log,
		Observe: func(commit time.Duration) { latency.Update(commit.Seconds()) },
	})
	if err != nil {
		return nil, err
	}
	h.Disk = j
	h.Counters.Set.RegisterMetricsWriter(func(w io.Writer) { writeDisk(w, j.Stats()) })
	return j, nil
}

// commitBounds are the buckets of the time that a commit takes, in seconds.
var commitBounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5}

func writeDisk(w io.Writer, s disk.Stats) {
	metrics.WriteCounterUint64(w, "weir_disk_commits_total", s.Commits)
	metrics.WriteCounterUint64(w, "weir_disk_bytes_total", s.Bytes)
	metrics.WriteCounterUint64(w, "weir_disk_failures_total", s.Failures)
	metrics.WriteCounterUint64(w, "weir_disk_refused_total", s.Refused)
	metrics.WriteCounterUint64(w, "weir_disk_checkpoints_total", s.Checkpoints)
	metrics.WriteCounterUint64(w, "weir_disk_loads_total", s.Loads)
	metrics.WriteCounterUint64(w, "weir_disk_damaged_total", s.Damaged)
	metrics.WriteGaugeUint64(w, "weir_disk_queue_bytes", uint64(s.Queue))
	metrics.WriteGaugeUint64(w, "weir_disk_backlog_bytes", uint64(s.Backlog))
	var failing uint64
	if s.Failing != nil {
		failing = 1
	}
	metrics.WriteGaugeUint64(w, "weir_disk_failing", failing)
}
