package documents

import (
	"bytes"
	"slices"
	"time"

	"weir/relay"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/yjs"
)

// Bounds of awareness: bytes of a state, and clients of one connection.
const (
	maxPresence = 16 << 10
	maxCarried  = 16
)

// yjsBroadcaster is the broadcaster of a document of kind Yjs. It keeps the awareness states of its clients.
type yjsBroadcaster struct {
	followers
	now func() time.Time // set once

	// Guarded by the document's lock.
	present []*presence
	gone    []*presence // for a while: other clients may still repeat an earlier state of these
	sent    time.Time   // when something was last sent to all
}

// presence is the awareness state of a client, and the connection that it came over.
type presence struct {
	yjs.Presence
	editor *editor
	until  time.Time
}

func (o *yjsBroadcaster) send(b []byte, x *editor) error {
	m := relay.GroupMessage{Data: b, Binary: true}
	if x != nil {
		m.Exclude = x.connection
	}
	return o.room.Send(m)
}

func (o *yjsBroadcaster) applied(e *content.Entry, by *editor) error {
	raw, err := content.BytesOf(e.Data)
	if err != nil {
		return err
	}
	o.sent = o.now()
	return o.send(yjs.AppendSync(nil, yjs.Step3, raw), by)
}

func (o *yjsBroadcaster) list() []yjs.Presence {
	list := make([]yjs.Presence, 0, len(o.present))
	for _, p := range o.present {
		list = append(list, p.Presence)
	}
	return list
}

// left implements broadcaster: the clients of a connection that has ended are gone.
func (o *yjsBroadcaster) left(d *document, ed *editor) {
	o.remove(d, func(p *presence) bool { return p.editor == ed })
}

// remove takes away the states of some clients, and sends that to all.
func (o *yjsBroadcaster) remove(d *document, which func(p *presence) bool) {
	var gone []yjs.Presence
	o.present = slices.DeleteFunc(o.present, func(p *presence) bool {
		if !which(p) {
			return false
		}
		p.Clock++
		p.State = []byte("null")
		gone = append(gone, p.Presence)
		o.markGone(d, p)
		return true
	})
	if len(gone) > 0 {
		o.sendAll(d, yjs.AppendAwareness(nil, gone))
	}
}

// markGone keeps the last state of a client that is gone.
func (o *yjsBroadcaster) markGone(d *document, p *presence) {
	p.until = o.now().Add(cursorLife)
	p.editor = nil
	if len(o.gone) >= d.set.config.Cursors {
		o.gone = slices.Delete(o.gone, 0, 1)
	}
	o.gone = append(o.gone, p)
}

// lastKnown returns the last state of a client that is gone, if the one given is not newer; nil otherwise.
func (o *yjsBroadcaster) lastKnown(said yjs.Presence) *presence {
	i := slices.IndexFunc(o.gone, func(p *presence) bool { return p.Client == said.Client && said.Clock <= p.Clock })
	if i < 0 {
		return nil
	}
	return o.gone[i]
}

// sendAll sends a message to all, in turn with the updates.
func (o *yjsBroadcaster) sendAll(d *document, b []byte) {
	o.sent = o.now()
	d.inOrder(func() { _ = o.send(b, nil) }) // a state that is lost is sent again
}

// awareness keeps the states of clients and sends them to all, also to their sender: it takes half a minute without a
// message for a lost connection. States of other clients that a client repeats are known already.
func (yWebsocket) awareness(s *session, body []byte) error {
	list, err := yjs.ParseAwareness(body)
	if err != nil {
		return err
	}
	d, ed := s.one.doc, s.one.editor
	d.mu.Lock()
	defer d.mu.Unlock()
	o := ed.broadcaster.(*yjsBroadcaster)
	var fresh, late []yjs.Presence
	for _, p := range list {
		if o.set(d, ed, p) {
			fresh = append(fresh, p)
		} else if known := o.lastKnown(p); known != nil && !p.Gone() {
			late = append(late, known.Presence)
		}
	}
	if len(late) > 0 { // a client that has come back is sent that it was gone, and sends its state again
		s.one.send(yjs.AppendAwareness(nil, late))
	}
	if len(fresh) > 0 {
		o.sendAll(d, yjs.AppendAwareness(nil, fresh))
	}
	return nil
}

// set keeps a state. It reports whether it is to be sent to all. A client has one connection; the same user may go on
// over another one.
func (o *yjsBroadcaster) set(d *document, ed *editor, said yjs.Presence) bool {
	if len(said.State) > maxPresence {
		return false
	}
	said.State = bytes.Clone(said.State)
	until := o.now().Add(cursorLife)
	i := slices.IndexFunc(o.present, func(p *presence) bool { return p.Client == said.Client })
	if i < 0 {
		carried := 0
		for _, p := range o.present {
			if p.editor == ed {
				carried++
			}
		}
		if said.Gone() || o.lastKnown(said) != nil || carried >= maxCarried || len(o.present) >= d.set.config.Cursors {
			return false
		}
		o.present = append(o.present, &presence{said, ed, until})
		return true
	}
	p := o.present[i]
	own := p.editor == ed
	switch {
	case !own && p.editor.user != ed.user, said.Clock < p.Clock:
		return false
	case said.Clock == p.Clock && !(own && said.Gone()):
		return false
	case said.Gone() && own:
		o.present = slices.Delete(o.present, i, i+1)
		p.Presence = said
		o.markGone(d, p)
		return true
	case said.Gone():
		return false
	}
	*p = presence{said, ed, until}
	return true
}

// keepAlive is the longest time in which clients are sent nothing.
const keepAlive = 15 * time.Second

// expire implements broadcaster: it takes away states that were not sent again for 30 seconds, and sends an empty message
// where nothing else was sent for a while.
func (o *yjsBroadcaster) expire(d *document, now time.Time) {
	o.remove(d, func(p *presence) bool { return !now.Before(p.until) })
	o.gone = slices.DeleteFunc(o.gone, func(p *presence) bool { return !now.Before(p.until) })
	if now.Sub(o.sent) >= keepAlive && len(d.editors) > 0 {
		o.sendAll(d, yjs.AppendAwareness(nil, nil))
	}
}
