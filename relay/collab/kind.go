package collab

import "encoding/json"

// Kind is how the operations of a document are made. A document keeps the kind that it was begun with.
type Kind string

// The kinds.
const (
	Text   Kind = "text"   // plain text: operations are transformed here; native and ShareDB clients
	Opaque Kind = "opaque" // versions are checked, and clients rebase: CodeMirror
	Yjs    Kind = "yjs"    // updates that commute: Yjs
)

// body is a document in memory, beyond its log: what its operations have come to.
type body interface {
	// restore takes the content of a snapshot. Called once, first.
	restore(content json.RawMessage) error

	// replay makes an operation of the log part of it. before says that the snapshot holds it already, and that
	// it is here for those who are behind.
	replay(e *entry, before bool) error

	// appendContent appends what restore takes.
	appendContent(dst []byte) []byte
}

func newBody(k Kind) body {
	switch k {
	case Text:
		return newTextBody()
	}
	return nil
}
