package config

import (
	"time"

	"weir/internal/units"
)

// Documents bounds the documents of the system "documents".
type Documents struct {
	Size    units.Size    `yaml:"size"`    // one document, in bytes; 1MiB, 8MiB at most
	Message units.Size    `yaml:"message"` // one message of an editor; 256KiB
	Open    int           `yaml:"open"`    // documents in use at once; 10000
	Cursors int           `yaml:"cursors"` // cursors shown in one document; 256
	Idle    time.Duration `yaml:"idle"`    // after so long without a change, what is not needed of a document leaves memory; 1m
}

func fillDocuments(d Documents) Documents {
	set(&d.Size, units.MiB)
	set(&d.Message, 256*units.KiB)
	set(&d.Open, 10000)
	set(&d.Cursors, 256)
	set(&d.Idle, time.Minute)
	return d
}
