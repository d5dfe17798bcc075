package documents

import (
	"net/url"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
)

// protocol is one way to edit documents over a WebSocket: it decides who is let in, has connections follow documents, and
// ends them. What is said on the wire is its codec's.
type protocol struct {
	core      *relay.Core
	documents *Documents
	kind      Kind // of its documents
	codec     codec
	forbidden int // close code for those whose access is taken away
}

// codec is how one protocol reads what clients send and writes what they are sent.
type codec interface {
	// admit reads the query of a request for a connection. An error refuses it.
	admit(s *session, args *fasthttp.Args) error

	// hello sends what comes before everything else.
	hello(s *session)

	// outlet is the document's, which is made for its first follower. The caller holds the document's lock.
	outlet(d *Document) outlet

	// state is the messages that show a new follower where a document stands. The caller holds the document's lock.
	state(s *session, f *following) [][]byte

	// message handles a message, and answers it.
	message(s *session, data []byte, binary bool)
}

// session is one connection. It follows the document that its path names, or those that it asks for.
type session struct {
	*protocol

	// Set once by admit.
	document string // that the path names; "": none

	// Set by admit and open, then owned by the session's turn.
	client *relay.Client
	src    string
	stale  bool       // ShareDB: it comes from an earlier run, whose documents are gone
	resume resume     // where it stands
	one    *following // of the document that the path names; nil if it could not be opened

	// Guarded by mu, which is taken after a document's lock.
	mu      sync.Mutex
	follows map[string]*following // by document; nil: the session has ended
}

// resume is where a client that comes back stands.
type resume struct {
	epoch   string
	version uint64
}

// following is a document that a session follows.
type following struct {
	session *session
	doc     *Document
	editor  *editor
}

// route completes the WebSocket route of the protocol.
func (p *protocol) route(r relay.Live) relay.Live {
	r.Limit = int(p.documents.config.Message)
	r.Admit, r.Open, r.Message, r.Closed, r.Denied = p.admit, p.open, p.message, p.closed, p.denied
	return r
}

// documentID is the document that a path names.
func documentID(ctx *fasthttp.RequestCtx) (string, error) {
	raw, _ := ctx.UserValue("id").(string)
	id, err := url.PathUnescape(raw)
	if err != nil || !validDocumentID(id) {
		return "", errID
	}
	return id, nil
}

// maxDocumentID leaves room for the namespaces of a document's channels.
const maxDocumentID = 200

func validDocumentID(id string) bool {
	return len(id) <= maxDocumentID && wire.ValidChannel(namespace+":"+id) && id != ""
}

// admit decides before the upgrade whether a client is let in.
func (p *protocol) admit(ctx *fasthttp.RequestCtx, id *auth.Identity) (any, error) {
	s := &session{protocol: p, follows: make(map[string]*following)}
	if ctx.UserValue("id") != nil {
		var err error
		if s.document, err = documentID(ctx); err != nil {
			return nil, err
		}
		if !p.core.May(id, auth.Subscribe, namespace+":"+s.document) {
			return nil, errRead
		}
		d, err := p.documents.get(s.document)
		if err != nil {
			return nil, err
		}
		defer d.release()
		if err := d.use(p.kind, func() error { return nil }); err != nil { // it may be of another kind
			return nil, err
		}
	}
	return s, p.codec.admit(s, ctx.QueryArgs())
}

func (p *protocol) open(c *relay.Client) {
	s := c.Value.(*session)
	s.client = c
	p.codec.hello(s)
	if s.document == "" {
		return
	}
	if err := s.join(); err != nil {
		c.SendError(nil, err)
		c.Close(closeOverloaded, "the document cannot be opened")
	}
}

// join has the session follow the document that its path names.
func (s *session) join() error {
	d, err := s.documents.get(s.document)
	if err != nil {
		return err
	}
	err = d.use(s.kind, func() error {
		f, err := s.follow(d)
		if err == nil {
			s.one = f
			f.begin(s.codec.state(s, f))
		}
		return err
	})
	if err != nil {
		d.release()
	}
	return err
}

// follow makes the session one of the document's editors. Without an error it takes over the caller's hold of the
// document. The caller holds the document's lock, and calls begin next.
func (s *session) follow(d *Document) (*following, error) {
	id := s.client.Identity()
	f := &following{s, d, &editor{
		client: s.client, connection: s.client.ID(), user: id.User, src: s.src, color: colorOf(id.User), base: d.version, outlet: s.codec.outlet(d),
	}}
	s.mu.Lock()
	full := s.follows == nil || len(s.follows) >= s.core.Config().Limit.Subscriptions
	if !full {
		s.follows[d.id] = f
	}
	s.mu.Unlock()
	if full {
		return nil, errFollow
	}
	d.enter(f.editor)
	d.names(id)
	return f, nil
}

// begin sends the client where the document stands, and from then on what happens to it. The last message stands right
// before the first operation that the client hears of live. The caller holds the document's lock.
func (f *following) begin(state [][]byte) {
	to := f.editor.outlet.all()
	f.doc.say(func() {
		if f.session.following(f.doc.id) != f {
			return
		}
		var last []byte
		if n := len(state) - 1; n >= 0 {
			f.session.send(state[:n], to.binary)
			last = state[n]
		}
		to.room.Join(f.session.client, last, to.binary)
	})
}

// end ends what follow began.
func (f *following) end() {
	f.doc.depart(f.editor)
	f.doc.release()
}

// reply sends the client messages in turn with what the document's followers are sent. The caller holds the document's
// lock.
func (f *following) reply(messages ...[]byte) {
	to := f.editor.outlet.all()
	f.doc.say(func() {
		for _, b := range messages {
			to.room.Reply(f.session.client, b, to.binary)
		}
	})
}

// following is what the session follows of a document; nil if it does not.
func (s *session) following(id string) *following {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.follows[id]
}

// send sends messages in turn with everything that is not waiting in a document's window.
func (s *session) send(messages [][]byte, binary bool) {
	for _, b := range messages {
		if binary {
			s.client.SendBinary(b)
		} else {
			s.client.Send(b)
		}
	}
}

// may says whether the client may do something with a document.
func (s *session) may(op auth.Ops, document string) bool {
	return s.core.May(s.client.Identity(), op, namespace+":"+document)
}

// edit calls f with the lock of the session's one document, which is in memory. It does not if the editor has come back on
// another connection.
func (s *session) edit(f func(d *Document, ed *editor) error) error {
	d, ed := s.one.doc, s.one.editor
	return d.use(s.kind, func() error {
		if ed.replaced {
			return nil
		}
		return f(d, ed)
	})
}

func (p *protocol) message(c *relay.Client, data []byte, binary bool) {
	s := c.Value.(*session)
	if s.document != "" && s.one == nil {
		return // it was told, and is being closed
	}
	p.codec.message(s, data, binary)
}

func (p *protocol) closed(c *relay.Client) {
	s := c.Value.(*session)
	s.mu.Lock()
	follows := s.follows
	s.follows = nil
	s.mu.Unlock()
	for _, f := range follows {
		f.end()
	}
}

// denied ends a session that follows the document.
func (p *protocol) denied(c *relay.Client, channel, reason string) bool {
	s := c.Value.(*session)
	id, ok := strings.CutPrefix(channel, namespace+":")
	if !ok || id == "" || id != s.document && s.following(id) == nil {
		return false
	}
	c.Close(p.forbidden, reason)
	return true
}
