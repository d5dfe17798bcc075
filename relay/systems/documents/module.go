package documents

import (
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/units"
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

// Config bounds the documents of the system "documents".
type Config struct {
	Size    units.Size    `yaml:"size"`    // one document, in bytes; 1MiB, 8MiB at most
	Message units.Size    `yaml:"message"` // one message of an editor; 256KiB
	Open    int           `yaml:"open"`    // documents in use at once; 10000
	Cursors int           `yaml:"cursors"` // cursors shown in one document; 256
	Idle    time.Duration `yaml:"idle"`    // after so long without a change, what is not needed of a document leaves memory; 1m
}

// Key implements config.Section.
func (*Config) Key() string { return "documents" }

// Fill implements config.Section.
func (d *Config) Fill(bool) {
	config.Set(&d.Size, units.MiB)
	config.Set(&d.Message, 256*units.KiB)
	config.Set(&d.Open, 10000)
	config.Set(&d.Cursors, 256)
	config.Set(&d.Idle, time.Minute)
}

// check checks the bounds of documents.
func check(c *config.Config, k *config.Checks) {
	d := config.Of[Config](c)
	k.Size("documents.size", d.Size, units.KiB, 8*units.MiB)
	k.Size("documents.message", d.Message, units.KiB, 8*units.MiB)
	k.Count("documents.open", d.Open, 1, 100_000_000)
	k.Count("documents.cursors", d.Cursors, 1, 10_000)
	k.Span("documents.idle", d.Idle, time.Second, 24*time.Hour)
}

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
