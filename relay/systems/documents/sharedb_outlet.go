package documents

import (
	"strconv"
	"strings"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/systems/documents/sharedb"
	"weir/relay/systems/documents/text"
)

// shareOutlet tells ShareDB's followers of a document.
type shareOutlet struct {
	followers
	collection, document string
}

// applied implements outlet. The author gets the acknowledgement in the place of the operation.
func (o *shareOutlet) applied(e *entry, by *editor) error {
	m := relay.RoomMessage{Data: o.appendOp(make([]byte, 0, 192), e)}
	if by != nil && by.outlet == outlet(o) {
		m.Exclude, m.Answer = by.connection, o.appendAck(nil, e)
	}
	return o.room.Send(m)
}

// outlet implements codec.
func (shareDB) outlet(d *Document) outlet { return d.shareOutlet() }

func (d *Document) shareOutlet() *shareOutlet {
	return outletOf(d, func(f followers) *shareOutlet {
		collection, document, _ := strings.Cut(d.id, ":")
		return &shareOutlet{f, collection, document}
	})
}

// appendHead appends what an operation and its acknowledgement have in common. Versions there are those that
// operations are applied at.
func (o *shareOutlet) appendHead(b []byte, e *entry) []byte {
	b = sharedb.AppendNames(append(b, '{'), sharedb.Op, o.collection, o.document)
	b = strconv.AppendUint(append(b, `,"v":`...), e.version-1, 10)
	b = wire.AppendString(append(b, `,"src":`...), e.src)
	if _, err := strconv.ParseUint(e.id, 10, 53); err == nil {
		b = append(append(b, `,"seq":`...), e.id...)
	}
	return b
}

func (o *shareOutlet) appendAck(b []byte, e *entry) []byte {
	return append(o.appendHead(b, e), '}')
}

// appendOp appends an operation. The first of a document is what creates it there.
func (o *shareOutlet) appendOp(b []byte, e *entry) []byte {
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
