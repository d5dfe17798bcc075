package settings

import (
	"time"

	"weir/internal/units"
	"weir/relay/config"
)

// documents checks the bounds of documents.
func (k *check) documents(d config.Documents) {
	k.size("documents.size", d.Size, units.KiB, 8*units.MiB)
	k.size("documents.message", d.Message, units.KiB, 8*units.MiB)
	k.count("documents.open", d.Open, 1, maxCount)
	k.count("documents.cursors", d.Cursors, 1, 10_000)
	k.span("documents.idle", d.Idle, time.Second, 24*time.Hour)
}
