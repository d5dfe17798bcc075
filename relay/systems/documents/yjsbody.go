package documents

import (
	"encoding/base64"
	"encoding/json"

	"weir/relay/systems/documents/yjs"
)

// yjsBody is a document of kind Yjs: updates as they came, merged now and then.
type yjsBody struct {
	merged []byte   // everything but tail; nil: nothing
	tail   [][]byte // updates that came since
	bytes  int      // of both
	state  *yjs.State
}

func newYjsBody() *yjsBody { return &yjsBody{state: yjs.NewState(yjs.Merge())} }

// base64Of is bytes as a JSON string.
func base64Of(b []byte) json.RawMessage {
	out := append(make([]byte, 0, base64.StdEncoding.EncodedLen(len(b))+2), '"')
	return append(base64.StdEncoding.AppendEncode(out, b), '"')
}

func bytesOf(raw json.RawMessage) ([]byte, error) {
	s, err := textOf(raw)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(s)
}

func (b *yjsBody) restore(content json.RawMessage, _ uint64) error {
	raw, err := bytesOf(content)
	if err != nil || len(raw) == 0 {
		return err
	}
	u, err := yjs.Parse(raw)
	if err != nil {
		return err
	}
	b.merged, b.bytes, b.state = raw, len(raw), yjs.NewState(u)
	return nil
}

func (b *yjsBody) replay(e *entry, before bool) error {
	if before {
		return nil
	}
	raw, err := bytesOf(e.data)
	if err != nil {
		return err
	}
	u, err := yjs.Parse(raw)
	if err != nil {
		return err
	}
	b.add(raw, u)
	return nil
}

// add takes an update in. It returns false, and keeps nothing of it, if there is nothing new in it.
func (b *yjsBody) add(raw []byte, u *yjs.Update) bool {
	if !b.state.Add(u) {
		return false
	}
	b.tail = append(b.tail, raw)
	b.bytes += len(raw)
	if b.state.Gaps() { // perhaps this has filled them
		b.state = yjs.NewState(b.all())
	}
	return true
}

// all is everything, merged.
func (b *yjsBody) all() *yjs.Update {
	updates := make([]*yjs.Update, 0, len(b.tail)+1)
	for _, raw := range append([][]byte{b.merged}, b.tail...) {
		if raw == nil {
			continue
		}
		if u, err := yjs.Parse(raw); err == nil { // it was parsed before
			updates = append(updates, u)
		}
	}
	return yjs.Merge(updates...)
}

// merge makes one update of all.
func (b *yjsBody) merge() {
	if len(b.tail) > 0 {
		b.merged, b.tail = b.all().Append(nil), nil
		b.bytes = len(b.merged)
	}
}

func (b *yjsBody) appendContent(dst []byte) []byte {
	b.merge()
	return append(dst, base64Of(b.merged)...)
}

func (*yjsBody) snapshotAfter() (often, leaving int) { return snapshotOps, 1 }
func (*yjsBody) keepsLog() bool                      { return false }
