package documents

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/documents/text"
	"weir/relay/systems/internal/encode"
)

// messages is the codec of JSON messages as over /ws: how a connection begins, what every message has, pings, refreshes
// and errors. Messages about documents are read and written by a dialect.
type messages struct {
	dialect
	once bool // refuses a message that has a member twice
}

// dialect is the messages about documents of one kind.
type dialect interface {
	broadcaster(d *document) broadcaster
	state(s *session, f *following) [][]byte

	// member reads a member that not all messages have. Its errors go to the client.
	member(m *request, key string, v []byte) error

	// handle handles a message about the session's document.
	handle(s *session, m *request) error
}

// request is a message of a client.
type request struct {
	kind    string
	id      []byte
	version *uint64
	token   string

	// Of text.
	operation []byte
	position  int
	selection *text.Selection

	// Of opaque updates.
	updates []json.RawMessage
	doc     json.RawMessage
}

func (messages) admit(s *session, args *fasthttp.Args) (err error) {
	s.src = string(args.Peek("src"))
	if s.src != "" && !wire.ValidName(s.src) {
		return errSrc
	}
	if v := args.Peek("version"); len(v) > 0 {
		s.resume.epoch = string(args.Peek("epoch"))
		if s.resume.version, err = strconv.ParseUint(string(v), 10, 64); err != nil || s.resume.epoch == "" {
			return badRequest("version must be a whole number, and epoch must be given with it")
		}
	}
	return nil
}

// hello sends "connected".
func (messages) hello(s *session) {
	if s.src == "" {
		s.src = ulid.Make().String()
	}
	s.client.Send(encode.Object("type", "connected", "connectionId", s.client.ID(), "userId", s.client.Identity().User, "src", s.src,
		"heartbeat", s.host.Config().Heartbeat.Milliseconds(), "limits", encode.Object("message", int64(s.documents.config.Message)),
		"write", s.may(auth.Publish, s.document)))
}

func (p messages) message(s *session, data []byte, _ bool) {
	var m request
	err := p.parse(&m, data)
	if err == nil {
		switch m.kind {
		case "ping":
			s.client.Pong(m.id)
		case "refresh":
			err = s.refresh(&m)
		default:
			err = p.handle(s, &m)
		}
	}
	if err != nil {
		s.documents.counts.refused.Inc()
		s.client.SendError(m.id, clientError(err))
	}
}

// ping responds to a ping, which does not wait for the messages before it. It reports whether the message is one.
func (p messages) ping(c *relay.Client, data []byte) bool {
	var m request
	if p.parse(&m, data) != nil || m.kind != "ping" {
		return false
	}
	c.Send(encode.Object("type", "pong", "id", m.id))
	return true
}

// parse reads a message. Its errors go to the client; the id is set if there is a valid one.
func (p messages) parse(m *request, b []byte) error {
	seen := make(map[string]bool, 8)
	var bad error
	err := wire.Members(b, func(key string, v []byte) error {
		if p.once && seen[key] {
			bad = cmp.Or(bad, badRequest("a member is given twice"))
			return nil
		}
		seen[key] = true
		if string(v) != "null" || key == "doc" { // else as if it were not there
			bad = cmp.Or(bad, p.read(m, key, v)) // the id may still come
		}
		return nil
	})
	return cmp.Or(err, bad)
}

func (p messages) read(m *request, key string, v []byte) (err error) {
	switch key {
	case "type":
		m.kind, err = textMember(key, v)
	case "token":
		m.token, err = textMember(key, v)
	case "version":
		m.version, err = versionMember(key, v)
	case "id":
		if !validID(v) {
			return errMessageID
		}
		m.id = v
	default:
		return p.member(m, key, v)
	}
	return err
}

func textMember(key string, v []byte) (string, error) {
	s, err := wire.Text(v)
	if err != nil {
		return "", badRequest(key + " must be a string")
	}
	return s, nil
}

func versionMember(key string, v []byte) (*uint64, error) {
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return nil, badRequest(key + " must be a whole number")
	}
	return &n, nil
}

var errMessageID = badRequest(fmt.Sprintf("id must be a string or number of at most %d bytes", wire.MaxID))

func validID(v []byte) bool {
	return len(v) <= wire.MaxID && (v[0] == '"' || v[0] == '-' || v[0] >= '0' && v[0] <= '9')
}

// refresh extends the session. A token that does not allow reading ends it.
func (s *session) refresh(m *request) error {
	if err := s.client.Refresh(m.token); err != nil {
		return err
	}
	if !s.may(auth.Subscribe, s.document) {
		s.client.Close(closeForbidden, "the new token does not allow this document")
		return nil
	}
	id := s.client.Identity()
	s.one.doc.mu.Lock()
	s.one.doc.rename(id)
	s.one.doc.mu.Unlock()
	s.client.Send(encode.Object("type", "ok", "id", m.id, "expiresAt", id.Expires.Time().UnixMilli(), "write", s.may(auth.Publish, s.document)))
	return nil
}

// accepted is the response to a message that was accepted, with its version.
func accepted(id []byte, version uint64) []byte {
	return encode.Object("type", "ok", "id", id, "version", version)
}

// brings is the beginning of a message of a type that brings the state of a document.
func (d *document) brings(kind string, id []byte) []byte {
	return encode.Members(nil, "type", kind, "id", id, "document", d.id, "epoch", d.epoch, "version", d.version)
}
