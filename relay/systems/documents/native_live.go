package documents

import (
	"errors"
	"net/url"
	"strconv"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/documents/text"
)

// native is the protocol of /documents/{id}/collaborate.
type native struct {
	core      *relay.Core
	documents *Documents
}

// nativeSession is a client of the native protocol.
type nativeSession struct {
	// Set once.
	id     string // of the document
	resume resume
	src    string

	// Set by open; nil if that failed.
	doc    *Document
	editor *editor
}

// resume is where a client that comes back stands.
type resume struct {
	epoch   string
	version uint64
}

func (n *native) live() relay.Live {
	return relay.Live{
		Errors: true, Limit: int(n.documents.config.Message), Admit: n.admit, Open: n.open, Message: n.message, Ping: ping, Closed: n.closed, Denied: n.denied,
	}
}

// documentID is the document that a path names.
func documentID(ctx *fasthttp.RequestCtx) (string, error) {
	raw, _ := ctx.UserValue("id").(string)
	id, err := url.PathUnescape(raw)
	if err != nil || !goodDocumentID(id) {
		return "", errID
	}
	return id, nil
}

// maxDocumentID leaves room for the namespaces of a document's channels.
const maxDocumentID = 200

func goodDocumentID(id string) bool {
	return len(id) <= maxDocumentID && wire.ValidChannel(namespace+":"+id) && id != ""
}

func (n *native) admit(ctx *fasthttp.RequestCtx, id *auth.Identity) (any, error) {
	return n.enter(ctx, id, Text)
}

// enter decides before the upgrade whether a client may come in.
func (n *native) enter(ctx *fasthttp.RequestCtx, id *auth.Identity, kind Kind) (any, error) {
	s := new(nativeSession)
	var err error
	if s.id, err = documentID(ctx); err != nil {
		return nil, err
	}
	if err := mayOpen(n.core, n.documents, id, s.id, kind); err != nil {
		return nil, err
	}
	args := ctx.QueryArgs()
	s.src = string(args.Peek("src"))
	if s.src != "" && !wire.ValidName(s.src) {
		return nil, badRequest("src must be 1 to 128 of A-Z a-z 0-9 _ - . : / @ ~ =")
	}
	if v := args.Peek("version"); len(v) > 0 {
		s.resume.epoch = string(args.Peek("epoch"))
		if s.resume.version, err = strconv.ParseUint(string(v), 10, 64); err != nil || s.resume.epoch == "" {
			return nil, badRequest("version must be a whole number, and epoch must be given with it")
		}
	}
	return s, nil
}

// mayOpen says whether a client may read a document, and whether it is of the kind that the client speaks.
func mayOpen(core *relay.Core, documents *Documents, id *auth.Identity, document string, kind Kind) error {
	if !core.May(id, auth.Subscribe, namespace+":"+document) {
		return errRead
	}
	d, err := documents.get(document)
	if err != nil {
		return err
	}
	defer d.release()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.load(kind)
}

// open joins the document. The client gets "connected" and then "document"; operations follow.
func (n *native) open(c *relay.Client) {
	s := c.Value.(*nativeSession)
	n.greet(c, s)
	if err := n.join(c, s); err != nil {
		c.SendError(nil, err)
		c.Close(closeOverloaded, "the document can not be opened")
	}
}

// greet sends "connected".
func (n *native) greet(c *relay.Client, s *nativeSession) {
	if s.src == "" {
		s.src = ulid.Make().String()
	}
	id := c.Identity()
	b := append(make([]byte, 0, 256), `{"type":"connected","connectionId":"`...)
	b = append(append(b, c.ID()...), `","userId":`...)
	b = wire.AppendString(b, id.User)
	b = wire.AppendString(append(b, `,"src":`...), s.src)
	b = strconv.AppendInt(append(b, `,"heartbeat":`...), n.core.Config().Heartbeat.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, `,"limits":{"message":`...), int64(n.documents.config.Message), 10)
	b = strconv.AppendBool(append(b, `},"write":`...), n.core.May(id, auth.Publish, namespace+":"+s.id))
	c.Send(append(b, '}'))
}

func (n *native) join(c *relay.Client, s *nativeSession) error {
	d, err := n.documents.get(s.id)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(Text); err != nil {
		d.holders--
		return err
	}
	id := c.Identity()
	s.doc = d
	o := d.nativeOutlet(n.core)
	s.editor = &editor{client: c, connection: c.ID(), user: id.User, src: s.src, color: colorOf(id.User), outlet: o}
	s.editor.base = d.version
	d.enter(s.editor)
	d.names(id)
	since, whole := d.behind(s.resume)
	first := append(d.appendState(nil, "document", nil, since, whole), '}')
	d.say(func() { o.room.Join(c, first, false) })
	return nil
}

// behind is the operations that a client that comes back lacks; whole says that it needs the text instead. The
// caller holds mu and has loaded the document.
func (d *Document) behind(r resume) (since []*entry, whole bool) {
	if r.epoch != d.epoch || r.version > d.version {
		return nil, true
	}
	since, ok := d.body.(*textBody).after(d.version, r.version)
	return since, !ok
}

// nativeOutlet is that of the document, which is made for its first follower. The caller holds mu.
func (d *Document) nativeOutlet(core *relay.Core) *nativeOutlet {
	for _, o := range d.outlets {
		if o, ok := o.(*nativeOutlet); ok {
			return o
		}
	}
	o := &nativeOutlet{room: core.Room(d.channel)}
	d.outlets = append(d.outlets, o)
	return o
}

func (n *native) closed(c *relay.Client) {
	if s := c.Value.(*nativeSession); s.doc != nil {
		s.doc.depart(s.editor)
		s.doc.release()
	}
}

func (n *native) denied(c *relay.Client, channel, reason string) bool {
	s := c.Value.(*nativeSession)
	if channel != namespace+":"+s.id {
		return false
	}
	c.Close(closeForbidden, reason)
	return true
}

// ping answers a ping that need not wait for what was said before it.
func ping(c *relay.Client, data []byte) bool {
	var m nativeMessage
	if m.parse(data) != nil || m.kind != "ping" {
		return false
	}
	c.Send(append(trimComma(wire.AppendID([]byte(`{"type":"pong",`), m.id)), '}'))
	return true
}

// message handles what a client says.
func (n *native) message(c *relay.Client, data []byte, _ bool) {
	s := c.Value.(*nativeSession)
	if s.doc == nil {
		return // it was told, and is being closed
	}
	var m nativeMessage
	err := m.parse(data)
	if err == nil {
		switch m.kind {
		case "operation":
			err = n.operation(c, s, &m)
		case "cursor":
			err = n.cursor(s, &m)
		case "refresh":
			err = n.refresh(c, s, &m)
		case "ping":
			c.Pong(m.id)
		default:
			err = relay.Fault(400, "unknown_type", "unknown message type", false)
		}
	}
	if err != nil {
		n.documents.counts.refused.Inc()
		c.SendError(m.id, told(err))
	}
}

func trimComma(b []byte) []byte {
	if b[len(b)-1] == ',' {
		return b[:len(b)-1]
	}
	return b
}

func (n *native) operation(c *relay.Client, s *nativeSession, m *nativeMessage) error {
	switch {
	case !n.core.May(c.Identity(), auth.Publish, s.doc.channel):
		return errWrite
	case m.operation == nil:
		return badRequest("operation is missing")
	}
	op, err := text.Parse(m.operation)
	if err != nil {
		return err
	}
	d := s.doc
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.editor.replaced {
		return nil
	}
	if err := d.load(Text); err != nil {
		return err
	}
	o := s.editor.outlet.(*nativeOutlet)
	x := &edit{base: m.version, op: op, user: s.editor.user, src: s.src, id: string(m.id), by: s.editor}
	if !m.hasVersion {
		x.base = max(s.editor.base, o.seen())
	}
	if m.id == nil {
		x.id, x.echo = `"`+ulid.Make().String()+`"`, true
	}
	version, again, err := d.edit(x, nil)
	switch {
	case err == nil:
		s.editor.base = max(s.editor.base, version)
	case errors.Is(err, errStale):
		s.editor.base = d.version
	}
	switch {
	case errors.Is(err, errStale):
		n.documents.counts.resyncs.Inc()
		b := append(d.appendState(nil, "resync", m.id, nil, true), '}')
		d.say(func() { o.room.Reply(c, b, false) })
	case err != nil:
		return err
	case again:
		n.documents.counts.resends.Inc()
		b := appendOK(nil, m.id, version)
		d.say(func() { o.room.Reply(c, b, false) })
	}
	return nil
}

func (n *native) cursor(s *nativeSession, m *nativeMessage) error {
	d := s.doc
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.editor.replaced {
		return nil
	}
	if err := d.load(Text); err != nil {
		return err
	}
	if !m.hasVersion {
		m.version = d.version
	}
	return d.put(s.editor, m.version, m.position, m.selection)
}

// refresh extends the session. A token that may not read any more ends it.
func (n *native) refresh(c *relay.Client, s *nativeSession, m *nativeMessage) error {
	if err := c.Refresh(m.token); err != nil {
		return err
	}
	id := c.Identity()
	if !n.core.May(id, auth.Subscribe, s.doc.channel) {
		c.Close(closeForbidden, "the new token does not allow this document")
		return nil
	}
	s.doc.mu.Lock()
	s.doc.names(id)
	s.doc.mu.Unlock()
	b := wire.AppendID([]byte(`{"type":"ok",`), m.id)
	b = strconv.AppendInt(append(b, `"expiresAt":`...), id.Expires.UnixMilli(), 10)
	b = strconv.AppendBool(append(b, `,"write":`...), n.core.May(id, auth.Publish, s.doc.channel))
	c.Send(append(b, '}'))
	return nil
}
