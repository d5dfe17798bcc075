package disk

import (
	"errors"
	"fmt"

	"weir/broker/record"
)

// The errors of this package. They come wrapped with the operation.
var (
	ErrInUse   = errors.New("the data directory is in use by another process")
	ErrFormat  = errors.New("the data directory has another format")
	ErrCorrupt = record.ErrCorrupt
	ErrFailing = errors.New("the disk fails: not stored")
	ErrClosed  = errors.New("the journal is closed")
	errName    = errors.New("a name must not hold a NUL")
	errExists  = errors.New("the channel exists already")

	// ErrLost is an ErrCorrupt of the log: what was on disk is damaged or missing. Repair goes on without it.
	ErrLost = fmt.Errorf("acknowledged changes are lost: %w", ErrCorrupt)
)
