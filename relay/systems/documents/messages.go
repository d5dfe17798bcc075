package documents

import (
	"strconv"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/documents/message"
	"weir/relay/systems/internal/encode"
)

// messages is the codec of JSON messages as over /ws: how a connection begins, what every message has, pings, refreshes
// and errors. Messages about documents are read and written by a dialect.
type messages struct {
	dialect
	read message.Dialect
	once bool // refuses a message that has a member twice
}

// dialect is the messages about documents of one kind.
type dialect interface {
	broadcaster(d *document) broadcaster
	state(s *session, f *following) [][]byte

	// handle handles a message about the session's document.
	handle(s *session, m *message.Message) error
}

func (messages) admit(s *session, args *fasthttp.Args) (err error) {
	s.src = string(args.Peek("src"))
	if s.src != "" && !wire.ValidName(s.src) {
		return errSrc
	}
	if v := args.Peek("version"); len(v) > 0 {
		s.resume.epoch = string(args.Peek("epoch"))
		if s.resume.version, err = strconv.ParseUint(string(v), 10, 64); err != nil || s.resume.epoch == "" {
			return message.Bad("version must be a whole number, and epoch must be given with it")
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
	var m message.Message
	err := m.Read(data, p.read, p.once)
	if err == nil {
		switch m.Kind {
		case "ping":
			s.client.Pong(m.ID)
		case "refresh":
			err = s.refresh(&m)
		default:
			err = p.handle(s, &m)
		}
	}
	if err != nil && !s.comesBack(err) {
		s.documents.counts.refused.Inc()
		s.client.SendError(m.ID, clientError(err))
	}
}

// ping responds to a ping, which does not wait for the messages before it. It reports whether the message is one.
func (p messages) ping(c *relay.Client, data []byte) bool {
	var m message.Message
	if m.Read(data, p.read, p.once) != nil || m.Kind != "ping" {
		return false
	}
	c.Send(encode.Object("type", "pong", "id", m.ID))
	return true
}

// refresh extends the session. A token that does not allow reading ends it.
func (s *session) refresh(m *message.Message) error {
	if err := s.client.Refresh(m.Token); err != nil {
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
	s.client.Send(encode.Object("type", "ok", "id", m.ID, "expiresAt", id.Expires.Time().UnixMilli(), "write", s.may(auth.Publish, s.document)))
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
