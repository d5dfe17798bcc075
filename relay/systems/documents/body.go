package documents

import (
	"encoding/json"
	"slices"

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

// textBody is a document of kind Text.
type textBody struct {
	opLog
	bytes  int // of the log
	buffer *text.Buffer

	from, to text.Op // used again by each transformation
}

func (b *textBody) restore(content json.RawMessage, _ uint64) error {
	s, err := textOf(content)
	b.buffer = text.NewBuffer(s)
	return err
}

func (b *textBody) replay(e *entry, before bool) error {
	if !before {
		if err := b.buffer.Apply(e.op); err != nil {
			return err
		}
	}
	b.append(e)
	return nil
}

func (b *textBody) appendContent(dst []byte) []byte { return b.buffer.AppendJSON(dst) }

// append adds an operation to those that are kept.
func (b *textBody) append(e *entry) {
	b.log = append(b.log, e)
	b.bytes += e.size()
	first := 0
	if len(b.log) > keptMost {
		first = len(b.log) - keptLeast
	}
	for i, over := 0, b.bytes-keptBytes; over > 0 && i < len(b.log)-1; i++ {
		over -= b.log[i].size()
		first = max(first, i+1)
	}
	for _, old := range b.log[:first] {
		b.bytes -= old.size()
	}
	b.dropOldest(first)
}

// maxGrown bounds the components of an operation that was transformed: each one beside it may split them.
const maxGrown = 4 * text.MaxComponents

// rebase is the operation as it is to be applied behind others that it does not know. The result is its own.
func (b *textBody) rebase(op text.Op, others []*entry) (text.Op, error) {
	for _, e := range others {
		if len(e.op) == 0 {
			continue
		}
		b.to = text.AppendTransform(b.to[:0], op, e.op, text.Left)
		op = b.to
		b.from, b.to = b.to, b.from
		if len(op) > maxGrown {
			return nil, errSplit
		}
	}
	return slices.Clone(op), nil
}

// at is the text as it was at an earlier version; false if the operations since then are not kept.
func (b *textBody) at(head, version uint64) (string, bool) {
	later, ok := b.since(head, version)
	if !ok {
		return "", false
	}
	t := text.NewBuffer(b.buffer.String())
	for _, e := range slices.Backward(later) {
		if t.Apply(e.op.Invert()) != nil {
			return "", false
		}
	}
	return t.String(), true
}
