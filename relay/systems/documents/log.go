package documents

import "slices"

// opLog is the newest operations of a document, oldest first. A body embeds it.
type opLog struct {
	log []*entry
}

// since returns the operations after a version, where head is that of the newest; false if not all of them are kept. The
// list never changes: it may be kept.
func (l *opLog) since(head, version uint64) ([]*entry, bool) {
	n := head - version
	if version > head || n > uint64(len(l.log)) {
		return nil, false
	}
	return slices.Clip(l.log[uint64(len(l.log))-n:]), true
}

// dropOldest drops so many operations. The log becomes a list of its own: what since has returned of the old one stays as
// it was, also while it waits for the disk.
func (l *opLog) dropOldest(n int) {
	if n > 0 {
		l.log = append(make([]*entry, 0, len(l.log)), l.log[n:]...)
	}
}
