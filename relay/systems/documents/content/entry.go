package content

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

// Entry is one operation of a document's log. It is not changed once it is in the log.
type Entry struct {
	Version uint64 // of the document after it
	At      int64  // milliseconds since 1970
	User    string // who made it; "" for a backend that does not say
	Src     string // the editor that made it; "" none
	ID      string // its number there, as JSON; "" none
	Op      text.Op
	Data    json.RawMessage // in documents whose operations mean nothing here
}

// Size is about how many bytes the entry takes.
func (e *Entry) Size() int {
	n := 128 + len(e.ID) + len(e.Data)
	for _, c := range e.Op {
		n += 32 + len(c.S)
	}
	return n
}

// appendJSON appends the entry as it is kept.
func (e *Entry) appendJSON(dst []byte) []byte {
	dst = encode.Members(append(dst, '{'), "v", e.Version, "t", e.At, "u", encode.Maybe(e.User), "s", encode.Maybe(e.Src), "i", []byte(e.ID), "d", []byte(e.Data))
	if e.Data == nil {
		dst = encode.Members(dst, "o", e.Op.AppendJSON)
	}
	return append(dst, '}')
}

// parseEntry reads what appendJSON has written.
func parseEntry(b []byte) (*Entry, error) {
	e := new(Entry)
	err := wire.Members(b, func(key string, v []byte) (err error) {
		switch key {
		case "v":
			e.Version, err = strconv.ParseUint(string(v), 10, 64)
		case "t":
			e.At, err = strconv.ParseInt(string(v), 10, 64)
		case "u":
			e.User, err = textOf(v)
		case "s":
			e.Src, err = textOf(v)
		case "i":
			e.ID = string(v)
		case "d":
			e.Data = bytes.Clone(v)
		case "o":
			e.Op, err = text.Parse(v)
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
	Log []*Entry
}

// Since returns the operations after a version, where head is that of the newest; false if not all of them are kept. The
// list never changes: it may be kept.
func (l *opLog) Since(head, version uint64) ([]*Entry, bool) {
	n := head - version
	if version > head || n > uint64(len(l.Log)) {
		return nil, false
	}
	return slices.Clip(l.Log[uint64(len(l.Log))-n:]), true
}

// dropOldest drops so many operations. The log becomes a list of its own: what since has returned of the old one stays as
// it was, also while it waits for the disk.
func (l *opLog) dropOldest(n int) {
	if n > 0 {
		l.Log = append(make([]*Entry, 0, len(l.Log)), l.Log[n:]...)
	}
}

// AppendLogged appends an operation as an object of a list.
func AppendLogged(b []byte, e *Entry) []byte {
	return append(AppendMembers(append(b, '{'), e), '}')
}

// AppendMembers appends the members that an operation has in all messages.
func AppendMembers(b []byte, e *Entry) []byte {
	content := func(b []byte) []byte { return append(b, e.Data...) }
	if e.Data == nil {
		content = e.Op.Plain().AppendJSON
	}
	return encode.Members(b, "id", []byte(e.ID), "version", e.Version, "operation", content, "userId", e.User, "src", encode.Maybe(e.Src), "timestamp", e.At)
}
