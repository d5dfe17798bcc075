package documents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"weir/internal/wire"
	"weir/relay/systems/documents/text"
	"weir/relay/systems/internal/encode"
)

// entry is one operation of a document's log. It is not changed once it is in the log.
type entry struct {
	version uint64 // of the document after it
	at      int64  // milliseconds since 1970
	user    string // who made it; "" for a backend that does not say
	src     string // the editor that made it; "" none
	id      string // its number there, as JSON; "" none
	op      text.Op
	data    json.RawMessage // in documents whose operations mean nothing here
}

// size is about how many bytes the entry takes.
func (e *entry) size() int {
	n := 128 + len(e.id) + len(e.data)
	for _, c := range e.op {
		n += 32 + len(c.S)
	}
	return n
}

// appendJSON appends the entry as it is kept.
func (e *entry) appendJSON(dst []byte) []byte {
	dst = encode.Members(append(dst, '{'), "v", e.version, "t", e.at, "u", encode.Maybe(e.user), "s", encode.Maybe(e.src), "i", []byte(e.id), "d", []byte(e.data))
	if e.data == nil {
		dst = encode.Members(dst, "o", e.op.AppendJSON)
	}
	return append(dst, '}')
}

// parseEntry reads what appendJSON has written.
func parseEntry(b []byte) (*entry, error) {
	e := new(entry)
	err := wire.Members(b, func(key string, v []byte) (err error) {
		switch key {
		case "v":
			e.version, err = strconv.ParseUint(string(v), 10, 64)
		case "t":
			e.at, err = strconv.ParseInt(string(v), 10, 64)
		case "u":
			e.user, err = textOf(v)
		case "s":
			e.src, err = textOf(v)
		case "i":
			e.id = string(v)
		case "d":
			e.data = bytes.Clone(v)
		case "o":
			e.op, err = text.Parse(v)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read operation of a log: %w", err)
	}
	return e, nil
}

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
