package content

import (
	"encoding/json"
	"slices"

	"weir/relay/problem"
	"weir/relay/systems/documents/text"
	"weir/relay/systems/documents/yjs"
)

// What a document keeps. A snapshot is made when so many operations, or bytes of them, have come since the last;
// of the newest operations at least KeptLeast and at most KeptMost stay for clients that are behind, or fewer where
// they take more than KeptBytes.
const (
	SnapshotOps   = 500
	SnapshotBytes = 256 << 10
	KeptLeast     = 1000
	KeptMost      = 1500
	KeptBytes     = 4 << 20
)

// The errors that clients get of what a document has come to. Their codes are part of the protocol.
var (
	ErrSplit  = problem.New(400, "bad_operation", "bad operation: concurrent changes split it into too many components", false)
	errUnsafe = problem.New(503, "overloaded", "the last operations of the document are not stored yet", true)
)

// Kind is what the operations of a document are. A document keeps the kind that it was begun with.
type Kind string

// The kinds.
const (
	Text   Kind = "text"   // plain text: operations are transformed here; native and ShareDB clients
	Opaque Kind = "opaque" // versions are checked, and clients rebase: CodeMirror
	Yjs    Kind = "yjs"    // updates that commute: Yjs
)

// Body is the content of a document in memory: what its operations have made.
type Body interface {
	// Restore takes the content of a snapshot. Called once, first.
	Restore(content json.RawMessage, version uint64) error

	// Replay makes an operation of the log part of it. before: the snapshot holds it already, and it is kept for
	// clients that are behind.
	Replay(e *Entry, before bool) error

	// AppendContent appends what Restore takes.
	AppendContent(dst []byte) []byte
}

// Kinds are how documents of each kind are kept. A snapshot is made after so many operations, while the document is used
// (Often) and when it leaves memory (Leaving); 0: never, because its clients do that. KeepsLog: clients that are behind need
// operations that a snapshot holds.
var Kinds = map[Kind]struct {
	Empty          func() Body
	Often, Leaving int
	KeepsLog       bool
}{
	Text:   {func() Body { return &TextBody{Buffer: new(text.Buffer)} }, SnapshotOps, SnapshotOps / 4, true},
	Opaque: {func() Body { return new(OpaqueBody) }, 0, 0, true},
	Yjs:    {func() Body { return &YjsBody{State: yjs.NewState(yjs.Merge())} }, SnapshotOps, 1, false},
}

// TextBody is a document of kind Text.
type TextBody struct {
	opLog
	Bytes  int // of the log
	Buffer *text.Buffer

	from, to text.Op // used again by each transformation
}

func (b *TextBody) Restore(content json.RawMessage, _ uint64) error {
	s, err := textOf(content)
	b.Buffer = text.NewBuffer(s)
	return err
}

func (b *TextBody) Replay(e *Entry, before bool) error {
	if !before {
		if err := b.Buffer.Apply(e.Op); err != nil {
			return err
		}
	}
	b.Append(e)
	return nil
}

func (b *TextBody) AppendContent(dst []byte) []byte { return b.Buffer.AppendJSON(dst) }

// Append adds an operation to those that are kept.
func (b *TextBody) Append(e *Entry) {
	b.Log = append(b.Log, e)
	b.Bytes += e.Size()
	first := 0
	if len(b.Log) > KeptMost {
		first = len(b.Log) - KeptLeast
	}
	for i, over := 0, b.Bytes-KeptBytes; over > 0 && i < len(b.Log)-1; i++ {
		over -= b.Log[i].Size()
		first = max(first, i+1)
	}
	for _, old := range b.Log[:first] {
		b.Bytes -= old.Size()
	}
	b.dropOldest(first)
}

// maxGrown bounds the components of an operation that was transformed: each one beside it may split them.
const maxGrown = 4 * text.MaxComponents

// Rebase is the operation as it is to be applied behind others that it does not know. The result is its own.
func (b *TextBody) Rebase(op text.Op, others []*Entry) (text.Op, error) {
	for _, e := range others {
		if len(e.Op) == 0 {
			continue
		}
		b.to = text.AppendTransform(b.to[:0], op, e.Op, text.Left)
		op = b.to
		b.from, b.to = b.to, b.from
		if len(op) > maxGrown {
			return nil, ErrSplit
		}
	}
	return slices.Clone(op), nil
}

// At is the text as it was at an earlier version; false if the operations since then are not kept.
func (b *TextBody) At(head, version uint64) (string, bool) {
	later, ok := b.Since(head, version)
	if !ok {
		return "", false
	}
	t := text.NewBuffer(b.Buffer.String())
	for _, e := range slices.Backward(later) {
		if t.Apply(e.Op.Invert()) != nil {
			return "", false
		}
	}
	return t.String(), true
}
