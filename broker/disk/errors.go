package disk

import "errors"

// The errors of this package. They come wrapped with the operation.
var (
	ErrInUse   = errors.New("the data directory is in use by another process")
	ErrFormat  = errors.New("the data directory has another format")
	ErrCorrupt = errors.New("the stored data is damaged")
	ErrFailing = errors.New("the disk fails: not stored")
	ErrClosed  = errors.New("the journal is closed")
	ErrName    = errors.New("a name may not hold a NUL")
	ErrExists  = errors.New("the channel exists already")
)
