package documents

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"weir/relay/auth"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/sharedb"
	"weir/relay/systems/documents/text"
	"weir/relay/systems/internal/encode"
)

// fetch sends a snapshot, or with a version the operations after it.
func (s *session) fetch(r *sharedb.Request) error {
	return s.read(r.Collection, r.Document, func(d *document) error {
		out, err := s.shareState(d, r.Action, r.Version, true)
		if err == nil {
			s.sendStored(d, out)
		}
		return err
	})
}

// shareState returns the messages that bring a client up to date: a snapshot, or what it has missed. reply: an answer
// comes behind them. The caller holds the document's lock.
func (s *session) shareState(d *document, action string, version *uint64, reply bool) (out [][]byte, err error) {
	o := d.shareBroadcaster()
	if version != nil {
		entries, err := s.missed(d, *version)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			out = append(out, o.name.AppendOp(nil, e))
		}
	}
	if !reply {
		return out, nil
	}
	var b []byte
	if version == nil {
		b = encode.Members(nil, "data", d.appendShare)
	}
	return append(out, append(sharedb.AppendNames(b, action, o.name.Collection, o.name.Document), '}')), nil
}

// sendStored sends messages to a client that may not follow the document, when what they say is stored. If that fails, the
// connection is closed: the client comes back, and asks again. The caller holds the document's lock.
func (s *session) sendStored(d *document, messages [][]byte) {
	d.whenStored(noReceipt, func(err error) {
		if err != nil {
			s.client.Close(closeOverloaded, "not stored")
			return
		}
		s.send(messages, false)
	})
}

// subscribe has the session follow a document. For a bulk answer it returns the snapshot, if no version is given.
func (s *session) subscribe(collection, name string, version *uint64, g *bulkAnswer) (data []byte, err error) {
	id, err := s.readable(collection, name)
	if err != nil {
		return nil, err
	}
	err = s.documents.hold(id, content.Text, func(d *document) (keep bool, err error) {
		out, err := s.shareState(d, sharedb.Subscribe, version, g == nil)
		if err != nil {
			return false, err
		}
		if g != nil && version == nil {
			data = d.appendShare(nil)
		}
		if f := s.following(d.id); f != nil {
			f.reply(out...)
		} else if f, err = s.follow(d); err != nil {
			return false, err
		} else {
			keep = true
			f.begin(out)
		}
		g.await(d)
		return keep, nil
	})
	return data, err
}

func (s *session) unsubscribe(collection, name string) error {
	id, err := shareID(collection, name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	f := s.follows[id]
	delete(s.follows, id)
	s.mu.Unlock()
	if f != nil {
		f.editor.broadcaster.all().room.Leave(s.client)
		f.end()
	}
	return nil
}

// submit applies an operation, or what creates a document.
func (s *session) submit(r *sharedb.Request) error {
	id, err := s.readable(r.Collection, r.Document)
	switch {
	case err != nil:
		return err
	case !s.may(auth.Publish, id):
		return errWrite
	}
	x := &edit{user: s.client.Identity().User, src: cmp.Or(r.Src, s.src), id: string(r.Seq), concurrent: true}
	switch {
	case r.Seq == nil:
		return fmt.Errorf("%w: seq is missing", text.ErrOp)
	case r.Op != nil:
		x.op, err = text.Parse(r.Op)
	case r.Create && !sharedb.IsText(r.Type):
		err = errType
	case r.Create && string(r.Data) == `""`:
	case r.Create:
		x.op, err = text.Parse(append(append([]byte{'['}, r.Data...), ']'))
	default:
		err = errUnsupported // deleting is for backends
	}
	if err != nil {
		return err
	}
	return s.documents.with(id, content.Text, func(d *document) error {
		if f := s.following(d.id); f != nil {
			if f.editor.replaced {
				return nil
			}
			x.by = f.editor
		}
		if r.Version != nil {
			x.base = *r.Version
		} else if !r.Create {
			x.base = d.version
		}
		return s.apply(d, x, r.Create)
	})
}

// apply makes an edit that a client has submitted, and has it acknowledged. The caller holds the
// document's lock.
func (s *session) apply(d *document, x *edit, create bool) error {
	if s.stale && x.base > 0 {
		return errAhead
	}
	others, _ := d.body.(*content.TextBody).Since(d.version, min(x.base, d.version))
	switch {
	case create && d.created() && !slices.ContainsFunc(others, x.is):
		return errExists
	case !create && !d.created():
		return errNone
	}
	settled := func(err error) { s.acknowledge(d, x, others, err) }
	_, again, err := d.edit(x, settled)
	if err == nil && again {
		s.documents.counts.resends.Inc()
		d.whenStored(noReceipt, settled)
	}
	return err
}

// acknowledge sends a client that its operation, or one that came again, is stored. A follower gets that of a new one in
// its place among the others (see shareBroadcaster.applied). Any other client first gets the operations before it that it
// has not seen: it takes an acknowledgement of another version than its own for an error. If it has subscribed meanwhile
// it gets these twice, which it expects. The caller holds the document's lock.
func (s *session) acknowledge(d *document, x *edit, others []*content.Entry, err error) {
	o := d.shareBroadcaster()
	f := s.following(d.id)
	follows := f != nil && f.editor == x.by
	ack := o.name.AppendAck(nil, &content.Entry{Version: x.version, Src: x.src, ID: x.id})
	switch {
	case err != nil: // it may be stored yet: the client comes back and sends it again
		s.client.Close(closeOverloaded, "not stored")
	case follows && x.again:
		o.room.Reply(s.client, ack, false)
	case !follows:
		for _, e := range others[:min(x.version-1-x.base, uint64(len(others)))] {
			s.client.Send(o.name.AppendOp(nil, e))
		}
		s.client.Send(ack)
	}
}

// snapshot sends a document as it was at a version.
func (s *session) snapshot(r *sharedb.Request) error {
	return s.read(r.Collection, r.Document, func(d *document) error {
		version := d.version
		if r.Version != nil {
			version = *r.Version
		}
		if version > d.version {
			return errAhead
		}
		then, ok := d.body.(*content.TextBody).At(d.version, version)
		switch {
		case !ok:
			return errGone
		case r.ID == nil:
			return sharedb.ErrForm
		}
		var content func([]byte) []byte
		if version > 0 {
			content = func(b []byte) []byte { return text.AppendString(b, then) }
		}
		b := bytes.TrimSuffix(sharedb.AppendSnapshot(nil, version, content), []byte{'}'})
		s.sendStored(d, [][]byte{append(encode.Members(b, "a", sharedb.SnapshotFetch, "id", r.ID), '}')})
		return nil
	})
}
