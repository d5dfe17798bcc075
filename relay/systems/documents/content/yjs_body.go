package content

import (
	"encoding/base64"
	"encoding/json"
	"weir/relay/systems/documents/yjs"
)

// YjsBody is a document of kind Yjs: updates as they came, merged now and then.
type YjsBody struct {
	merged []byte   // everything but tail; nil: nothing
	tail   [][]byte // updates that came since
	Bytes  int      // of both
	State  *yjs.State
}

// Base64Of is bytes as a JSON string.
func Base64Of(b []byte) json.RawMessage {
	out := append(make([]byte, 0, base64.StdEncoding.EncodedLen(len(b))+2), '"')
	return append(base64.StdEncoding.AppendEncode(out, b), '"')
}

// BytesOf is the way back from Base64Of.
func BytesOf(raw json.RawMessage) ([]byte, error) {
	s, err := textOf(raw)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(s)
}

func (b *YjsBody) Restore(content json.RawMessage, _ uint64) error {
	raw, err := BytesOf(content)
	if err != nil || len(raw) == 0 {
		return err
	}
	u, err := yjs.Parse(raw)
	if err != nil {
		return err
	}
	b.merged, b.Bytes, b.State = raw, len(raw), yjs.NewState(u)
	return nil
}

func (b *YjsBody) Replay(e *Entry, before bool) error {
	if before {
		return nil
	}
	raw, err := BytesOf(e.Data)
	if err != nil {
		return err
	}
	u, err := yjs.Parse(raw)
	if err == nil {
		b.Add(raw, u)
	}
	return err
}

// Add takes an update in. It returns false, and keeps nothing of it, if there is nothing new in it.
func (b *YjsBody) Add(raw []byte, u *yjs.Update) bool {
	if !b.State.Add(u) {
		return false
	}
	b.tail = append(b.tail, raw)
	b.Bytes += len(raw)
	if b.State.Gaps() { // perhaps this has filled them
		b.State = yjs.NewState(b.All())
	}
	return true
}

// All is everything, merged.
func (b *YjsBody) All() *yjs.Update {
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

// Merge makes one update of all.
func (b *YjsBody) Merge() {
	if len(b.tail) > 0 {
		b.merged, b.tail = b.All().Append(nil), nil
		b.Bytes = len(b.merged)
	}
}

func (b *YjsBody) AppendContent(dst []byte) []byte {
	b.Merge()
	return append(dst, Base64Of(b.merged)...)
}
