package documents

import "encoding/json"

// opaqueBody is a document of kind Opaque: a snapshot that a client has made, and the updates behind it.
type opaqueBody struct {
	doc  json.RawMessage // nil: there is no snapshot
	from uint64          // the version of the snapshot
	log  []*entry        // the newest updates: all behind the snapshot, and some before it
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

// after is the updates behind a version; false if not all of them are kept. They may be kept.
func (b *opaqueBody) after(head, version uint64) ([]*entry, bool) {
	return behind(b.log, head, version)
}

// put replaces the snapshot by one of a later version.
func (b *opaqueBody) put(doc json.RawMessage, version, head uint64) {
	b.doc, b.from = doc, version
	b.log = without(b.log, len(b.log)-max(keptLeast, int(head-version)))
}

func (*opaqueBody) compacts() (often, leaving int) { return 0, 0 }
func (*opaqueBody) follows() bool                  { return true }
