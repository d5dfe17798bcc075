package documents

import (
	"bytes"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/message"
	"weir/relay/systems/internal/encode"
)

// opaque is the dialect of /documents/opaque/{id}: the relay orders updates and stores them, clients rebase.
type opaque struct{}

// opaqueBroadcaster is the broadcaster of a document of kind Opaque.
type opaqueBroadcaster struct{ followers }

func (opaque) broadcaster(d *document) broadcaster {
	return broadcasterOf(d, func(f followers) *opaqueBroadcaster { return &opaqueBroadcaster{f} })
}

// applied implements broadcaster. The author gets the update, too: that it comes back is what confirms it.
func (o *opaqueBroadcaster) applied(e *content.Entry, by *editor) error {
	m := relay.GroupMessage{Data: content.Updates(nil, e.Version-1, []*content.Entry{e})}
	if by != nil {
		m.Exclude, m.Answer = by.connection, content.Updates([]byte(e.ID), e.Version-1, []*content.Entry{e})
	}
	return o.room.Send(m)
}

func (opaque) state(s *session, f *following) [][]byte { return [][]byte{f.doc.opaque(nil, s.resume)} }

// opaque is the state of a document: the updates after what the client has, or the snapshot and those after it. The caller
// holds mu and has loaded the document.
func (d *document) opaque(id []byte, r resume) []byte {
	body := d.body.(*content.OpaqueBody)
	b := d.brings("document", id)
	entries, ok := body.Since(d.version, r.version)
	if !ok || r.epoch != d.epoch {
		entries, _ = body.Since(d.version, body.From)
		snapshot := []byte("null")
		if body.Doc != nil {
			snapshot = encode.Object("version", body.From, "doc", []byte(body.Doc))
		}
		b = encode.Members(b, "snapshot", snapshot)
	}
	return append(content.AppendUpdates(b, entries), '}')
}

func (o opaque) handle(s *session, m *message.Message) error {
	var f func(s *session, d *document, ed *editor, m *message.Message) error
	switch m.Kind {
	case "push":
		f = o.push
	case "pull":
		f = o.pull
	case "snapshot":
		f = o.snapshot
	default:
		return errMessageType
	}
	if m.Version == nil {
		return message.Bad("version, or since, is missing")
	}
	if m.Kind != "pull" && !s.may(auth.Publish, s.document) {
		return errWrite
	}
	return s.edit(func(d *document, ed *editor) error { return f(s, d, ed, m) })
}

// push appends updates, if they were made at the newest version.
func (opaque) push(s *session, d *document, ed *editor, m *message.Message) error {
	if m.Updates == nil {
		return message.Bad("updates are missing")
	}
	if *m.Version != d.version {
		s.one.reply(encode.Object("type", "rejected", "id", m.ID, "version", d.version))
		return nil
	}
	body := d.body.(*content.OpaqueBody)
	for _, data := range m.Updates {
		if d.version-body.From >= content.KeptMost || d.bytes >= content.KeptBytes {
			return errSnapshot
		}
		if err := d.ready(); err != nil {
			return err
		}
		e := &content.Entry{User: ed.user, Src: s.src, ID: string(m.ID), Data: data}
		if err := d.append(e, ed, nil); err != nil {
			return err
		}
		body.Log = append(body.Log, e)
	}
	if n := d.version - body.From; n/content.SnapshotOps > (n-uint64(len(m.Updates)))/content.SnapshotOps {
		s.one.reply(encode.Object("type", "snapshot_wanted", "version", d.version))
	}
	return nil
}

// pull sends the updates after a version.
func (opaque) pull(s *session, d *document, _ *editor, m *message.Message) error {
	if *m.Version > d.version {
		return errAhead
	}
	if entries, ok := d.body.(*content.OpaqueBody).Since(d.version, *m.Version); ok {
		s.one.reply(content.Updates(m.ID, *m.Version, entries))
	} else {
		s.one.reply(d.opaque(m.ID, resume{}))
	}
	return nil
}

// snapshot stores the document as a client has it at a version.
func (opaque) snapshot(s *session, d *document, ed *editor, m *message.Message) error {
	body := d.body.(*content.OpaqueBody)
	version := *m.Version
	switch {
	case m.Doc == nil:
		return message.Bad("doc is missing")
	case version > d.version:
		return errAhead
	case version < body.From || version == body.From && body.Doc != nil:
		return errUploaded
	case len(m.Doc) > int(d.set.config.Size):
		return errLarge
	}
	receipt, err := d.set.store.Save(d.id, content.Opaque, d.epoch, version, func(b []byte) []byte { return append(b, m.Doc...) })
	if err != nil {
		return err
	}
	body.Put(m.Doc, version, d.version)
	d.saved = true
	d.since = int(d.version - version)
	d.bytes = 0
	if behind, ok := body.Since(d.version, version); ok {
		for _, e := range behind {
			d.bytes += e.Size()
		}
	}
	d.set.counts.snapshots.Inc()
	id := bytes.Clone(m.ID)
	d.whenStored(receipt, func(err error) {
		if err != nil {
			s.client.SendError(id, err)
			return
		}
		ed.broadcaster.all().room.Reply(s.client, accepted(id, version), false)
	})
	return nil
}
