package documents

import (
	"encoding/json"

	"weir/relay/systems/documents/text"
	"weir/relay/systems/documents/yjs"
)

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
}

// kinds are how documents of each kind are kept. A snapshot is made after so many operations, while the document is used
// (often) and when it leaves memory (leaving); 0: never, because its clients do that. keepsLog: clients that are behind need
// operations that a snapshot holds.
var kinds = map[Kind]struct {
	empty          func() body
	often, leaving int
	keepsLog       bool
}{
	Text:   {func() body { return &textBody{buffer: new(text.Buffer)} }, snapshotOps, snapshotOps / 4, true},
	Opaque: {func() body { return new(opaqueBody) }, 0, 0, true},
	Yjs:    {func() body { return &yjsBody{state: yjs.NewState(yjs.Merge())} }, snapshotOps, 1, false},
}
