package content

import (
	"encoding/json"
	"weir/relay/systems/internal/encode"
)

// OpaqueBody is a document of kind Opaque: a snapshot that a client has made, and the updates behind it.
type OpaqueBody struct {
	opLog                 // all behind the snapshot, and some before it
	Doc   json.RawMessage // nil: there is no snapshot
	From  uint64          // the version of the snapshot
}

func (b *OpaqueBody) Restore(content json.RawMessage, version uint64) error {
	b.From = version
	if string(content) != "null" {
		b.Doc = content
	}
	return nil
}

func (b *OpaqueBody) Replay(e *Entry, _ bool) error {
	b.Log = append(b.Log, e)
	return nil
}

func (b *OpaqueBody) AppendContent(dst []byte) []byte {
	if b.Doc == nil {
		return append(dst, "null"...)
	}
	return append(dst, b.Doc...)
}

// Put replaces the snapshot by one of a later version.
func (b *OpaqueBody) Put(doc json.RawMessage, version, head uint64) {
	b.Doc, b.From = doc, version
	b.dropOldest(len(b.Log) - max(KeptLeast, int(head-version)))
}

// Updates is the message that brings the updates after a version.
func Updates(id []byte, version uint64, entries []*Entry) []byte {
	return append(AppendUpdates(encode.Members(nil, "type", "updates", "id", id, "version", version), entries), '}')
}

// AppendUpdates appends the member "updates".
func AppendUpdates(b []byte, entries []*Entry) []byte {
	return encode.List(append(b, `,"updates":`...), entries, func(b []byte, e *Entry) []byte { return append(b, e.Data...) })
}
