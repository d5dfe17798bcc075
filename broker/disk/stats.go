package disk

import "sync/atomic"

// counters are what a journal counts. Atomic.
type counters struct {
	commits     atomic.Uint64
	bytes       atomic.Uint64
	failures    atomic.Uint64
	refused     atomic.Uint64
	checkpoints atomic.Uint64
	damaged     atomic.Uint64
	loads       atomic.Uint64
	stored      atomic.Uint64 // number of the last batch in the database
}

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
	Broken      error  // why the database can not be written, though the log can; nil: it can
}

// Stats answers the current figures.
func (j *Journal) Stats() Stats {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := Stats{
		Commits: j.stats.commits.Load(), Bytes: j.stats.bytes.Load(), Failures: j.stats.failures.Load(), Refused: j.stats.refused.Load(),
		Checkpoints: j.stats.checkpoints.Load(), Loads: j.stats.loads.Load(), Damaged: j.stats.damaged.Load(),
		Queue: len(j.pending.frame) - frameHeader, Backlog: j.backlog, Failing: j.failing, Broken: j.broken,
	}
	if j.flight != nil {
		s.Queue += len(j.flight.frame) - frameHeader
	}
	return s
}
