package documents

import (
	"fmt"
	"strconv"
	"strings"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/systems/documents/text"
)

// nativeOutlet tells the followers of the native protocol.
type nativeOutlet struct {
	room *relay.Room // set once

	// Guarded by the document's lock.
	waiting []notice // operations that are still in the room's window
	sent    uint64   // the newest version that is not
}

// notice is which version of the document a message of the room tells.
type notice struct{ message, version uint64 }

// seen is the newest version that the followers were sent.
func (o *nativeOutlet) seen() uint64 {
	_, left := o.room.Sent()
	for len(o.waiting) > 0 && o.waiting[0].message <= left {
		o.sent = o.waiting[0].version
		o.waiting = o.waiting[1:]
	}
	return o.sent
}

func (o *nativeOutlet) full() bool { return o.room.Full() }

// applied implements outlet. The author gets its answer in the place of the operation, behind all that it has
// missed.
func (o *nativeOutlet) applied(e *entry, by *editor) error {
	m := relay.RoomMessage{Data: appendOperation(make([]byte, 0, 192), e, connectionOf(by))}
	if by != nil && by.outlet == outlet(o) {
		m.Exclude, m.Answer = by.connection, appendOK(nil, []byte(e.id), e.version)
	}
	if err := o.room.Send(m); err != nil {
		return err
	}
	all, _ := o.room.Sent()
	o.waiting = append(o.waiting, notice{all, e.version})
	o.seen() // keeps the list short
	return nil
}

// moved implements outlet.
func (o *nativeOutlet) moved(c *cursor, version uint64, gone bool) {
	b := append(make([]byte, 0, 192), `{"type":"cursor",`...)
	b = appendCursor(b, c, gone)
	b = strconv.AppendUint(append(b, `,"version":`...), version, 10)
	_ = o.room.Send(relay.RoomMessage{
		Data: append(b, '}'), Group: "cursors", Key: c.editor.connection, Exclude: c.editor.connection,
	}) // one that is lost is followed by another
}

func connectionOf(by *editor) string {
	if by == nil {
		return ""
	}
	return by.connection
}

// appendOperation appends the message that tells of an operation.
func appendOperation(b []byte, e *entry, connection string) []byte {
	b = append(b, `{"type":"operation",`...)
	b = wire.AppendID(b, []byte(e.id))
	b = appendLogged(b, e)
	if connection != "" {
		b = append(append(append(b, `,"connectionId":"`...), connection...), '"')
	}
	return append(b, '}')
}

// appendLogged appends what is told of an operation everywhere.
func appendLogged(b []byte, e *entry) []byte {
	b = strconv.AppendUint(append(b, `"version":`...), e.version, 10)
	if e.data != nil {
		b = append(append(b, `,"operation":`...), e.data...)
	} else {
		b = e.op.Plain().AppendJSON(append(b, `,"operation":`...))
	}
	b = wire.AppendString(append(b, `,"userId":`...), e.user)
	if e.src != "" {
		b = wire.AppendString(append(b, `,"src":`...), e.src)
	}
	return strconv.AppendInt(append(b, `,"timestamp":`...), e.at, 10)
}

func appendOK(b, id []byte, version uint64) []byte {
	b = wire.AppendID(append(b, `{"type":"ok",`...), id)
	return append(strconv.AppendUint(append(b, `"version":`...), version, 10), '}')
}

// appendCursor appends the members of a cursor.
func appendCursor(b []byte, c *cursor, gone bool) []byte {
	ed := c.editor
	b = append(append(append(b, `"connectionId":"`...), ed.connection...), `","userId":`...)
	b = wire.AppendString(b, ed.user)
	if gone {
		return append(b, `,"position":null,"selection":null,"gone":true`...)
	}
	b = wire.AppendString(append(b, `,"name":`...), ed.name)
	b = append(append(append(b, `,"color":"`...), ed.color...), '"')
	b = strconv.AppendInt(append(b, `,"position":`...), int64(c.position), 10)
	if c.selection == nil {
		return append(b, `,"selection":null`...)
	}
	b = strconv.AppendInt(append(b, `,"selection":{"start":`...), int64(c.selection.Start), 10)
	b = strconv.AppendInt(append(b, `,"end":`...), int64(c.selection.End), 10)
	return append(b, '}')
}

// appendState appends a message that says where the document stands: the text, or the operations behind what the
// client has.
func (d *Document) appendState(b []byte, kind string, id []byte, since []*entry, whole bool) []byte {
	b = append(append(append(b, `{"type":"`...), kind...), `",`...)
	b = wire.AppendID(b, id)
	b = append(append(append(b, `"document":"`...), d.id...), `","epoch":"`...)
	b = append(append(b, d.epoch...), `","version":`...)
	b = strconv.AppendUint(b, d.version, 10)
	if whole {
		b = d.body.(*textBody).buffer.AppendJSON(append(b, `,"text":`...))
	} else {
		b = append(b, `,"operations":[`...)
		for i, e := range since {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, '{')
			b = appendLogged(wire.AppendID(b, []byte(e.id)), e)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	b = append(b, `,"cursors":[`...)
	for i, c := range d.cursors {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendCursor(append(b, '{'), c, false), '}')
	}
	return append(b, ']')
}

// nativeMessage is what a client of the native protocol says.
type nativeMessage struct {
	kind       string
	id         []byte
	version    uint64
	hasVersion bool
	operation  []byte
	position   int
	selection  *span
	token      string
}

// parse reads a message. Errors can be told; the id is set if there is a good one.
func (m *nativeMessage) parse(b []byte) error {
	seen := make(map[string]bool, 8)
	var bad error
	err := wire.Members(b, func(key string, v []byte) error {
		var e error
		if seen[key] {
			e = badRequest("a member is given twice")
		}
		seen[strings.Clone(key)] = true
		if e == nil {
			e = m.member(key, v)
		}
		if bad == nil {
			bad = e // the id may still come
		}
		return nil
	})
	if err == nil {
		err = bad
	}
	return err
}

func (m *nativeMessage) member(key string, v []byte) (err error) {
	if string(v) == "null" {
		return nil // as if it were not there
	}
	switch key {
	case "type":
		if m.kind, err = wire.Text(v); err != nil {
			return badRequest("type must be a string")
		}
	case "id":
		if !goodID(v) {
			return badRequest(fmt.Sprintf("id must be a string or number of at most %d bytes", wire.MaxID))
		}
		m.id = v
	case "version":
		if m.version, err = strconv.ParseUint(string(v), 10, 64); err != nil {
			return badRequest("version must be a whole number")
		}
		m.hasVersion = true
	case "operation":
		m.operation = v
	case "position":
		if m.position, err = place(v); err != nil {
			return badRequest("position must be a number of code points")
		}
	case "selection":
		if m.selection, err = selectionOf(v); err != nil {
			return err
		}
	case "token":
		if m.token, err = wire.Text(v); err != nil {
			return badRequest("token must be a string")
		}
	}
	return nil
}

func goodID(v []byte) bool {
	return len(v) <= wire.MaxID && (v[0] == '"' || v[0] == '-' || v[0] >= '0' && v[0] <= '9')
}

// place reads a number of code points.
func place(v []byte) (int, error) {
	n, err := strconv.Atoi(string(v))
	if err != nil || n < 0 || n > text.MaxLength {
		return 0, badRequest("selection must be null or {\"start\":...,\"end\":...} in code points")
	}
	return n, nil
}

func selectionOf(v []byte) (*span, error) {
	if string(v) == "null" {
		return nil, nil //nolint:nilnil // nothing is selected, and that is no error
	}
	var s span
	var have int
	err := wire.Members(v, func(key string, v []byte) (err error) {
		switch key {
		case "start":
			s.Start, err = place(v)
			have |= 1
		case "end":
			s.End, err = place(v)
			have |= 2
		}
		return err
	})
	if err != nil || have != 3 {
		_, err = place([]byte("-"))
		return nil, err
	}
	return &s, nil
}
