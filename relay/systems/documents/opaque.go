package documents

import (
	"strconv"

	"weir/internal/wire"
	"weir/relay"
)

// opaqueOutlet tells the followers of a document of kind Opaque.
type opaqueOutlet struct{ room *relay.Room }

func (o *opaqueOutlet) full() bool                { return o.room.Full() }
func (*opaqueOutlet) moved(*cursor, uint64, bool) {}

// applied implements outlet. The author gets the update, too: that it comes back is what confirms it.
func (o *opaqueOutlet) applied(e *entry, by *editor) error {
	m := relay.RoomMessage{Data: appendUpdates(nil, nil, e.version-1, []*entry{e})}
	if by != nil {
		m.Exclude, m.Answer = by.connection, appendUpdates(nil, []byte(e.id), e.version-1, []*entry{e})
	}
	return o.room.Send(m)
}

// appendUpdates appends the message that brings updates behind a version.
func appendUpdates(b, id []byte, version uint64, entries []*entry) []byte {
	b = wire.AppendID(append(b, `{"type":"updates",`...), id)
	b = strconv.AppendUint(append(b, `"version":`...), version, 10)
	return append(appendList(append(b, `,"updates":`...), entries), '}')
}

func appendList(b []byte, entries []*entry) []byte {
	b = append(b, '[')
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e.data...)
	}
	return append(b, ']')
}

// appendOpaque appends where a document stands: the updates behind what the client has, or the snapshot and those
// behind it. The caller holds mu and has loaded the document.
func (d *Document) appendOpaque(b, id []byte, r resume) []byte {
	body := d.body.(*opaqueBody)
	b = wire.AppendID(append(b, `{"type":"document",`...), id)
	b = append(append(append(b, `"document":"`...), d.id...), `","epoch":"`...)
	b = append(append(b, d.epoch...), `","version":`...)
	b = strconv.AppendUint(b, d.version, 10)
	entries, ok := body.after(d.version, min(r.version, d.version))
	if !ok || r.epoch != d.epoch || r.version > d.version {
		entries, _ = body.after(d.version, body.from)
		b = append(b, `,"snapshot":`...)
		if body.doc == nil {
			b = append(b, `null`...)
		} else {
			b = strconv.AppendUint(append(b, `{"version":`...), body.from, 10)
			b = append(append(append(b, `,"doc":`...), body.doc...), '}')
		}
	}
	return append(appendList(append(b, `,"updates":`...), entries), '}')
}

// opaqueOutlet is that of the document, which is made for its first follower. The caller holds mu.
func (d *Document) opaqueOutlet(core *relay.Core) *opaqueOutlet {
	for _, o := range d.outlets {
		if o, ok := o.(*opaqueOutlet); ok {
			return o
		}
	}
	o := &opaqueOutlet{core.Room(d.channel)}
	d.outlets = append(d.outlets, o)
	return o
}
