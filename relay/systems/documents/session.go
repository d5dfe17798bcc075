package documents

import (
	"sync"
	"time"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/documents/content"
)

// session is one connection. It follows the document that its path names, or those that it asks for.
type session struct {
	*protocol

	// Set once by admit.
	document string // that the path names; "": none

	// Set by admit and open, then owned by the session's turn.
	client    *relay.Client
	src       string
	forwarded string     // ShareDB: src of a client of another node
	stale     bool       // ShareDB: it comes from an earlier run, whose documents are gone
	resume    resume     // what it has
	one       *following // the document that the path names; nil if it could not be opened

	// Guarded by mu, which is taken after a document's lock.
	mu      sync.Mutex
	follows map[string]*following       // by document; nil: the session has ended
	ways    map[string]*relay.Forwarded // to the owners of other documents; see forward
}

// resume is the state that a client has that comes back.
type resume struct {
	epoch   string
	version uint64
}

// following is a document that a session follows.
type following struct {
	session *session
	doc     *document
	editor  *editor
}

// join has the session follow the document that its path names.
func (s *session) join() error {
	return s.documents.hold(s.document, s.kind, func(d *document) (bool, error) {
		f, err := s.follow(d)
		if err == nil {
			s.one = f
			f.begin(s.codec.state(s, f))
		}
		return err == nil, err
	})
}

// follow makes the session one of the document's editors. Without an error it takes over the caller's hold of the
// document. The caller holds the document's lock, and calls begin next.
func (s *session) follow(d *document) (*following, error) {
	id := s.client.Identity()
	f := &following{s, d, &editor{
		client: s.client, connection: s.client.ID(), user: id.User, src: s.src, color: content.Color(id.User), base: d.version, broadcaster: s.codec.broadcaster(d),
	}}
	s.mu.Lock()
	full := s.follows == nil || len(s.follows) >= s.host.Config().Limit.Subscriptions
	if !full {
		s.follows[d.id] = f
	}
	s.mu.Unlock()
	if full {
		return nil, errFollow
	}
	d.addEditor(f.editor)
	d.rename(id)
	return f, nil
}

// begin sends the client the state of the document, and from then on what happens to it. The last message stands right
// before the first operation that the client gets live. The caller holds the document's lock.
func (f *following) begin(state [][]byte) {
	to := f.editor.broadcaster.all()
	f.doc.inOrder(func() {
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
	f.doc.removeEditor(f.editor)
	f.doc.release()
}

// reply sends the client messages in turn with what the document's followers are sent. The caller holds the document's
// lock.
func (f *following) reply(messages ...[]byte) {
	to := f.editor.broadcaster.all()
	f.doc.inOrder(func() {
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

// may reports whether the client may do something with a document.
func (s *session) may(op auth.Ops, document string) bool {
	return s.host.May(s.client.Identity(), op, content.Channel(document))
}

// edit calls f with the lock of the session's one document, which is in memory. It does not if the editor has come back on
// another connection.
func (s *session) edit(f func(d *document, ed *editor) error) error {
	d, ed := s.one.doc, s.one.editor
	return d.use(s.kind, func() error {
		if ed.replaced {
			return nil
		}
		return f(d, ed)
	})
}

// broadcaster sends what happens to a document to those who follow it over one protocol. Its methods are called with the
// document's lock held, in order, and do not block.
type broadcaster interface {
	// applied sends an operation. by is who made it, and gets what confirms it instead; nil for a backend. On an error
	// the followers have missed it.
	applied(e *content.Entry, by *editor) error

	// moved sends a cursor as it is at a version, or that it is gone.
	moved(c *cursor, version uint64, gone bool)

	// left takes away what is kept of an editor that has left.
	left(d *document, ed *editor)

	// expire takes away what is too old.
	expire(d *document, now time.Time)

	// full reports whether more is waiting to be sent than the followers can take.
	full() bool

	// all is the followers.
	all() *followers
}

// followers are the clients that follow a document over one protocol. A broadcaster embeds it, and implements the methods
// for which its protocol has messages.
type followers struct {
	room   *relay.Group
	binary bool // what they are sent
}

func (*followers) moved(*cursor, uint64, bool) {}
func (*followers) left(*document, *editor)     {}
func (*followers) expire(*document, time.Time) {}
func (o *followers) full() bool                { return o.room.Full() }
func (o *followers) all() *followers           { return o }

// broadcasterOf returns the document's broadcaster of a type, which is made for its first follower. The caller holds mu.
func broadcasterOf[T broadcaster](d *document, create func(followers) T) T {
	for _, o := range d.broadcasters {
		if o, ok := o.(T); ok {
			return o
		}
	}
	o := create(followers{room: d.set.store.Host.Group(d.channel)})
	d.broadcasters = append(d.broadcasters, o)
	return o
}
