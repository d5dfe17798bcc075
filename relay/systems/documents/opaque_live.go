package documents

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
)

// opaque is the protocol of /documents/opaque/{id}: the relay orders updates and stores them, clients rebase.
type opaque struct {
	native // who comes in and how is the same
}

// maxUpdates bounds the updates of one push.
const maxUpdates = 256

var (
	errSnapshot = relay.Fault(409, "snapshot_needed", "too many updates lie behind the last snapshot: upload one first", true)
	errUploaded = relay.Fault(409, "snapshot_exists", "there is a snapshot of this version, or a later one", false)
)

func (o *opaque) live() relay.Live {
	return relay.Live{
		Errors: true, Limit: int(o.documents.config.Message), Admit: o.admit, Open: o.open, Message: o.message, Ping: ping, Closed: o.closed, Denied: o.denied,
	}
}

func (o *opaque) admit(ctx *fasthttp.RequestCtx, id *auth.Identity) (any, error) {
	return o.enter(ctx, id, Opaque)
}

func (o *opaque) open(c *relay.Client) {
	s := c.Value.(*nativeSession)
	o.greet(c, s)
	if err := o.join(c, s); err != nil {
		c.SendError(nil, err)
		c.Close(closeOverloaded, "the document can not be opened")
	}
}

func (o *opaque) join(c *relay.Client, s *nativeSession) error {
	d, err := o.documents.get(s.id)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(Opaque); err != nil {
		d.holders--
		return err
	}
	out := d.opaqueOutlet(o.core)
	s.doc = d
	s.editor = &editor{client: c, connection: c.ID(), user: c.Identity().User, src: s.src, outlet: out}
	d.enter(s.editor)
	first := d.appendOpaque(nil, nil, s.resume)
	d.say(func() { out.room.Join(c, first, false) })
	return nil
}

// opaqueMessage is what a client says.
type opaqueMessage struct {
	kind    string
	id      []byte
	version *uint64 // of push and snapshot; since of pull
	updates []json.RawMessage
	doc     json.RawMessage
	token   string
}

// parse reads a message. It keeps nothing of b but the id. Errors can be told.
func (m *opaqueMessage) parse(b []byte) error {
	var bad error
	err := wire.Members(b, func(key string, v []byte) error {
		if e := m.member(key, v); e != nil && bad == nil {
			bad = e
		}
		return nil
	})
	if err == nil {
		err = bad
	}
	return err
}

func (m *opaqueMessage) member(key string, v []byte) (err error) {
	if string(v) == "null" && key != "doc" {
		return nil // as if it were not there
	}
	switch key {
	case "type":
		if m.kind, err = wire.Text(v); err != nil {
			return badRequest("type must be a string")
		}
	case "id":
		if !goodID(v) {
			return badRequest("id must be a string or number of at most 64 bytes")
		}
		m.id = v
	case "version", "since":
		n, err := strconv.ParseUint(string(v), 10, 64)
		if err != nil {
			return badRequest("version and since must be whole numbers")
		}
		m.version = &n
	case "updates":
		return m.list(v)
	case "doc":
		m.doc = oneLine(v)
	case "token":
		if m.token, err = wire.Text(v); err != nil {
			return badRequest("token must be a string")
		}
	}
	return nil
}

func (m *opaqueMessage) list(v []byte) error {
	m.updates = nil
	err := wire.Elements(v, func(x []byte) error {
		if x[0] != '{' || len(m.updates) == maxUpdates {
			return wire.ErrField
		}
		m.updates = append(m.updates, oneLine(x))
		return nil
	})
	if err != nil || len(m.updates) == 0 {
		return badRequest("updates must be a list of 1 to 256 objects")
	}
	return nil
}

// oneLine is a copy of JSON without the white space between its tokens.
func oneLine(v []byte) json.RawMessage {
	var b bytes.Buffer
	_ = json.Compact(&b, v) // it has been checked
	return b.Bytes()
}

// message handles what a client says.
func (o *opaque) message(c *relay.Client, data []byte, _ bool) {
	s := c.Value.(*nativeSession)
	if s.doc == nil {
		return
	}
	var m opaqueMessage
	err := m.parse(data)
	if err == nil {
		err = o.handle(c, s, &m)
	}
	if err != nil {
		o.documents.counts.refused.Inc()
		c.SendError(m.id, err)
	}
}

func (o *opaque) handle(c *relay.Client, s *nativeSession, m *opaqueMessage) error {
	switch m.kind {
	case "ping":
		c.Pong(m.id)
		return nil
	case "refresh":
		return o.refresh(c, s, &nativeMessage{id: m.id, token: m.token})
	case "push", "pull", "snapshot":
	default:
		return relay.Fault(400, "unknown_type", "unknown message type", false)
	}
	if m.version == nil {
		return badRequest("version, or since, is missing")
	}
	if m.kind != "pull" && !o.core.May(c.Identity(), auth.Publish, s.doc.channel) {
		return errWrite
	}
	d := s.doc
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.editor.replaced {
		return nil
	}
	if err := d.load(Opaque); err != nil {
		return err
	}
	switch m.kind {
	case "push":
		return o.push(c, s, m)
	case "pull":
		return o.pull(c, s, m)
	}
	return o.snapshot(c, s, m)
}

// push appends updates, if they were made at the newest version.
func (o *opaque) push(c *relay.Client, s *nativeSession, m *opaqueMessage) error {
	d := s.doc
	out := s.editor.outlet.(*opaqueOutlet)
	if m.updates == nil {
		return badRequest("updates are missing")
	}
	if *m.version != d.version {
		b := wire.AppendID([]byte(`{"type":"rejected",`), m.id)
		b = append(strconv.AppendUint(append(b, `"version":`...), d.version, 10), '}')
		d.say(func() { out.room.Reply(c, b, false) })
		return nil
	}
	body := d.body.(*opaqueBody)
	for _, data := range m.updates {
		if d.version-body.from >= keptMost || d.bytes >= keptBytes {
			return errSnapshot
		}
		if err := d.admit(); err != nil {
			return err
		}
		e := &entry{at: d.set.now().UnixMilli(), user: s.editor.user, src: s.src, id: string(m.id), data: data}
		if err := d.append(e, func(err error) {
			if err == nil {
				d.tell(e, s.editor)
			}
		}); err != nil {
			return err
		}
		body.log = append(body.log, e)
	}
	if n := d.version - body.from; n/snapshotOps > (n-uint64(len(m.updates)))/snapshotOps {
		b := append(strconv.AppendUint([]byte(`{"type":"snapshot_wanted","version":`), d.version, 10), '}')
		d.say(func() { out.room.Reply(c, b, false) })
	}
	return nil
}

// pull answers the updates behind a version.
func (o *opaque) pull(c *relay.Client, s *nativeSession, m *opaqueMessage) error {
	d := s.doc
	if *m.version > d.version {
		return errAhead
	}
	var b []byte
	if entries, ok := d.body.(*opaqueBody).after(d.version, *m.version); ok {
		b = appendUpdates(nil, m.id, *m.version, entries)
	} else {
		b = d.appendOpaque(nil, m.id, resume{})
	}
	out := s.editor.outlet.(*opaqueOutlet)
	d.say(func() { out.room.Reply(c, b, false) })
	return nil
}

// snapshot takes a document as a client has it at a version.
func (o *opaque) snapshot(c *relay.Client, s *nativeSession, m *opaqueMessage) error {
	d := s.doc
	body := d.body.(*opaqueBody)
	switch {
	case m.doc == nil:
		return badRequest("doc is missing")
	case *m.version > d.version:
		return errAhead
	case *m.version < body.from || *m.version == body.from && body.doc != nil:
		return errUploaded
	case len(m.doc) > int(d.set.config.Size):
		return errLarge
	}
	ticket, err := d.set.shelf.save(d.id, Opaque, d.epoch, *m.version, func(b []byte) []byte { return append(b, m.doc...) })
	if err != nil {
		return err
	}
	body.put(m.doc, *m.version, d.version)
	d.kept = true
	d.since = int(d.version - body.from)
	d.bytes = 0
	if behind, ok := body.after(d.version, body.from); ok {
		for _, e := range behind {
			d.bytes += e.size()
		}
	}
	d.set.counts.snapshots.Inc()
	id := bytes.Clone(m.id)
	out := s.editor.outlet.(*opaqueOutlet)
	d.after(ticket, func(err error) {
		if err != nil {
			c.SendError(id, err)
			return
		}
		b := wire.AppendID([]byte(`{"type":"ok",`), id)
		out.room.Reply(c, append(strconv.AppendUint(append(b, `"version":`...), *m.version, 10), '}'), false)
	})
	return nil
}
