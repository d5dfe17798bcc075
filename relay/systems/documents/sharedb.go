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
	room                 *relay.Room
	collection, document string
}

func (o *shareOutlet) full() bool { return o.room.Full() }

// moved implements outlet: the type has no presence there.
func (*shareOutlet) moved(*cursor, uint64, bool) {}

// applied implements outlet. The author gets the acknowledgement in the place of the operation.
func (o *shareOutlet) applied(e *entry, by *editor) error {
	m := relay.RoomMessage{Data: o.appendOp(make([]byte, 0, 192), e)}
	if by != nil && by.outlet == outlet(o) {
		m.Exclude, m.Answer = by.connection, o.appendAck(nil, e)
	}
	return o.room.Send(m)
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

// shareOutlet is that of the document, which is made for its first follower. The caller holds mu.
func (d *Document) shareOutlet(core *relay.Core) *shareOutlet {
	for _, o := range d.outlets {
		if o, ok := o.(*shareOutlet); ok {
			return o
		}
	}
	collection, document, _ := strings.Cut(d.id, ":")
	o := &shareOutlet{core.Room(d.channel), collection, document}
	d.outlets = append(d.outlets, o)
	return o
}

// shareID is the document that ShareDB calls d in a collection.
func shareID(collection, d string) (string, bool) {
	id := collection + ":" + d
	return id, collection != "" && d != "" && !strings.Contains(collection, ":") && goodDocumentID(id)
}
