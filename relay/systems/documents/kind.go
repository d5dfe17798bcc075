package documents

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
	restore(content json.RawMessage, version uint64) error

	// replay makes an operation of the log part of it. before says that the snapshot holds it already, and that
	// it is here for those who are behind.
	replay(e *entry, before bool) error

	// appendContent appends what restore takes.
	appendContent(dst []byte) []byte

	// compacts says after how many operations the document may be saved on the way, and when it leaves memory;
	// 0: never, for its clients do that.
	compacts() (often, leaving int)

	// follows says that the log is of use behind a snapshot, too: to those who are behind.
	follows() bool
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
