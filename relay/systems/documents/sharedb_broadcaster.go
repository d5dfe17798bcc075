package documents

import (
	"strconv"
	"strings"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/systems/documents/sharedb"
	"weir/relay/systems/documents/text"
)

// shareBroadcaster is the broadcaster for ShareDB.
type shareBroadcaster struct {
	followers
	collection, document string
}

// applied implements broadcaster. The author gets the acknowledgement in the place of the operation.
func (o *shareBroadcaster) applied(e *entry, by *editor) error {
	m := relay.RoomMessage{Data: o.appendOp(make([]byte, 0, 192), e)}
	if by != nil && by.broadcaster == broadcaster(o) {
		m.Exclude, m.Answer = by.connection, o.appendAck(nil, e)
	}
	return o.room.Send(m)
}

// broadcaster implements codec.
func (shareDB) broadcaster(d *Document) broadcaster { return d.shareBroadcaster() }

func (d *Document) shareBroadcaster() *shareBroadcaster {
	return broadcasterOf(d, func(f followers) *shareBroadcaster {
		collection, document, _ := strings.Cut(d.id, ":")
		return &shareBroadcaster{f, collection, document}
	})
}

// appendHead appends what an operation and its acknowledgement have in common. Versions there are those that
// operations are applied at.
func (o *shareBroadcaster) appendHead(b []byte, e *entry) []byte {
	b = sharedb.AppendNames(append(b, '{'), sharedb.Op, o.collection, o.document)
	b = strconv.AppendUint(append(b, `,"v":`...), e.version-1, 10)
	b = wire.AppendString(append(b, `,"src":`...), e.src)
	if _, err := strconv.ParseUint(e.id, 10, 53); err == nil {
		b = append(append(b, `,"seq":`...), e.id...)
	}
	return b
}

func (o *shareBroadcaster) appendAck(b []byte, e *entry) []byte {
	return append(o.appendHead(b, e), '}')
}

// appendOp appends an operation. The first of a document is what creates it there.
func (o *shareBroadcaster) appendOp(b []byte, e *entry) []byte {
	b = o.appendHead(b, e)
	if e.version > 1 {
		return append(e.op.Plain().AppendJSON(append(b, `,"op":`...)), '}')
	}
	b = append(b, `,"create":{"type":"`+sharedb.TextType+`","data":`...)
	var first string
	for _, c := range e.op {
		if c.Kind == text.Insert {
			first = c.S
		}
	}
	return append(text.AppendString(b, first), '}', '}')
}
