package documents

import "encoding/json"

// opaqueBody is a document of kind Opaque: a snapshot that a client has made, and the updates behind it.
type opaqueBody struct {
	opLog                 // all behind the snapshot, and some before it
	doc   json.RawMessage // nil: there is no snapshot
	from  uint64          // the version of the snapshot
}

func (b *opaqueBody) restore(content json.RawMessage, version uint64) error {
	b.from = version
	if string(content) != "null" {
		b.doc = content
	}
	return nil
}

func (b *opaqueBody) replay(e *entry, _ bool) error {
	b.log = append(b.log, e)
	return nil
}

func (b *opaqueBody) appendContent(dst []byte) []byte {
	if b.doc == nil {
		return append(dst, "null"...)
	}
	return append(dst, b.doc...)
}

// put replaces the snapshot by one of a later version.
func (b *opaqueBody) put(doc json.RawMessage, version, head uint64) {
	b.doc, b.from = doc, version
	b.dropOldest(len(b.log) - max(keptLeast, int(head-version)))
}

func (*opaqueBody) snapshotAfter() (often, leaving int) { return 0, 0 }
func (*opaqueBody) keepsLog() bool                      { return true }
