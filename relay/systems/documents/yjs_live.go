package documents

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/documents/yjs"
)

// yjsRelay is y-websocket's protocol, at /documents/yjs/{id}.
type yjsRelay struct {
	core      *relay.Core
	documents *Documents
}

// Close codes that y-websocket does not come back after.
const (
	closeYjsForbidden = 4403
	closeYjsTooLarge  = 4413
	closeYjsForm      = 4400
)

// Bounds of what clients say of themselves: bytes of one, and how many one connection may carry.
const (
	maxPresence = 16 << 10
	maxCarried  = 16
)

// yjsSession is a client of y-websocket.
type yjsSession struct {
	id     string
	doc    *Document
	editor *editor
}

// yjsOutlet tells the followers of a document of kind Yjs. It knows what its clients say of themselves.
type yjsOutlet struct {
	room *relay.Room

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

func (o *yjsOutlet) full() bool                { return o.room.Full() }
func (*yjsOutlet) moved(*cursor, uint64, bool) {}
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
	return o.send(yjs.AppendSync(nil, yjs.Step3, raw), by)
}

func (y *yjsRelay) live() relay.Live {
	return relay.Live{
		Binary: true, Limit: int(y.documents.config.Message),
		Admit: y.admit, Open: y.open, Message: y.message, Closed: y.closed, Denied: y.denied,
	}
}

func (y *yjsRelay) admit(ctx *fasthttp.RequestCtx, id *auth.Identity) (any, error) {
	document, err := documentID(ctx)
	if err != nil {
		return nil, err
	}
	return &yjsSession{id: document}, mayOpen(y.core, y.documents, id, document, Yjs)
}

// yjsOutlet is that of the document, which is made for its first follower. The caller holds mu.
func (d *Document) yjsOutlet(core *relay.Core) *yjsOutlet {
	for _, o := range d.outlets {
		if o, ok := o.(*yjsOutlet); ok {
			return o
		}
	}
	o := &yjsOutlet{room: core.Room(d.channel), told: d.set.now()}
	d.outlets = append(d.outlets, o)
	return o
}

// open joins the document: the client is asked for what is lacking here, and told who is there.
func (y *yjsRelay) open(c *relay.Client) {
	s := c.Value.(*yjsSession)
	if err := y.join(c, s); err != nil {
		c.SendError(nil, err)
		c.Close(closeOverloaded, "the document can not be opened")
	}
}

func (y *yjsRelay) join(c *relay.Client, s *yjsSession) error {
	d, err := y.documents.get(s.id)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(Yjs); err != nil {
		d.holders--
		return err
	}
	o := d.yjsOutlet(y.core)
	s.doc = d
	s.editor = &editor{client: c, connection: c.ID(), user: c.Identity().User, outlet: o}
	d.enter(s.editor)
	ask := yjs.AppendSync(nil, yjs.Step1, d.body.(*yjsBody).state.Vector().Append(nil))
	there := yjs.AppendAwareness(nil, o.list())
	d.say(func() {
		c.SendBinary(ask)
		o.room.Join(c, there, true)
	})
	return nil
}

func (o *yjsOutlet) list() []yjs.Presence {
	list := make([]yjs.Presence, 0, len(o.present))
	for _, p := range o.present {
		list = append(list, p.Presence)
	}
	return list
}

// closed tells the others that the clients of a connection are gone.
func (y *yjsRelay) closed(c *relay.Client) {
	s := c.Value.(*yjsSession)
	if s.doc == nil {
		return
	}
	s.doc.depart(s.editor)
	s.doc.mu.Lock()
	s.editor.outlet.(*yjsOutlet).forget(s.doc, func(p *presence) bool { return p.editor == s.editor })
	s.doc.mu.Unlock()
	s.doc.release()
}

func (y *yjsRelay) denied(c *relay.Client, channel, reason string) bool {
	if channel != namespace+":"+c.Value.(*yjsSession).id {
		return false
	}
	c.Close(closeYjsForbidden, reason)
	return true
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
	p.until = d.set.now().Add(cursorLife)
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
	o.told = d.set.now()
	d.say(func() { _ = o.send(b, nil) }) // what is lost is said again
}

// message handles what a client says.
func (y *yjsRelay) message(c *relay.Client, data []byte, binary bool) {
	s := c.Value.(*yjsSession)
	if s.doc == nil {
		return
	}
	m, err := yjs.ParseMessage(data)
	if err != nil || !binary {
		y.documents.counts.refused.Inc()
		c.Close(closeYjsForm, "not a message of y-websocket")
		return
	}
	switch d := s.doc; {
	case m.Type == yjs.Sync && m.Step == yjs.Step1:
		err = y.bring(c, s, m.Body)
	case m.Type == yjs.Sync:
		err = y.update(c, s, m.Body)
	case m.Type == yjs.Awareness:
		err = y.aware(s, m.Body)
	default: // QueryAwareness
		d.mu.Lock()
		o := s.editor.outlet.(*yjsOutlet)
		b := yjs.AppendAwareness(nil, o.list())
		d.say(func() { c.SendBinary(b) })
		d.mu.Unlock()
	}
	if err != nil {
		y.refuse(c, err)
	}
}

// refuse ends a session that can not go on: the protocol has no errors.
func (y *yjsRelay) refuse(c *relay.Client, err error) {
	y.documents.counts.refused.Inc()
	code, reason := closeOverloaded, "overloaded"
	switch {
	case errors.Is(err, yjs.ErrForm):
		code, reason = closeYjsForm, "not an update of Yjs"
	case errors.Is(err, errLarge):
		code, reason = closeYjsTooLarge, "the document would grow beyond what is allowed"
	case errors.Is(err, errWrite): // the client stays, and reads
		c.SendBinary(yjs.AppendDenied(nil, "not allowed to change this document"))
		return
	}
	c.Close(code, reason)
}

// bring answers a client's state vector with what it lacks.
func (y *yjsRelay) bring(c *relay.Client, s *yjsSession, body []byte) error {
	v, err := yjs.ParseStateVector(body)
	if err != nil {
		return err
	}
	d := s.doc
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(Yjs); err != nil {
		return err
	}
	b := yjs.AppendSync(nil, yjs.Step2, d.body.(*yjsBody).all().Since(v).Append(nil))
	d.say(func() { c.SendBinary(b) })
	return nil
}

// newToYjs says whether an update holds anything that the document lacks.
func (d *Document) newToYjs(u *yjs.Update) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(Yjs); err != nil {
		return false, err
	}
	return d.body.(*yjsBody).state.New(u), nil
}

// update stores an update and tells the others.
func (y *yjsRelay) update(c *relay.Client, s *yjsSession, body []byte) error {
	raw := bytes.Clone(body)
	u, err := yjs.Parse(raw)
	if err != nil {
		return err
	}
	d := s.doc
	if news, err := d.newToYjs(u); err != nil || !news {
		return err
	}
	if !y.core.May(c.Identity(), auth.Publish, d.channel) { // which may take a backend seconds
		return errWrite
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(Yjs); err != nil {
		return err
	}
	b := d.body.(*yjsBody)
	if !b.state.New(u) {
		return nil
	}
	if err := d.admit(); err != nil {
		return err
	}
	if b.bytes+len(raw) > int(d.set.config.Size) {
		if b.merge(); b.bytes+len(raw) > int(d.set.config.Size) {
			return errLarge
		}
	}
	e := &entry{at: d.set.now().UnixMilli(), user: s.editor.user, data: base64Of(raw)}
	if err := d.append(e, func(err error) {
		if err == nil {
			d.yjsOutlet(y.core).told = d.set.now()
			d.tell(e, s.editor)
		}
	}); err != nil {
		return err
	}
	b.add(raw, u)
	d.settle()
	return nil
}

// aware notes what clients say of themselves, and tells everybody, also who said it: it takes the silence of half
// a minute for a lost connection. What a client repeats of others is known already.
func (y *yjsRelay) aware(s *yjsSession, body []byte) error {
	list, err := yjs.ParseAwareness(body)
	if err != nil {
		return err
	}
	d := s.doc
	d.mu.Lock()
	defer d.mu.Unlock()
	o := s.editor.outlet.(*yjsOutlet)
	var fresh, late []yjs.Presence
	for _, p := range list {
		if o.note(d, s.editor, p) {
			fresh = append(fresh, p)
		} else if known := o.late(p); known != nil && !p.Gone() {
			late = append(late, known.Presence)
		}
	}
	if len(late) > 0 { // a client that has come back hears that it was gone, and says again that it is here
		b := yjs.AppendAwareness(nil, late)
		d.say(func() { s.editor.client.SendBinary(b) })
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
	until := d.set.now().Add(cursorLife)
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
