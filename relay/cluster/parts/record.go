package parts

import (
	"strings"

	"weir/relay/cluster/link"
)

// What a record says.
const (
	Begin byte = 0 // all parts of a partition follow
	End   byte = 1 // that was all
	tell  byte = 2 // a part
	over  byte = 3 // a part is there no more
	Ask   byte = 4 // tell anew what I own
)

// Record is what one process sends another about its parts.
type Record struct {
	What      byte
	Partition int // of Begin and End

	// Of a part.
	kind, key, name string
	term            uint64 // in which the one who is told is the owner
	value           []byte
	why             Why
}

// Told returns the record that reports a part to the owner in a term; with a nil value, that there is no part any more.
func Told(kind, key, name string, term uint64, value []byte, why Why) Record {
	what := tell
	if value == nil {
		what = over
	}
	return Record{what, 0, kind, key, name, term, value, why}
}

// Append appends the record to a link.
func (x *Record) Append(w *link.Writer) {
	w.Byte(x.What)
	switch x.What {
	case Begin, End:
		w.Uint(uint64(x.Partition))
	case tell, over:
		w.Text(x.kind)
		w.Text(x.key)
		w.Text(x.name)
		w.Uint(x.term)
		if x.What == over {
			w.Bool(x.why.Abrupt)
			return
		}
		w.Bool(x.why.Known)
		w.Bytes(x.value)
	}
}

// ReadRecord reads what Record.Append has written. Its texts share the memory of the reader.
func ReadRecord(r *link.Reader) (x Record) {
	switch x.What = r.Byte(); x.What {
	case Begin, End:
		x.Partition = int(min(r.Uint(), 1<<31))
	case tell, over:
		x.kind, x.key, x.name, x.term = r.Text(), r.Text(), r.Text(), r.Uint()
		if flag := r.Bool(); x.What == over {
			x.why.Abrupt = flag
		} else {
			x.why.Known, x.value = flag, append([]byte{}, r.Bytes()...)
		}
	}
	return x
}

// Take takes a record of a process.
func (s *Store) Take(session string, x *Record) {
	switch x.What {
	case Begin, End:
		if x.Partition < len(s.tables) {
			s.sweep(session, x.Partition, x.What == End)
		}
	case tell, over:
		s.note(session, x.term, strings.Clone(x.kind), strings.Clone(x.key), strings.Clone(x.name), x.value, x.why)
	}
}
