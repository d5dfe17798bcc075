// Package record is what stores of channels keep of them, as bytes: records of changes, gathered in frames that prove themselves and the frame
// before, and the deltas that they add up to. What they add up to is put over what was kept of a channel before ([Delta.Fold]).
//
// The bytes are those of every version since the first; fixtures of broker/disk hold them.
package record

import "errors"

// ErrCorrupt is why something is not read: it is not what was written.
var ErrCorrupt = errors.New("the stored data is damaged")
