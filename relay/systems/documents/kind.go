package documents

import "encoding/json"

// Kind is what the operations of a document are. A document keeps the kind that it was begun with.
type Kind string

// The kinds.
const (
	Text   Kind = "text"   // plain text: operations are transformed here; native and ShareDB clients
	Opaque Kind = "opaque" // versions are checked, and clients rebase: CodeMirror
	Yjs    Kind = "yjs"    // updates that commute: Yjs
)

// body is the content of a document in memory: what its operations have made.
type body interface {
	// restore takes the content of a snapshot. Called once, first.
	restore(content json.RawMessage, version uint64) error

	// replay makes an operation of the log part of it. before: the snapshot holds it already, and it is kept for
	// clients that are behind.
	replay(e *entry, before bool) error

	// appendContent appends what restore takes.
	appendContent(dst []byte) []byte

	// snapshotAfter returns after how many operations a snapshot is made: while the document is used, and when it
	// leaves memory. 0: never, because its clients do that.
	snapshotAfter() (often, leaving int)

	// keepsLog reports whether clients that are behind need operations that a snapshot holds.
	keepsLog() bool
}

func newBody(k Kind) body {
	switch k {
	case Text:
		return newTextBody()
	case Opaque:
		return new(opaqueBody)
	case Yjs:
		return newYjsBody()
	}
	return nil
}
