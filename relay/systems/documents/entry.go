package documents

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"weir/internal/wire"
	"weir/relay/systems/documents/text"
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
	dst = strconv.AppendUint(append(dst, `{"v":`...), e.version, 10)
	dst = strconv.AppendInt(append(dst, `,"t":`...), e.at, 10)
	if e.user != "" {
		dst = text.AppendString(append(dst, `,"u":`...), e.user)
	}
	if e.src != "" {
		dst = text.AppendString(append(dst, `,"s":`...), e.src)
	}
	if e.id != "" {
		dst = append(append(dst, `,"i":`...), e.id...)
	}
	if e.data != nil {
		dst = append(append(dst, `,"d":`...), e.data...)
	} else {
		dst = e.op.AppendJSON(append(dst, `,"o":`...))
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
