// Package message reads the JSON messages of editors: what every message has, and the members of those about texts and of those about
// opaque updates. It holds no state. It refuses messages of the wrong form, with errors that clients are told.
package message

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"

	"weir/internal/wire"
	"weir/relay/problem"
	"weir/relay/systems/documents/text"
)

// Message is a message of an editor. What it holds aliases the bytes that it was read from.
type Message struct {
	Kind    string
	ID      []byte
	Version *uint64
	Token   string

	// Of a text.
	Operation []byte
	Position  int
	Selection *text.Selection

	// Of opaque updates.
	Updates []json.RawMessage
	Doc     json.RawMessage
}

// maxUpdates bounds the updates of one message.
const maxUpdates = 256

// Dialect reads a member that not all messages have.
type Dialect func(m *Message, key string, v []byte) error

// The errors of messages, beside those about one of their members.
var (
	ErrID        = Bad(fmt.Sprintf("id must be a string or number of at most %d bytes", wire.MaxID))
	errSelection = Bad(`selection must be null or {"start":...,"end":...} in code points`)
)

// Bad is an error in a field of a request.
func Bad(message string) error { return problem.New(400, "bad_request", message, false) }

// Read reads a message. Its errors go to the client; the ID is set if there is a valid one. once: a message that has a member twice is refused.
func (m *Message) Read(b []byte, dialect Dialect, once bool) error {
	seen := make(map[string]bool, 8)
	var bad error
	err := wire.Members(b, func(key string, v []byte) error {
		if once && seen[key] {
			bad = cmp.Or(bad, Bad("a member is given twice"))
			return nil
		}
		seen[key] = true
		if string(v) != "null" || key == "doc" { // else as if it were not there
			bad = cmp.Or(bad, m.read(dialect, key, v)) // the id may still come
		}
		return nil
	})
	return cmp.Or(err, bad)
}

func (m *Message) read(dialect Dialect, key string, v []byte) (err error) {
	switch key {
	case "type":
		m.Kind, err = textMember(key, v)
	case "token":
		m.Token, err = textMember(key, v)
	case "version":
		m.Version, err = versionMember(key, v)
	case "id":
		if !ValidID(v) {
			return ErrID
		}
		m.ID = v
	default:
		return dialect(m, key, v)
	}
	return err
}

// Text is the Dialect of texts.
func Text(m *Message, key string, v []byte) error {
	switch key {
	case "operation":
		m.Operation = v
	case "position":
		var ok bool
		if m.Position, ok = text.ParsePosition(v); !ok {
			return Bad("position must be a number of code points")
		}
	case "selection":
		x, ok := text.ParseSelection(v)
		if !ok {
			return errSelection
		}
		m.Selection = &x
	}
	return nil
}

// Opaque is the Dialect of opaque updates.
func Opaque(m *Message, key string, v []byte) (err error) {
	switch key {
	case "since":
		m.Version, err = versionMember(key, v)
	case "updates":
		err = m.list(v)
	case "doc":
		m.Doc = compact(v)
	}
	return err
}

func (m *Message) list(v []byte) error {
	m.Updates = nil
	err := wire.Elements(v, func(x []byte) error {
		if x[0] != '{' || len(m.Updates) == maxUpdates {
			return wire.ErrField
		}
		m.Updates = append(m.Updates, compact(x))
		return nil
	})
	if err != nil || len(m.Updates) == 0 {
		return Bad(fmt.Sprintf("updates must be a list of 1 to %d objects", maxUpdates))
	}
	return nil
}

// compact is a copy of JSON without the white space between its tokens.
func compact(v []byte) json.RawMessage {
	var b bytes.Buffer
	_ = json.Compact(&b, v) // it has been checked
	return b.Bytes()
}

func textMember(key string, v []byte) (string, error) {
	s, err := wire.Text(v)
	if err != nil {
		return "", Bad(key + " must be a string")
	}
	return s, nil
}

func versionMember(key string, v []byte) (*uint64, error) {
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return nil, Bad(key + " must be a whole number")
	}
	return &n, nil
}

// ValidID reports whether a value may be the id of a message.
func ValidID(v []byte) bool {
	return len(v) <= wire.MaxID && (v[0] == '"' || v[0] == '-' || v[0] >= '0' && v[0] <= '9')
}
