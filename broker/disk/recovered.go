package disk

import (
	bolt "go.etcd.io/bbolt"

	"weir/broker/record"
)

// recovered is what the log had at the start that the database had not. A start does not wait for a checkpoint
// of it: the checkpointer makes one first of all, and until then Load puts both together.
type recovered struct {
	generation uint64        // in which it was written
	batches    []*batch      // safe
	bytes      int           // of them
	last       uint64        // number of the last one
	deltas     record.Deltas // all of them, by channel
}

// of returns what the log had of a channel and the database, as tx sees it, has not; nil: nothing.
func (r *recovered) of(tx *bolt.Tx, channel string) (*record.Delta, error) {
	if r == nil {
		return nil, nil
	}
	s, _, err := readState(tx)
	if err != nil || s.stored >= r.last {
		return nil, err
	}
	return r.deltas[channel], nil
}
