package documents

import (
	"errors"

	"github.com/oklog/ulid/v2"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/message"
	"weir/relay/systems/documents/text"
	"weir/relay/systems/internal/encode"
)

// native is the dialect of /documents/{id}/collaborate: operations on a text, and cursors.
type native struct{}

// nativeBroadcaster is the broadcaster of the native protocol.
type nativeBroadcaster struct {
	followers

	// Guarded by the document's lock.
	waiting []notice // operations that are still in the room's window
	sent    uint64   // the newest version that is not
}

// notice is the version of the document that a message of the room brings.
type notice struct{ message, version uint64 }

func (native) broadcaster(d *document) broadcaster {
	return broadcasterOf(d, func(f followers) *nativeBroadcaster { return &nativeBroadcaster{followers: f} })
}

// seen returns the newest version that the followers were sent.
func (o *nativeBroadcaster) seen() uint64 {
	_, left := o.room.Sent()
	for len(o.waiting) > 0 && o.waiting[0].message <= left {
		o.sent = o.waiting[0].version
		o.waiting = o.waiting[1:]
	}
	return o.sent
}

// applied implements broadcaster. The author gets its answer in the place of the operation, behind all that it has
// missed.
func (o *nativeBroadcaster) applied(e *content.Entry, by *editor) error {
	m := relay.GroupMessage{Data: appendOperation(make([]byte, 0, 192), e, by)}
	if by != nil && by.broadcaster == broadcaster(o) {
		m.Exclude, m.Answer = by.connection, accepted([]byte(e.ID), e.Version)
	}
	if err := o.room.Send(m); err != nil {
		return err
	}
	all, _ := o.room.Sent()
	o.waiting = append(o.waiting, notice{all, e.Version})
	o.seen() // keeps the list short
	return nil
}

func (o *nativeBroadcaster) moved(c *cursor, version uint64, gone bool) {
	b := encode.Members(appendCursor(encode.Members(nil, "type", "cursor"), c, gone), "version", version)
	_ = o.room.Send(relay.GroupMessage{
		Data: append(b, '}'), Group: "cursors", Key: c.editor.connection, Exclude: c.editor.connection,
	}) // one that is lost is followed by another
}

// appendOperation appends the message that brings an operation.
func appendOperation(b []byte, e *content.Entry, by *editor) []byte {
	b = content.AppendMembers(append(b, `{"type":"operation"`...), e)
	if by != nil {
		b = encode.Members(b, "connectionId", encode.Maybe(by.connection))
	}
	return append(b, '}')
}

// appendCursor appends the members of a cursor.
func appendCursor(b []byte, c *cursor, gone bool) []byte {
	ed := c.editor
	b = encode.Members(b, "connectionId", ed.connection, "userId", ed.user)
	if gone {
		return append(b, `,"position":null,"selection":null,"gone":true`...)
	}
	b = encode.Members(b, "name", ed.name, "color", ed.color, "position", c.position)
	if c.selection == nil {
		return append(b, `,"selection":null`...)
	}
	return append(encode.Members(append(b, `,"selection":{`...), "start", c.selection.Start, "end", c.selection.End), '}')
}

// state is "document": the text, or the operations behind what a client has that comes back.
func (native) state(s *session, f *following) [][]byte {
	since, whole := f.doc.missed(s.resume)
	return [][]byte{f.doc.state("document", nil, since, whole)}
}

// missed returns the operations that a client lacks that comes back; whole: it needs the text instead. The caller holds mu
// and has loaded the document.
func (d *document) missed(r resume) (since []*content.Entry, whole bool) {
	if r.epoch != d.epoch {
		return nil, true
	}
	since, ok := d.body.(*content.TextBody).Since(d.version, r.version)
	return since, !ok
}

// state is a message that brings the state of the document: the text, or the operations behind what the client has.
func (d *document) state(kind string, id []byte, since []*content.Entry, whole bool) []byte {
	member, content := "operations", func(b []byte) []byte { return encode.List(b, since, content.AppendLogged) }
	if whole {
		member, content = "text", d.body.AppendContent
	}
	cursors := func(b []byte) []byte {
		return encode.List(b, d.cursors, func(b []byte, c *cursor) []byte { return append(appendCursor(append(b, '{'), c, false), '}') })
	}
	return append(encode.Members(d.brings(kind, id), member, content, "cursors", cursors), '}')
}

func (n native) handle(s *session, m *message.Message) error {
	switch m.Kind {
	case "operation":
		return n.operation(s, m)
	case "cursor":
		return s.edit(func(d *document, ed *editor) error {
			version := d.version
			if m.Version != nil {
				version = *m.Version
			}
			return d.setCursor(ed, version, m.Position, m.Selection)
		})
	}
	return errMessageType
}

func (native) operation(s *session, m *message.Message) error {
	switch {
	case !s.may(auth.Publish, s.document):
		return errWrite
	case m.Operation == nil:
		return errNoOperation
	}
	op, err := text.Parse(m.Operation)
	if err != nil {
		return err
	}
	return s.edit(func(d *document, ed *editor) error {
		x := &edit{op: op, user: ed.user, src: s.src, id: string(m.ID), by: ed}
		if m.Version != nil {
			x.base = *m.Version
		} else {
			x.base = max(ed.base, ed.broadcaster.(*nativeBroadcaster).seen())
		}
		if m.ID == nil {
			x.id, x.echo = `"`+ulid.Make().String()+`"`, true
		}
		version, again, err := d.edit(x, nil)
		switch {
		case errors.Is(err, errStale):
			ed.base = d.version
			d.set.counts.resyncs.Inc()
			s.one.reply(d.state("resync", m.ID, nil, true))
			return nil
		case err != nil:
			return err
		case again:
			d.set.counts.resends.Inc()
			s.one.reply(accepted(m.ID, version))
		}
		ed.base = max(ed.base, version)
		return nil
	})
}
