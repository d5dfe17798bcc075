package documents

import (
	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "documents"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:       Name,
			Section:    func() config.Section { return new(Config) },
			Check:      check,
			Namespaces: []string{namespace},
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_documents_open", Type: relay.Gauge, Help: "Documents in memory."},
			{Name: "weir_document_operations_total", Type: relay.Counter, Help: "Operations that were taken."},
			{Name: "weir_document_operations_refused_total", Type: relay.Counter, Help: "Operations that were refused."},
			{Name: "weir_document_resyncs_total", Type: relay.Counter, Help: "Editors that had to begin again from the text."},
			{Name: "weir_document_resends_total", Type: relay.Counter, Help: "Operations that came again, and were answered as before."},
			{Name: "weir_document_loads_total", Type: relay.Counter, Help: "Documents that were loaded into memory."},
			{Name: "weir_document_snapshots_total", Type: relay.Counter, Help: "Snapshots that were kept."},
		},
	}
}
