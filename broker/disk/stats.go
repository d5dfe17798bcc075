package disk

import "weir/broker/record"

// Stats are figures of a journal.
type Stats struct {
	Commits     uint64 // batches made safe
	Bytes       uint64 // of them
	Failures    uint64 // attempts to write, in the log or the database, that failed
	Refused     uint64 // changes refused because too much was waiting
	Checkpoints uint64 // times that batches were put into the database
	Loads       uint64 // channels read from the database
	Damaged     uint64 // of these, channels that could not be read
	Queue       int    // bytes that wait for the log
	Backlog     int    // bytes in the log that the database does not have
	Failing     error  // why nothing can be written; nil: it can
	Broken      error  // why the database cannot be written, though the log can; nil: it can
}

// Stats returns the current figures.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.counts
	s.Queue, s.Backlog, s.Failing, s.Broken = len(j.pending.frame)-record.FrameHeader, j.backlog, j.failing, j.broken
	if j.flight != nil {
		s.Queue += len(j.flight.frame) - record.FrameHeader
	}
	return s
}

// count adds one to a counter of j.counts.
func (j *Journal) count(n *uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	*n++
}
