package documents

import (
	"errors"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/systems/documents/content"
)

// protocol is one way to edit documents over a WebSocket: it decides who is let in, has connections follow documents, and
// ends them. Its codec reads and writes the messages.
type protocol struct {
	host      relay.Host
	documents *Documents
	kind      content.Kind // of its documents
	codec     codec
	forbidden int // close code where access is taken away
}

// codec is how one protocol reads what clients send and writes what they are sent.
type codec interface {
	// admit reads the query of a request for a connection. An error refuses it.
	admit(s *session, args *fasthttp.Args) error

	// hello sends the first message of a connection, if there is one.
	hello(s *session)

	// broadcaster is the document's, which is made for its first follower. The caller holds the document's lock.
	broadcaster(d *document) broadcaster

	// state is the messages that bring a new follower the state of a document. The caller holds the document's lock.
	state(s *session, f *following) [][]byte

	// message handles a message, and returns it.
	message(s *session, data []byte, binary bool)
}

// route completes the WebSocket route of the protocol.
func (p *protocol) route(r relay.WebSocketRoute) relay.WebSocketRoute {
	r.Limit = int(p.documents.config.Message)
	r.Admit, r.Open, r.Message, r.Closed, r.Denied = p.admit, p.open, p.message, p.closed, p.denied
	return r
}

// documentID is the document that a path names.
func documentID(ctx *fasthttp.RequestCtx) (string, error) {
	raw, _ := ctx.UserValue("id").(string)
	id, err := url.PathUnescape(raw)
	if err != nil || !content.ValidID(id) {
		return "", errID
	}
	return id, nil
}

// documentKey is what a request for one document is about.
func documentKey(ctx *fasthttp.RequestCtx) (string, error) {
	id, err := documentID(ctx)
	if err != nil {
		return "", err
	}
	return content.Channel(id), nil
}

// admit decides before the upgrade whether a client is let in.
func (p *protocol) admit(ctx *fasthttp.RequestCtx, id *auth.Identity) (any, error) {
	s := &session{protocol: p, follows: make(map[string]*following)}
	if ctx.UserValue("id") != nil {
		var err error
		if s.document, err = documentID(ctx); err != nil {
			return nil, err
		}
		if !p.host.May(id, auth.Subscribe, content.Channel(s.document)) {
			return nil, errRead
		}
		if err := p.documents.with(s.document, p.kind, func(*document) error { return nil }); err != nil { // it may be of another kind
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
	if err := s.join(); err != nil && !s.comesBack(err) {
		c.SendError(nil, err)
		c.Close(closeOverloaded, "the document cannot be opened")
	}
}

func (p *protocol) message(c *relay.Client, data []byte, binary bool) {
	s := c.Value.(*session)
	if s.document != "" && s.one == nil {
		return // it was sent an error, and is being closed
	}
	p.codec.message(s, data, binary)
}

// comesBack closes a session whose document another node owns by now, if an error says so: its client comes back, and goes on there.
func (s *session) comesBack(err error) bool {
	moved := errors.Is(err, cluster.ErrNotOwner) || errors.Is(err, cluster.ErrNoOwner)
	if moved {
		s.client.Close(closeMoved, comeBack)
	}
	return moved
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
	id, ok := strings.CutPrefix(channel, content.Namespace+":")
	s.mu.Lock()
	follows := s.follows[id] != nil || s.ways[id] != nil
	s.mu.Unlock()
	if !ok || id == "" || id != s.document && !follows {
		return false
	}
	c.Close(p.forbidden, reason)
	return true
}
