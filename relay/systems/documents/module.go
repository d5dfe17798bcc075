package documents

import (
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/units"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/systems/documents/content"
)

// Name is what the configuration calls the system.
const Name = "documents"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Section:     func() config.Section { return new(Config) },
			Namespaces:  []string{content.Namespace, content.LogNamespace, content.HeadNamespace},
			Kept:        []string{content.LogNamespace, content.HeadNamespace},
			Place:       content.Place,
			Distributed: true,
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_documents_open", Type: relay.Gauge, Help: "Documents in memory."},
			{Name: "weir_document_operations_total", Type: relay.Counter, Help: "Operations that were applied."},
			{Name: "weir_document_operations_refused_total", Type: relay.Counter, Help: "Operations that were refused."},
			{Name: "weir_document_resyncs_total", Type: relay.Counter, Help: "Editors that had to begin again from the text."},
			{Name: "weir_document_resends_total", Type: relay.Counter, Help: "Operations that were sent again, and acknowledged again without effect."},
			{Name: "weir_document_loads_total", Type: relay.Counter, Help: "Documents loaded into memory."},
			{Name: "weir_document_snapshots_total", Type: relay.Counter, Help: "Snapshots that were stored."},
		},
	}
}

// Config bounds the documents of the system "documents".
type Config struct {
	Size    units.Size    `yaml:"size" default:"1MiB" range:"1KiB..8MiB"`      // one document, in bytes
	Message units.Size    `yaml:"message" default:"256KiB" range:"1KiB..8MiB"` // one message of an editor
	Open    int           `yaml:"open" default:"10000" range:"1..100000000"`   // documents in use at once
	Cursors int           `yaml:"cursors" default:"256" range:"1..10000"`      // cursors shown in one document
	Idle    time.Duration `yaml:"idle" default:"1m" range:"1s..24h"`           // after so long without a change, what is not needed of a document leaves memory
}

// Key implements config.Section.
func (*Config) Key() string { return "documents" }

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
