package documents

import "github.com/VictoriaMetrics/metrics"

// counters are what the admin listener shows of documents.
type counters struct {
	operations, refused, resyncs, resends, loads, snapshots *metrics.Counter
}

func newCounters(set *metrics.Set, s *Documents) counters {
	set.NewGauge("weir_documents_open", func() float64 { return float64(s.number.Load()) })
	return counters{
		operations: set.NewCounter("weir_document_operations_total"),
		refused:    set.NewCounter("weir_document_operations_refused_total"),
		resyncs:    set.NewCounter("weir_document_resyncs_total"),
		resends:    set.NewCounter("weir_document_resends_total"),
		loads:      set.NewCounter("weir_document_loads_total"),
		snapshots:  set.NewCounter("weir_document_snapshots_total"),
	}
}
