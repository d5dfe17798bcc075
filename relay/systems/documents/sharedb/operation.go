package sharedb

import (
	"strconv"

	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/text"
	"weir/relay/systems/internal/encode"
)

// Name is what clients call a document.
type Name struct{ Collection, Document string }

// appendHead appends what an operation and its acknowledgement have in common. Versions there are those that operations are applied at.
func (n Name) appendHead(b []byte, e *content.Entry) []byte {
	b = encode.Members(AppendNames(append(b, '{'), Op, n.Collection, n.Document), "v", e.Version-1, "src", e.Src)
	if _, err := strconv.ParseUint(e.ID, 10, 53); err == nil {
		b = encode.Members(b, "seq", []byte(e.ID))
	}
	return b
}

// AppendAck appends the acknowledgement of an operation.
func (n Name) AppendAck(b []byte, e *content.Entry) []byte { return append(n.appendHead(b, e), '}') }

// AppendOp appends an operation. The first of a document is what creates it there.
func (n Name) AppendOp(b []byte, e *content.Entry) []byte {
	b = n.appendHead(b, e)
	if e.Version > 1 {
		return append(e.Op.Plain().AppendJSON(append(b, `,"op":`...)), '}')
	}
	b = append(b, `,"create":{"type":"`+TextType+`","data":`...)
	var first string
	for _, c := range e.Op {
		if c.Kind == text.Insert {
			first = c.S
		}
	}
	return append(text.AppendString(b, first), '}', '}')
}
