package documents

import (
	"bytes"
	"errors"

	"github.com/valyala/fasthttp"

	"weir/relay/auth"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/yjs"
)

// yWebsocket is the codec of y-websocket's protocol, at /documents/yjs/{id}.
type yWebsocket struct{}

// Close codes that y-websocket does not come back after.
const (
	closeYjsForbidden = 4403
	closeYjsTooLarge  = 4413
	closeYjsForm      = 4400
)

func (yWebsocket) admit(*session, *fasthttp.Args) error { return nil }
func (yWebsocket) hello(*session)                       {}
func (yWebsocket) broadcaster(d *document) broadcaster {
	return broadcasterOf(d, func(f followers) *yjsBroadcaster {
		f.binary = true
		return &yjsBroadcaster{followers: f, now: d.set.now, sent: d.set.now()}
	})
}

// state asks the client for what the document lacks, and brings the states of the others.
func (yWebsocket) state(_ *session, f *following) [][]byte {
	return [][]byte{
		yjs.AppendSync(nil, yjs.Step1, f.doc.body.(*content.YjsBody).State.Vector().Append(nil)),
		yjs.AppendAwareness(nil, f.editor.broadcaster.(*yjsBroadcaster).list()),
	}
}

// message implements codec. A client that cannot go on is closed: the protocol has no errors.
func (y yWebsocket) message(s *session, data []byte, binary bool) {
	m, err := yjs.ParseMessage(data)
	switch {
	case err != nil || !binary:
		s.documents.counts.refused.Inc()
		s.client.Close(closeYjsForm, "not a message of y-websocket")
		return
	case m.Type == yjs.Sync && m.Step == yjs.Step1:
		err = y.sync(s, m.Body)
	case m.Type == yjs.Sync:
		err = y.update(s, m.Body)
	case m.Type == yjs.Awareness:
		err = y.awareness(s, m.Body)
	default: // QueryAwareness
		s.one.doc.mu.Lock()
		s.one.send(yjs.AppendAwareness(nil, s.one.editor.broadcaster.(*yjsBroadcaster).list()))
		s.one.doc.mu.Unlock()
	}
	if err == nil || s.comesBack(err) {
		return
	}
	s.documents.counts.refused.Inc()
	switch {
	case errors.Is(err, errWrite): // the client stays, and reads
		s.client.SendBinary(yjs.AppendDenied(nil, "not allowed to change this document"))
	case errors.Is(err, yjs.ErrForm):
		s.client.Close(closeYjsForm, "not an update of Yjs")
	case errors.Is(err, errLarge):
		s.client.Close(closeYjsTooLarge, "the document would exceed documents.size")
	default:
		s.client.Close(closeOverloaded, "overloaded")
	}
}

// send sends the client a message when what it says is stored. The caller holds the document's lock.
func (f *following) send(b []byte) {
	f.doc.inOrder(func() { f.session.client.SendBinary(b) })
}

// sync sends a client what its state vector lacks.
func (yWebsocket) sync(s *session, body []byte) error {
	v, err := yjs.ParseStateVector(body)
	if err != nil {
		return err
	}
	return s.one.doc.use(content.Yjs, func() error {
		s.one.send(yjs.AppendSync(nil, yjs.Step2, s.one.doc.body.(*content.YjsBody).All().Since(v).Append(nil)))
		return nil
	})
}

// update stores an update and sends it to the others.
func (yWebsocket) update(s *session, body []byte) error {
	raw := bytes.Clone(body)
	u, err := yjs.Parse(raw)
	if err != nil {
		return err
	}
	d := s.one.doc
	news := false
	isNew := func() error {
		news = d.body.(*content.YjsBody).State.New(u)
		return nil
	}
	if err := d.use(content.Yjs, isNew); err != nil || !news {
		return err
	}
	if !s.may(auth.Publish, s.document) { // which may take a backend seconds
		return errWrite
	}
	return d.use(content.Yjs, func() error {
		if _ = isNew(); !news { // by now
			return nil
		}
		if err := d.ready(); err != nil {
			return err
		}
		b := d.body.(*content.YjsBody)
		if b.Bytes+len(raw) > int(d.set.config.Size) {
			if b.Merge(); b.Bytes+len(raw) > int(d.set.config.Size) {
				return errLarge
			}
		}
		if err := d.append(&content.Entry{User: s.one.editor.user, Data: content.Base64Of(raw)}, s.one.editor, nil); err != nil {
			return err
		}
		b.Add(raw, u)
		d.snapshotIfDue()
		return nil
	})
}
