package documents

import (
	"fmt"
	"slices"
	"strconv"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/documents/sharedb"
	"weir/relay/systems/documents/text"
)

// fetch answers a snapshot, or with a version the operations behind it.
func (s *share) fetch(c *relay.Client, a *agent, r *sharedb.Request) error {
	d, err := s.hold(c, r.Collection, r.Document)
	if err != nil {
		return err
	}
	defer d.release()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(Text); err != nil {
		return err
	}
	out, err := a.state(d, d.shareOutlet(s.core), r.Action, r.Version, true)
	if err != nil {
		return err
	}
	d.tellClient(c, out)
	return nil
}

// state is the messages that bring a client up to date: a snapshot, or what it has missed. reply says that there is
// to be an answer behind it. The caller holds mu.
func (a *agent) state(d *Document, o *shareOutlet, action string, version *uint64, reply bool) (out [][]byte, err error) {
	if version != nil {
		entries, err := a.missed(d, *version)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			out = append(out, o.appendOp(nil, e))
		}
	}
	if !reply {
		return out, nil
	}
	b := []byte{'{'}
	if version == nil {
		b = append(d.appendShare(append(b, `"data":`...)), ',')
	}
	return append(out, append(sharedb.AppendNames(b, action, o.collection, o.document), '}')), nil
}

// tellClient sends messages to a client that may not follow, when what they say is safe. If that fails, the client is
// ended: it comes back, and asks again. The caller holds mu.
func (d *Document) tellClient(c *relay.Client, messages [][]byte) {
	d.after(noTicket, func(err error) {
		if err != nil {
			c.Close(closeOverloaded, "not stored")
			return
		}
		send(c, messages)
	})
}

func send(c *relay.Client, messages [][]byte) {
	for _, b := range messages {
		c.Send(b)
	}
}

// subscribe follows a document. The last message of those that bring the client up to date stands right before
// the first operation that it hears of live. For an answer that is gathered it answers the snapshot, if no version is
// given.
func (s *share) subscribe(c *relay.Client, a *agent, collection, document string, version *uint64, g *gathering) (data []byte, err error) {
	d, err := s.hold(c, collection, document)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	known := false
	defer func() {
		if err != nil || known {
			d.holders--
		}
	}()
	if err := d.load(Text); err != nil {
		return nil, err
	}
	o := d.shareOutlet(s.core)
	out, err := a.state(d, o, sharedb.Subscribe, version, g == nil)
	if err != nil {
		return nil, err
	}
	if g != nil && version == nil {
		data = d.appendShare(nil)
	}
	if f := a.following(d.id); f != nil {
		known = true
		d.say(func() {
			for _, b := range out {
				o.room.Reply(c, b, false)
			}
		})
		g.await(d)
		return data, nil
	}
	id := c.Identity()
	f := &following{d, &editor{client: c, connection: c.ID(), user: id.User, src: a.src, outlet: o}, o}
	if !a.add(f, s.core.Config().Limit.Subscriptions) {
		return nil, errFollow
	}
	d.enter(f.editor)
	d.say(func() {
		if a.following(d.id) == f {
			send(c, out)
			o.room.Join(c, nil, false)
		}
	})
	g.await(d)
	return data, nil
}

// following is what the agent follows of a document; nil if it does not.
func (a *agent) following(id string) *following {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.follow[id]
}

// add makes the agent follow one document more, up to a number.
func (a *agent) add(f *following, most int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.follow == nil || len(a.follow) >= most {
		return false
	}
	a.follow[f.doc.id] = f
	return true
}

func (s *share) unsubscribe(c *relay.Client, a *agent, collection, document string) error {
	id, ok := shareID(collection, document)
	if !ok {
		return errID
	}
	a.mu.Lock()
	f := a.follow[id]
	delete(a.follow, id)
	a.mu.Unlock()
	if f == nil {
		return nil
	}
	f.doc.depart(f.editor)
	f.outlet.room.Leave(c)
	f.doc.release()
	return nil
}

// submit applies an operation, or what creates a document.
func (s *share) submit(c *relay.Client, a *agent, r *sharedb.Request) error {
	d, err := s.hold(c, r.Collection, r.Document)
	if err != nil {
		return err
	}
	defer d.release()
	if !s.core.May(c.Identity(), auth.Publish, d.channel) {
		return errWrite
	}
	x := &edit{user: c.Identity().User, src: r.Src, id: string(r.Seq), free: true}
	if x.src == "" {
		x.src = a.src
	}
	switch {
	case r.Seq == nil:
		return fmt.Errorf("%w: seq is missing", text.ErrOp)
	case r.Op != nil:
		x.op, err = text.Parse(r.Op)
	case r.Create && !sharedb.IsText(r.Type):
		err = errType
	case r.Create:
		x.op, err = text.Parse(append(append([]byte{'['}, r.Data...), ']'))
		if string(r.Data) == `""` {
			x.op, err = nil, nil
		}
	default:
		err = errUnsupported // deleting is for backends
	}
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(Text); err != nil {
		return err
	}
	if f := a.following(d.id); f != nil {
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
	return s.apply(c, a, d, x, r)
}

// apply makes an edit that a client has submitted, and sees that it is acknowledged. The caller holds the
// document's lock.
func (s *share) apply(c *relay.Client, a *agent, d *Document, x *edit, r *sharedb.Request) error {
	if a.stale && x.base > 0 {
		return errAhead
	}
	o := d.shareOutlet(s.core)
	others, _ := d.body.(*textBody).after(d.version, min(x.base, d.version))
	switch {
	case r.Create && d.created() && !isAgain(others, x):
		return errExists
	case !r.Create && !d.created():
		return errNone
	}
	settled := func(err error) { s.acknowledge(c, a, d, o, x, others, err) }
	_, again, err := d.edit(x, settled)
	if err == nil && again {
		s.documents.counts.resends.Inc()
		d.after(noTicket, settled)
	}
	return err
}

// acknowledge tells a client that its operation, or one that came again, is safe. Who follows is told of a new one in
// its place among the others (see shareOutlet.applied). To all others comes first what they have not seen before it:
// the client takes an acknowledgement of any other version than the one it has for an error. It was behind these when
// it sent the operation; that they are sent twice to who has subscribed meanwhile is what it expects. The caller holds
// the document's lock.
func (s *share) acknowledge(c *relay.Client, a *agent, d *Document, o *shareOutlet, x *edit, others []*entry, err error) {
	f := a.following(d.id)
	follows := f != nil && f.editor == x.by
	ack := o.appendAck(nil, &entry{version: x.got, src: x.src, id: x.id})
	switch {
	case err != nil: // it may be stored yet: the client comes back, sends it again, and hears
		c.Close(closeOverloaded, "not stored")
	case follows && x.again:
		o.room.Reply(c, ack, false)
	case !follows:
		x.by = nil // it has unsubscribed, perhaps
		for _, e := range others[:min(x.got-1-x.base, uint64(len(others)))] {
			c.Send(o.appendOp(nil, e))
		}
		c.Send(ack)
	}
}

// isAgain says whether an edit is among operations that were applied.
func isAgain(entries []*entry, x *edit) bool {
	return slices.ContainsFunc(entries, func(e *entry) bool { return e.src == x.src && e.id == x.id && e.user == x.user })
}

// snapshot answers a document as it was at a version.
func (s *share) snapshot(c *relay.Client, a *agent, r *sharedb.Request) error {
	d, err := s.hold(c, r.Collection, r.Document)
	if err != nil {
		return err
	}
	defer d.release()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(Text); err != nil {
		return err
	}
	version := d.version
	if r.Version != nil {
		version = *r.Version
	}
	if version > d.version {
		return errAhead
	}
	s0, ok := d.body.(*textBody).at(d.version, version)
	if !ok {
		return errGone
	}
	b := []byte{'{'}
	if version > 0 {
		b = append(text.AppendString(append(b, `"data":`...), s0), `,"type":"`+sharedb.TextType+`"`...)
	} else {
		b = append(b, `"type":null`...)
	}
	b = strconv.AppendUint(append(b, `,"v":`...), version, 10)
	b = append(b, `,"a":"nf","id":`...)
	if r.ID == nil {
		return sharedb.ErrForm
	}
	d.tellClient(c, [][]byte{append(append(b, r.ID...), '}')})
	return nil
}
