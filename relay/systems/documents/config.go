package documents

import (
	"time"

	"weir/internal/units"
	"weir/relay/config"
)

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
