package ledger

// Stats are the figures of a ledger since it was made.
type Stats struct {
	Commits     uint64 // frames appended
	Bytes       uint64 // of them
	Failures    uint64 // appends and checkpoints that failed
	Refused     uint64 // changes refused because too much was waiting
	Checkpoints uint64 // channels written to the shelf
	Loads       uint64 // channels loaded
	Damaged     uint64 // of these, channels that could not be read
	Fenced      uint64 // times that another process has taken the log over
	Queue       int    // bytes that wait for the log
	Backlog     int    // bytes in the log that the shelf lacks
	Served      int    // partitions
	Failing     error  // why nothing is appended; nil: it is
	Broken      error  // why the shelf cannot be written, though the log can; nil: it can
}

// Stats returns the current figures.
func (l *Ledger) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.counts
	s.Queue, s.Backlog, s.Failing, s.Broken = l.waiting, l.backlog, l.failing, l.broken
	for p := range l.parts {
		if l.parts[p].serves.Load() {
			s.Served++
		}
	}
	return s
}

// count adds one to a counter of l.counts.
func (l *Ledger) count(n *uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*n++
}
