package documents

import (
	"bytes"
	"slices"
	"time"

	"weir/relay"
	"weir/relay/systems/documents/yjs"
)

// Bounds of what clients say of themselves: bytes of one, and how many one connection may carry.
const (
	maxPresence = 16 << 10
	maxCarried  = 16
)

// yjsOutlet tells the followers of a document of kind Yjs. It knows what its clients say of themselves.
type yjsOutlet struct {
	followers
	now func() time.Time // set once

	// Guarded by the document's lock.
	present []*presence
	gone    []*presence // a while ago: others may still repeat what these said before
	told    time.Time   // when something was last sent to all
}

// presence is what a client says of itself, and on whose connection.
type presence struct {
	yjs.Presence
	editor *editor
	until  time.Time
}

func (o *yjsOutlet) send(b []byte, x *editor) error {
	m := relay.RoomMessage{Data: b, Binary: true}
	if x != nil {
		m.Exclude = x.connection
	}
	return o.room.Send(m)
}

// applied implements outlet.
func (o *yjsOutlet) applied(e *entry, by *editor) error {
	raw, err := bytesOf(e.data)
	if err != nil {
		return err
	}
	o.told = o.now()
	return o.send(yjs.AppendSync(nil, yjs.Step3, raw), by)
}

func (o *yjsOutlet) list() []yjs.Presence {
	list := make([]yjs.Presence, 0, len(o.present))
	for _, p := range o.present {
		list = append(list, p.Presence)
	}
	return list
}

// left implements outlet: the clients of a connection that has ended are gone.
func (o *yjsOutlet) left(d *Document, ed *editor) {
	o.forget(d, func(p *presence) bool { return p.editor == ed })
}

// forget takes away what some clients said, and tells everybody.
func (o *yjsOutlet) forget(d *Document, which func(p *presence) bool) {
	var gone []yjs.Presence
	o.present = slices.DeleteFunc(o.present, func(p *presence) bool {
		if !which(p) {
			return false
		}
		p.Clock++
		p.State = []byte("null")
		gone = append(gone, p.Presence)
		o.bury(d, p)
		return true
	})
	if len(gone) > 0 {
		o.tell(d, yjs.AppendAwareness(nil, gone))
	}
}

// bury remembers what was last known of a client that is gone.
func (o *yjsOutlet) bury(d *Document, p *presence) {
	p.until = o.now().Add(cursorLife)
	p.editor = nil
	if len(o.gone) >= d.set.config.Cursors {
		o.gone = slices.Delete(o.gone, 0, 1)
	}
	o.gone = append(o.gone, p)
}

// late is what is known of a client that is gone, if what was said is older; nil otherwise.
func (o *yjsOutlet) late(said yjs.Presence) *presence {
	i := slices.IndexFunc(o.gone, func(p *presence) bool { return p.Client == said.Client && said.Clock <= p.Clock })
	if i < 0 {
		return nil
	}
	return o.gone[i]
}

// tell sends something to all, in turn with the updates.
func (o *yjsOutlet) tell(d *Document, b []byte) {
	o.told = o.now()
	d.say(func() { _ = o.send(b, nil) }) // what is lost is said again
}

// awareness notes what clients say of themselves, and tells everybody, also who said it: it takes the silence of half
// a minute for a lost connection. What a client repeats of others is known already.
func (yWebsocket) awareness(s *session, body []byte) error {
	list, err := yjs.ParseAwareness(body)
	if err != nil {
		return err
	}
	d, ed := s.one.doc, s.one.editor
	d.mu.Lock()
	defer d.mu.Unlock()
	o := ed.outlet.(*yjsOutlet)
	var fresh, late []yjs.Presence
	for _, p := range list {
		if o.note(d, ed, p) {
			fresh = append(fresh, p)
		} else if known := o.late(p); known != nil && !p.Gone() {
			late = append(late, known.Presence)
		}
	}
	if len(late) > 0 { // a client that has come back hears that it was gone, and says again that it is here
		s.one.tell(yjs.AppendAwareness(nil, late))
	}
	if len(fresh) > 0 {
		o.tell(d, yjs.AppendAwareness(nil, fresh))
	}
	return nil
}

// note keeps what a client says of itself. It answers whether the others are to know. A client is known on one
// connection; the same user may go on on another.
func (o *yjsOutlet) note(d *Document, ed *editor, said yjs.Presence) bool {
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
		if said.Gone() || o.late(said) != nil || carried >= maxCarried || len(o.present) >= d.set.config.Cursors {
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
		o.bury(d, p)
		return true
	case said.Gone():
		return false
	}
	*p = presence{said, ed, until}
	return true
}

// keepAlive is how often clients hear something, whatever happens.
const keepAlive = 15 * time.Second

// expire takes away what was not said again for 30 seconds, and says something where nothing has been said for a
// while. The caller holds mu.
func (o *yjsOutlet) expire(d *Document, now time.Time) {
	o.forget(d, func(p *presence) bool { return !now.Before(p.until) })
	o.gone = slices.DeleteFunc(o.gone, func(p *presence) bool { return !now.Before(p.until) })
	if now.Sub(o.told) >= keepAlive && len(d.editors) > 0 {
		o.tell(d, yjs.AppendAwareness(nil, nil))
	}
}
